from __future__ import annotations

import errno
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from limits import files_up_to, folder_of_somebody_else, make_read_only, small_disk
from matplotlib.figure import Figure
from PIL import Image

from cmcr.checkpoints import save_tensors
from cmcr.data.image_files import write_jpeg
from cmcr.errors import OutputError
from cmcr.files import atomic_path, exclusive, refusal, sha256_of_json, write_bytes, write_json, write_text
from cmcr.results.style import write_figure


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    write_text(target, "old")

    def fail() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            assert target.read_text() == "old"
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_the_temporary_name_keeps_the_suffix_and_the_file_the_usual_rights(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    with atomic_path(tmp_path / "new" / "figure.png") as temporary:
        assert temporary.suffix == ".png"
        assert temporary.parent == tmp_path / "new"
    assert (tmp_path / "new" / "figure.png").stat().st_mode == plain.stat().st_mode


def test_what_a_killed_writer_left_is_swept_away_and_others_are_not(tmp_path: Path) -> None:
    left, other = tmp_path / ".a[1].npy.x1y2.part.npy", tmp_path / ".b.npy.x1y2.part.npy"
    left.touch()
    other.touch()
    with atomic_path(tmp_path / "a[1].npy"):
        assert not left.exists()
    assert {path.name for path in tmp_path.iterdir()} == {"a[1].npy", other.name}


@pytest.mark.parametrize("value", [math.nan, math.inf, {"a": [-math.inf]}])
def test_what_json_cannot_say_is_not_written(tmp_path: Path, value: object) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", value)
    assert list(tmp_path.iterdir()) == []


def test_equal_content_has_equal_bytes_and_equal_hashes(tmp_path: Path) -> None:
    one, other = {"a": 1, "b": [1.5, None]}, {"b": [1.5, None], "a": 1}
    write_json(tmp_path / "one.json", one)
    write_json(tmp_path / "other.json", other)
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "other.json").read_bytes()
    assert sha256_of_json(one) == sha256_of_json(other) != sha256_of_json({"a": 1})


NOISE = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)


def picture(path: Path) -> None:
    with atomic_path(path) as temporary:
        Image.fromarray(NOISE).save(temporary)


def photograph(path: Path) -> None:
    write_jpeg(path, NOISE, quality=90)


def packed(path: Path) -> None:
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, data=NOISE)


def figure(path: Path) -> None:
    drawn = Figure()
    drawn.subplots().plot(NOISE.ravel()[:20_000])
    write_figure(path.parent, path.stem, drawn)


#: Every way by which a longer result is written; those of `training` and `image_bank` have tests of their own.
WRITERS: dict[str, Callable[[Path], None]] = {
    "a.json": lambda path: write_json(path, list(range(20_000))),
    "a.safetensors": lambda path: save_tensors(path, {"a": torch.zeros(100_000)}),
    "a.bin": lambda path: write_bytes(path, NOISE.tobytes()),
    "a.jpg": photograph,
    "a.png": picture,
    "a.npz": packed,
    "a.svg": figure,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_writer_says_that_a_file_is_too_long_and_writes_it_when_it_may(tmp_path: Path, name: str) -> None:
    target = tmp_path / name
    with files_up_to(10_000), pytest.raises(OutputError) as caught:
        WRITERS[name](target)
    message = str(caught.value)
    assert message.startswith(f"{target}\n")
    assert "File too large" in message
    assert "ulimit -f" in message
    assert list(tmp_path.iterdir()) == []
    WRITERS[name](target)
    assert target.stat().st_size > 10_000


@pytest.mark.parametrize("name", WRITERS)
def test_every_writer_says_that_the_disk_is_full_and_keeps_what_was_there(tmp_path: Path, name: str) -> None:
    with small_disk(tmp_path / "disk", kilobytes=16) as disk:
        write_text(disk / "earlier.txt", "whole")
        with pytest.raises(OutputError, match=r"(?s)No space left on device\n  way out:  free space on that disk"):
            WRITERS[name](disk / name)
        assert [path.name for path in disk.iterdir()] == ["earlier.txt"]
        assert (disk / "earlier.txt").read_text() == "whole"


def test_a_file_system_that_became_read_only(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", kilobytes=64) as disk:
        write_text(disk / "earlier.txt", "whole")
        make_read_only(disk)
        for target in (disk / "earlier.txt", disk / "new" / "a.txt"):
            with pytest.raises(OutputError, match=r"(?s)Read-only file system\n  way out:  mount"):
                write_text(target, "new")
        assert (disk / "earlier.txt").read_text() == "whole"


def test_a_folder_where_one_may_not_write() -> None:
    with folder_of_somebody_else() as folder:
        for target in (folder / "a.txt", folder / "new" / "a.txt"):
            with pytest.raises(
                OutputError, match=r"(?s)a\.txt\n.*Permission denied\n  way out:  get the right to write there"
            ):
                write_text(target, "new")
        with pytest.raises(OutputError, match="Permission denied"), exclusive(folder):
            pass


def test_a_file_in_a_folders_place_is_named(tmp_path: Path) -> None:
    write_text(tmp_path / "tables", "a file")
    with pytest.raises(OutputError, match=r"(?s)tables/a\.csv\n.*(File exists|Not a directory)"):
        write_text(tmp_path / "tables" / "a.csv", "new")


def test_what_the_block_may_not_read_is_not_blamed_on_the_file_that_is_written(tmp_path: Path) -> None:
    def copy_what_is_closed() -> None:
        with atomic_path(tmp_path / "copy"):
            raise PermissionError(errno.EACCES, "Permission denied", "/closed")

    with pytest.raises(PermissionError, match="/closed"):
        copy_what_is_closed()
    assert refusal(FileNotFoundError(errno.ENOENT, "No such file", "/gone")) is None


def test_a_writer_that_goes_by_way_of_another_disk_names_that_too(tmp_path: Path) -> None:
    def write() -> None:
        with atomic_path(tmp_path / "a.ckpt"):
            raise OSError(errno.ENOSPC, "No space left on device", "/elsewhere/scratch")

    with pytest.raises(OutputError, match=r"(?s)a\.ckpt\n.*No space left on device \(/elsewhere/scratch\)"):
        write()
