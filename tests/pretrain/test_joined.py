"""Pre-training on the scans of several data sets at once, through the commands that the workflow calls."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from invented import TINY, VOXELS, pretrain_job

from cmcr.checkpoints import read_tensors, save_tensors
from cmcr.cli import main
from cmcr.data.images import ImageOptions
from cmcr.data.index import ScanIndex
from cmcr.data.nuscenes_index import make_index as make_nuscenes_index
from cmcr.data.semantic_kitti_index import make_index as make_kitti_index
from cmcr.data.superpixels import SuperpixelOptions
from cmcr.errors import ConfigError
from cmcr.models.backbone import read_record
from cmcr.models.image_encoder import SmallResNet, SmallTeacherOptions
from cmcr.pretrain.course import COURSE_FILE
from cmcr.recipe import Recipe

BASELINES = Path(__file__).resolve().parents[2] / "baselines"
TEACHER = SmallTeacherOptions(hidden_sizes=(8, 8), out_channels=8)
IMAGES = ImageOptions(size=(32, 64))
SUPERPIXELS = SuperpixelOptions(segments=20, sigma=0)
OPTIONS = {
    "ppkt": {"num_pairs": 64, "channels": 8},
    "slidr": {"channels": 8},
    "also": {"occupancy": {"max_neighbours": 8, "queries": {"per_scan": 32}, "head": {"width": 8}}},
    "cmcr": {
        "num_pairs": 32,
        "channels": 8,
        "decoder_divisor": 4,
        "codebook": {"codes": 8},
        "occupancy": {"max_neighbours": 8, "queries": {"per_scan": 32}, "head": {"width": 8}},
    },
}

NUSCENES, KITTI, BLIND = "toy_nuscenes", "toy_semantic_kitti", "blind"


@pytest.fixture(scope="module")
def indexes(toy_nuscenes: Path, toy_semantic_kitti: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The train splits, and one without cameras; beside them a teacher."""
    folder = tmp_path_factory.mktemp("indexes")
    kitti = make_kitti_index(KITTI, toy_semantic_kitti, "semantic_kitti_mini", "mini_train")
    records = tuple(dataclasses.replace(record, cameras=()) for record in kitti.records)
    made = {
        NUSCENES: make_nuscenes_index(NUSCENES, toy_nuscenes, "v1.0-mini", "mini_train"),
        KITTI: kitti,
        BLIND: dataclasses.replace(kitti, dataset=BLIND, records=records, checksum=""),
    }
    paths = {name: folder / f"{name}.jsonl" for name in made}
    for name, index in made.items():
        index.save(paths[name])
    torch.manual_seed(0)
    save_tensors(folder / "teacher.safetensors", SmallResNet(TEACHER).state_dict(), {})
    return paths


def pretrained(
    folder: Path, indexes: dict[str, Path], datasets: Sequence[str], method: str, *more: str, batch_size: int = 1
) -> Path:
    """Run ``cmcr pretrain``, one epoch; return the backbone."""
    job = pretrain_job(
        method=method,
        options=OPTIONS[method],
        images=IMAGES,
        superpixels=SUPERPIXELS if method == "slidr" else None,
        recipe=Recipe(epochs=1, batch_size=batch_size, lr=1e-3),
    )
    output = folder / "backbone.safetensors"
    arguments = ["--job", job.model_dump_json(), "--plugin", str(BASELINES / f"{method}.py")]
    arguments += ["--index", *(str(indexes[name]) for name in datasets)]
    if method != "also":
        teacher = indexes[NUSCENES].with_name("teacher.safetensors")
        arguments += ["--teacher", TEACHER.model_dump_json(), "--teacher-weights", str(teacher)]
    assert main(["pretrain", *arguments, *more, "--folder", str(folder), "--output", str(output)]) == 0
    return output


def steps(backbone: Path) -> int:
    """Steps of the run."""
    return int((backbone.with_name(COURSE_FILE)).read_text().splitlines()[-1].split(",")[0])


