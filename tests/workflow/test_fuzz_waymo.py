"""Waymo's segments with changed bytes: converted and read, or refused with one message; nothing lands elsewhere."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from fuzz import FEW, fuzz

from cmcr.data.scan import Scan
from cmcr.data.toy.city import ToyCityOptions
from cmcr.data.waymo_index import make_index
from cmcr.data.waymo_names import CLASS_NAMES
from cmcr.errors import DataError

from .segments import Converter, pack_segment

pytestmark = [pytest.mark.torture, pytest.mark.slow]


@pytest.fixture(scope="module")
def segment(waymo_python: str, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Two frames, the first with labels."""
    options = ToyCityOptions(seed=0, keyframes=2, image_size=(16, 24), azimuth_steps=30)
    return pack_segment(waymo_python, options, tmp_path_factory.mktemp("waymo")).read_bytes()


def are_sound(scans: list[Scan]) -> bool:
    return len(scans) > 0 and all(
        len(scan.points) > 0
        and np.isfinite(scan.points).all()
        and (scan.labels is None or (len(scan.labels) == len(scan.points) and scan.labels.max() < len(CLASS_NAMES)))
        and all(np.isfinite(camera.camera_from_lidar).all() for camera in scan.cameras)
        and (scan.boxes is None or np.isfinite(scan.boxes.geometry).all())
        for scan in scans
    )


@pytest.mark.parametrize("framed", [False, True], ids=["TFRecord", "frame with checksums that fit"])
def test_changed_segments_are_refused_or_sound(
    framed: bool, converter: Converter, segment: bytes, tmp_path: Path
) -> None:
    path, below = tmp_path / "segments" / "segment.tfrecord", tmp_path / "below"
    root = below / "root"
    path.parent.mkdir()
    length = int.from_bytes(segment[:8], "little")
    path.write_bytes(segment[12 : 12 + length] if framed else segment)

    def read(path: Path) -> list[Scan]:
        shutil.rmtree(below, ignore_errors=True)
        code, said = converter.convert(path, root, framed=framed)
        assert {found.name for found in tmp_path.iterdir()} <= {"segments", "below"}
        assert {found.relative_to(below).as_posix() for found in below.glob("*/*")} <= {"root/training"}
        if code:
            assert str(path) in said
            assert "Traceback" not in said
            assert not list(root.glob("training/*.json"))
            raise DataError(said)
        index = make_index("toy_waymo", root, "toy", "training")
        return [index.read(number) for number in range(len(index))]

    fuzz(path, read, are_sound, FEW)
