"""What several test modules share."""

from __future__ import annotations

import os
from pathlib import Path

# As `cmcr.cli` has it, before numpy is imported: two threads that wait for each other over a 4 x 4 matrix take a
# thousand times as long on a busy machine.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
if "PYTEST_XDIST_WORKER" in os.environ:  # there is a process for each core
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

# Whether a test passes does not depend on what else the machine is doing.
settings.register_profile("without_deadlines", deadline=None)
settings.load_profile("without_deadlines")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of official numbers and real frames beside the checkout; tests that need it are skipped without it."""
    folder = ROOT.parent / "shared"
    if not (folder / "fixtures").is_dir():
        pytest.skip(f"the folder with official numbers, {folder}, is not here")
    return folder


@pytest.fixture(scope="session")
def toy_nuscenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Root of a tiny toy city: two scenes of mini_train and one of mini_val, three keyframes each, small images."""
    from cmcr.data.toy.city import ToyCityOptions, join_scenes, write_scene

    root = tmp_path_factory.mktemp("toy_nuscenes")
    parts = tmp_path_factory.mktemp("toy_parts")
    options = ToyCityOptions(train_scenes=2, validation_scenes=1, keyframes=3, image_size=(56, 100), azimuth_steps=120)
    for scene in options.scene_names():
        write_scene(options, scene, root, parts / f"{scene}.json")
    join_scenes([parts / f"{scene}.json" for scene in options.scene_names()], root)
    return root


@pytest.fixture(scope="session")
def toy_semantic_kitti(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Root of the same in SemanticKITTI's format: sequences 00 and 01 to train, 08 to validate."""
    from cmcr.data.toy.city import ToyCityOptions, join_scenes, write_scene

    root = tmp_path_factory.mktemp("toy_semantic_kitti")
    parts = tmp_path_factory.mktemp("toy_kitti_parts")
    options = ToyCityOptions(train_scenes=2, validation_scenes=1, keyframes=3, image_size=(48, 160), azimuth_steps=120)
    for scene in options.scene_names("semantic_kitti"):
        write_scene(options, scene, root, parts / f"{scene}.json", "semantic_kitti")
    join_scenes([parts / f"{scene}.json" for scene in options.scene_names("semantic_kitti")], root, "semantic_kitti")
    return root


@pytest.fixture(scope="session")
def toy_kitti(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Root of the same as KITTI's object benchmark: two drives of two frames to train, one to validate."""
    from cmcr.data.toy.city import ToyCityOptions, join_scenes, write_scene

    root = tmp_path_factory.mktemp("toy_kitti")
    parts = tmp_path_factory.mktemp("toy_drives")
    options = ToyCityOptions(train_scenes=2, validation_scenes=1, keyframes=2, image_size=(94, 311), azimuth_steps=360)
    drives = options.scene_names("kitti")
    for drive in drives:
        write_scene(options, drive, root, parts / f"{drive}.json", "kitti")
    join_scenes([parts / f"{drive}.json" for drive in drives], root, "kitti")
    return root


@pytest.fixture(scope="session")
def fuzz_yard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One small good file of each kind, to be changed in place and put back."""
    from damage_yard import build_yard
    from invented_releases import write_release
    from PIL import Image

    folder = tmp_path_factory.mktemp("yard")
    build_yard(folder)
    write_release(folder / "RELLIS-3D", "rellis_3d", "val")
    write_release(folder / "Synth4D", "synth4d_kitti", "val")
    for name, size in {"image.jpg": (40, 20), "image.png": (40, 20), "large.jpg": (480, 320)}.items():
        Image.new("RGB", size, "navy").save(folder / name)
    return folder
