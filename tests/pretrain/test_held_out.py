"""Measures on held-out scans: by hand, and of a CMCR that was really trained."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from invented import IMAGE_SIZE, Flat, feature_bank, images_of_one_scan, invented_index, pretrain_job
from PIL import Image
from torch import Tensor

from cmcr.data.batches import PairBatch
from cmcr.data.scan import Camera
from cmcr.errors import ConfigError, DataError, WeightsError
from cmcr.pretrain.held_out import Measures, Pretrained, mean_colour, measure_held_out, spread_evenly
from cmcr.pretrain.job import PretrainJob
from cmcr.pretrain.plugins import load_plugin
from cmcr.pretrain.run import pretrain
from cmcr.pretrain.views import Matched, Rebuilt, Shows, Survey
from cmcr.recipe import Recipe
from cmcr.results.held_out import MEASURES, HeldOut

SMALL: dict[str, Any] = {"channels": 16, "num_pairs": 64, "codebook": {"codes": 10}, "masks": {"patch_size_px": 8}}


# --- by hand ---


def matched(points: list[int], codes: list[list[int]]) -> Matched:
    point_N = torch.tensor(points)
    return Matched(PairBatch(point_N, point_N * 0, point_N.float(), point_N.float()), torch.tensor(codes))


def test_codes_are_counted_over_all_scans_and_points_within_each() -> None:
    measures = Measures(Shows(pairs=True, codes=4))
    measures.add_matched(matched([5, 5, 6, 7], [[0, 0, 1, 1], [0, 1, 1, 1]]))
    measures.add_matched(matched([5, 9], [[2, 3], [1, 3]]))
    values = measures.values()
    # Points pick 2, 2, 1, 1 times; pixels 1, 4, 0, 1 times.
    expected = [math.exp(-sum(n / 6 * math.log(n / 6) for n in counts)) for counts in ((2, 2, 1, 1), (1, 4, 1))]
    assert values["codebook_perplexity_points"] == pytest.approx(expected[0])
    assert values["codebook_perplexity_pixels"] == pytest.approx(expected[1])
    assert values["codebook_agreement"] == pytest.approx(4 / 6)
    assert values["codebook_used_share"] == 1
    assert (values["sampled_pairs"], values["distinct_points"]) == (3, 2.5)


def test_errors_count_inside_masks_beside_those_of_the_mean_colour() -> None:
    target_I3hw = torch.tensor([0.0, 0.2, 0.4, 1.0]).view(1, 1, 2, 2).repeat(2, 3, 1, 1)
    masks_Ihw = torch.tensor([[[True, False], [False, True]], [[False, False], [False, False]]])
    measures = Measures(Shows(reconstruction=True))
    measures.add_rebuilt(Rebuilt(masks_Ihw, target_I3hw + 0.1, target_I3hw))
    values = measures.values()
    assert values["error_inside_masks"] == pytest.approx(0.01)  # the image without a mask has no part
    assert values["error_inside_masks_mean_colour"] == pytest.approx((0.3**2 + 0.7**2) / 2)
    assert mean_colour(target_I3hw, masks_Ihw)[0].flatten().tolist() == pytest.approx([0.3] * 12)


def survey(logits: list[float], occupied: list[int], near: list[int], intensity: list[float] | None) -> Survey:
    number = len(logits)

    def ask(position_Q3: Tensor, scan_Q: Tensor) -> Tensor:
        assert len(position_Q3) == len(scan_Q) == number
        logit_Q = torch.tensor(logits)
        return torch.stack([logit_Q, torch.where(logit_Q.isnan(), logit_Q, 0.5)], dim=1)

    truth_Q = None if intensity is None else torch.tensor(intensity)
    scan_Q = torch.zeros(number, dtype=torch.int64)
    return Survey(torch.zeros(number, 3), scan_Q, torch.tensor(occupied) > 0, torch.tensor(near) > 0, truth_Q, ask)


def test_occupancy_stands_beside_the_majority_and_intensity_beside_the_median() -> None:
    measures = Measures(Shows(occupancy=True))
    measures.add_survey(survey([2, -1, math.nan], [1, 1, 0], [1, 1, 1], [0.5, 0.1, 0.9]))
    measures.add_survey(survey([-3, 1], [0, 0], [1, 0], [0.2, 0.9]))
    values = measures.values()
    assert values["occupancy_accuracy"] == 2 / 4
    assert values["occupancy_majority_share"] == 2 / 4
    assert values["intensity_l1"] == pytest.approx((0 + 0.4 + 0.3) / 3)
    assert values["intensity_l1_median"] == pytest.approx((0.3 + 0.1 + 0) / 3)
    silent = Measures(Shows(occupancy=True))
    silent.add_survey(survey([2], [1], [1], None))
    assert set(silent.values()) == {"occupancy_accuracy", "occupancy_majority_share"}


def test_scans_are_spread_over_the_split() -> None:
    assert spread_evenly(3, 20) == [0, 1, 2]
    assert spread_evenly(100, 4) == [0, 25, 50, 75]
    assert spread_evenly(0, 4) == []


# --- a whole run ---


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is left of a short pre-training with CMCR, and of one with PPKT."""
    root = tmp_path_factory.mktemp("pretrained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cmcr.data.images.decode_image", decode_image)
        for method, options in (("cmcr", SMALL), ("ppkt", {"num_pairs": 64})):
            pretrain(
                job(method, options),
                load_plugin(method),
                index=invented_index(2),
                encoder=Flat(),
                feature_bank=feature_bank(2),
                folder=root / method,
                output=root / method / "backbone.safetensors",
            )
    return root


