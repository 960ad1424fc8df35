from __future__ import annotations

import base64
import io
import os
from pathlib import Path

import numpy as np
import pytest
from damage_tools import png
from PIL import Image

from cmcr.errors import CMCRError
from cmcr.report.pictures import COMPARISON, COURSE, OTHERS, PANELS, WIDTHS, embed, name_figures

LABELS = {"ppkt": "PPKT", "cmcr": "CMCR", "cmcr_fast": "CMCR, fast"}


def noise(path: Path, width: int) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (width // 2, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def decoded(uri: str) -> tuple[str, bytes]:
    kind, content = uri.removeprefix("data:").split(";base64,")
    return kind, base64.b64decode(content)


def test_names_say_what_is_shown_and_where_it_stands() -> None:
    names = [
        "something_else",
        "occupancy_town_cmcr",
        "features_town_cmcr_fast",
        "features_town_ppkt",
        "features_town_gone",
        "losses_town_cmcr",
        "panoptic_town_ppkt",
        "panoptic_town_label_efficiency",
    ]
    figures = {
        figure.name: figure for figure in name_figures([Path(f"{name}.png") for name in names], ["town"], LABELS)
    }
    assert {name: (figure.group, figure.title) for name, figure in figures.items()} == {
        "features_town_ppkt": (PANELS, "Features: PPKT on town"),
        "features_town_cmcr_fast": (PANELS, "Features: CMCR, fast on town"),
        "occupancy_town_cmcr": (PANELS, "Occupied space: CMCR on town"),
        "panoptic_town_ppkt": (PANELS, "Instances: PPKT on town"),
        "losses_town_cmcr": (COURSE, "Losses: CMCR on town"),
        "panoptic_town_label_efficiency": (COMPARISON, "Label efficiency: panoptic on town"),
        "features_town_gone": (OTHERS, "features town gone"),
        "something_else": (OTHERS, "something else"),
    }
    panels = [name for name, figure in figures.items() if figure.group == PANELS]
    assert panels == ["features_town_ppkt", "features_town_cmcr_fast", "occupancy_town_cmcr", "panoptic_town_ppkt"]


def test_what_fits_is_embedded_byte_for_byte(tmp_path: Path) -> None:
    png = noise(tmp_path / "features_town_ppkt.png", 64)
    (tmp_path / "losses_town_ppkt.svg").write_text("<svg/>")
    both = [noise(tmp_path / "losses_town_ppkt.png", 32), tmp_path / "losses_town_ppkt.svg"]
    pictures, width = embed(name_figures([png, *both], ["town"], LABELS), 10**6)
    assert width is None
    assert {picture.figure.name: decoded(picture.uri) for picture in pictures} == {
        "features_town_ppkt": ("image/png", png.read_bytes()),
        "losses_town_ppkt": ("image/svg+xml", b"<svg/>"),
    }
    assert {picture.figure.name: picture.size for picture in pictures} == {
        "features_town_ppkt": (64, 32),
        "losses_town_ppkt": (32, 16),
    }


def test_pictures_shrink_no_further_than_they_must(tmp_path: Path) -> None:
    figures = name_figures([noise(tmp_path / "features_town_ppkt.png", 1400)], ["town"], LABELS)
    (whole,), _ = embed(figures, 10**9)
    sizes = {}
    for limit in (len(whole.uri) - 1, 400_000, 1):
        (picture,), width = embed(figures, limit)
        kind, content = decoded(picture.uri)
        assert kind == "image/webp"
        sizes[limit] = (width, Image.open(io.BytesIO(content)).size)
        assert picture.size == sizes[limit][1]
        assert len(picture.uri) <= limit or width == WIDTHS[-1]
    assert sizes[len(whole.uri) - 1] == (1600, (1400, 700))
    assert sizes[1] == (500, (500, 250))
    assert sizes[400_000][0] in (1200, 800)


def test_a_broken_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "features_town_ppkt.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    with pytest.raises(CMCRError, match=r"features_town_ppkt.png: not a PNG that can be read"):
        embed(name_figures(tmp_path.glob("*.png"), ["town"], LABELS), 10**6)


def test_a_picture_that_claims_to_be_huge_or_is_no_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(9000, 9000))
    with pytest.raises(CMCRError, match=r"a\.png: not a PNG that can be read: 9000 x 9000 pixels"):
        embed(name_figures(tmp_path.glob("*.png"), ["town"], LABELS), 10)
    os.mkfifo(tmp_path / "b.svg")
    with pytest.raises(CMCRError, match=r"b\.svg: not a picture that can be read: a pipe or device"):
        embed(name_figures(tmp_path.glob("*.svg"), ["town"], LABELS), 10**6)