@pytest.mark.parametrize("method", ["ppkt", "also"])
def test_an_epoch_has_a_step_for_every_scan_of_every_data_set(
    tmp_path: Path, indexes: dict[str, Path], method: str
) -> None:
    joined = pretrained(tmp_path / "joined", indexes, [NUSCENES, KITTI], method)
    assert steps(joined) == 12
    record = read_record(joined)
    assert record.dataset == f"{NUSCENES}+{KITTI}"
    parts = [ScanIndex.load(indexes[name]) for name in (NUSCENES, KITTI)]
    assert record.data_checksum == "+".join(part.checksum for part in parts)
    alone = pretrained(tmp_path / "alone", indexes, [KITTI], method)
    assert steps(alone) == 6
    assert read_record(alone).dataset == KITTI
    weights = [read_tensors(path)["stem.weight"] for path in (joined, alone)]
    assert not torch.equal(*weights)


def test_weights_are_refused_on_every_split_that_they_were_trained_on(tmp_path: Path, indexes: dict[str, Path]) -> None:
    weights = pretrained(tmp_path, indexes, [NUSCENES, KITTI], "also")
    record = read_record(weights)
    for name in (NUSCENES, KITTI):
        with pytest.raises(ConfigError, match=f"trained on the very scans it is to be shown, {name}"):
            record.check_unseen(weights, ScanIndex.load(indexes[name]))
    record.check_unseen(weights, ScanIndex.load(indexes[BLIND]))


def test_features_and_superpixels_are_made_for_each_data_set(tmp_path: Path, indexes: dict[str, Path]) -> None:
    banks, folders = [], []
    for name in (NUSCENES, KITTI):
        index, bank, folder = str(indexes[name]), tmp_path / f"{name}.npy", tmp_path / name / "images"
        teacher = str(indexes[NUSCENES].with_name("teacher.safetensors"))
        arguments = ["--teacher", TEACHER.model_dump_json(), "--weights", teacher, "--index", index]
        arguments += ["--images", IMAGES.model_dump_json(), "--compute", "{}", "--output", str(bank)]
        assert main(["encode-images", *arguments]) == 0
        arguments = ["--options", SUPERPIXELS.model_dump_json(), "--index", index, "--folder", str(folder)]
        assert main(["segment-images", *arguments, "--output", str(tmp_path / f"{name}.json")]) == 0
        banks.append(str(bank))
        folders.append(str(folder))
    assert [np.load(bank).shape[:2] for bank in banks] == [(6, 6), (6, 1)]
    more = ["--feature-bank", *banks, "--superpixels", *folders]
    backbone = pretrained(tmp_path / "slidr", indexes, [NUSCENES, KITTI], "slidr", *more, batch_size=4)
    assert steps(backbone) == 3


@pytest.mark.parametrize("method", ["ppkt", "cmcr"])
def test_scans_without_cameras_are_mixed_among_the_others(
    tmp_path: Path, indexes: dict[str, Path], method: str
) -> None:
    backbone = pretrained(tmp_path, indexes, [KITTI, BLIND], method, batch_size=2)
    assert steps(backbone) == 6
    assert read_record(backbone).dataset == f"{KITTI}+{BLIND}"


def test_a_teacher_is_trained_on_the_images_of_all(tmp_path: Path, indexes: dict[str, Path]) -> None:
    recipe = '{"steps": 2, "images_per_step": 2}'
    for number, names in enumerate(([NUSCENES], [NUSCENES, KITTI])):
        arguments = ["--options", TEACHER.model_dump_json(), "--recipe", recipe, "--images", IMAGES.model_dump_json()]
        arguments += ["--index", *(str(indexes[name]) for name in names), "--compute", "{}"]
        assert main(["train-teacher", *arguments, "--output", str(tmp_path / f"{number}.safetensors")]) == 0
    one, both = (read_tensors(tmp_path / f"{number}.safetensors") for number in (0, 1))
    assert any(not torch.equal(one[name], both[name]) for name in one)


def test_the_tiny_network_is_what_is_trained(indexes: dict[str, Path], tmp_path: Path) -> None:
    record = read_record(pretrained(tmp_path, indexes, [KITTI, NUSCENES], "also"))
    assert (record.backbone, record.voxels) == (TINY, VOXELS)
    assert record.dataset == f"{KITTI}+{NUSCENES}"