def job(method: str = "cmcr", options: dict[str, Any] = SMALL, **changes: Any) -> PretrainJob:
    return pretrain_job(method=method, options=options, recipe=Recipe(epochs=2, batch_size=1), **changes)


def decode_image(camera: Camera, least: tuple[int, int]) -> Image.Image:  # noqa: ARG001
    return Image.fromarray(images_of_one_scan()[int(camera.name == "back")])


@pytest.fixture
def _photographs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cmcr.data.images.decode_image", decode_image)


def load(folder: Path, method: str = "cmcr", **changes: Any) -> Pretrained:
    index = changes.pop("index", None) or invented_index(3, "validation", first=10)
    options = SMALL if method == "cmcr" else {"num_pairs": 64}
    weights = folder / method / "backbone.safetensors"
    return Pretrained.load(job(method, options, **changes), load_plugin(method), weights, index, Flat())


def measure(folder: Path, method: str = "cmcr") -> HeldOut:
    return measure_held_out(load(folder, method), folder / method / "metrics.csv", "invented", toy=True)


@pytest.mark.usefixtures("_photographs")
def test_a_trained_method_has_every_measure_and_the_same_each_time(folder: Path) -> None:
    found = measure(folder)
    assert set(found.measures) == set(MEASURES)
    assert all(value is not None for value in found.measures.values())
    assert (found.num_scans, found.split, found.method, found.toy) == (3, "validation", "cmcr", True)
    assert found.measures["codebook_codes"] == 10
    assert found.measures["sampled_pairs"] == 64
    assert measure(folder).measures == found.measures


@pytest.mark.usefixtures("_photographs")
def test_scans_come_as_they_are_and_the_network_does_not_change(folder: Path) -> None:
    pretrained = load(folder)
    before = {name: tensor.clone() for name, tensor in pretrained.backbone.state_dict().items()}
    step = pretrained.step(1)
    np.testing.assert_array_equal(step.batch.points_P4.numpy(), invented_index(3, first=10).read(1).points)
    assert step.batch.image_size == IMAGE_SIZE
    assert not step.voxel_VC.requires_grad
    measure_held_out(pretrained, folder / "cmcr" / "metrics.csv", "invented", toy=True)
    assert all(torch.equal(before[name], tensor) for name, tensor in pretrained.backbone.state_dict().items())
    assert torch.equal(pretrained.step(1).voxel_VC, step.voxel_VC)


@pytest.mark.usefixtures("_photographs")
def test_what_cannot_be_measured_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ppkt: with its options there is nothing to measure"):
        measure(folder, "ppkt")
    with pytest.raises(ConfigError, match=r"weights of another seed\n  expected: 1\n  found:    0"):
        load(folder, seed=1)
    with pytest.raises(ConfigError, match="trained on the very scans it is to be shown"):
        load(folder, index=invented_index(2))
    with pytest.raises(DataError, match="no scan 3; there are 3"):
        load(folder).step(3)
    with pytest.raises(DataError, match=r"metrics\.csv"):
        measure_held_out(load(folder), tmp_path / "metrics.csv", "invented", toy=True)
    (tmp_path / "cmcr").mkdir()
    (tmp_path / "cmcr" / "backbone.safetensors").write_bytes((folder / "cmcr" / "backbone.safetensors").read_bytes())
    with pytest.raises(WeightsError, match=r"method\.safetensors"):
        load(tmp_path)
