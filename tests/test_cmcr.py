"""CMCR as a whole: every option set learns, and masks and geometry do what the figure says."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from cmcr_cases import NO_ESTIMATION, NO_ORTHOGONALITY, SMALL, STEPS, bank_of, make, step_of
from invented import (
    IMAGE_SIZE,
    Flat,
    images_of_one_scan,
    paired_scans,
)
from pydantic import ValidationError

import baselines.cmcr as cmcr_module
from baselines.cmcr import CMCR, CMCROptions, CMCRWeights
from baselines.ppkt import PPKT, PPKTOptions
from cmcr.data.batches import Batch, PairBatch, collate
from cmcr.data.image_masks import pair_is_masked
from cmcr.errors import CMCRError, ConfigError
from cmcr.pretrain.views import Rebuilt, Shows


class Recorder:
    """Calls a function and keeps what it was given and what it returned."""

    def __init__(self, function: Callable[..., Any]):
        self.function = function
        self.given: list[tuple[Any, ...]] = []
        self.returned: list[Any] = []

    def __call__(self, *arguments: Any) -> Any:
        self.given.append(arguments)
        self.returned.append(self.function(*arguments))
        return self.returned[-1]


@pytest.fixture(scope="module")
def batch() -> Batch:
    """Two scans, their images and the features of these."""
    images = images_of_one_scan()
    dataset = paired_scans(2, bank_of(images, 2))
    pixels = torch.tensor(images).permute(0, 3, 1, 2) / 255
    return dataclasses.replace(collate([dataset[0], dataset[1]]), images=pixels.repeat(2, 1, 1, 1))


# --- every option set ---


@pytest.mark.parametrize("name", STEPS)
def test_each_option_set_lowers_its_own_losses(name: str, batch: Batch) -> None:
    options, terms = STEPS[name]
    backbone, method = make(options)
    optimizer = torch.optim.AdamW([*backbone.parameters(), *method.parameters()], lr=3e-3)
    course: list[dict[str, float]] = []
    for seed in range(25):
        losses = method.losses(step_of(backbone, batch, seed))
        course.append({term: loss.item() for term, loss in losses.items()})
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
    assert set(course[0]) == terms
    # Matching stays near log N for features of length one: the codes' probabilities are nearly flat.
    for term in terms - {"matching"}:
        first, last = (np.mean([step[term] for step in steps]) for steps in (course[:3], course[-3:]))
        assert last < first, term


def test_a_weight_multiplies_its_term_alone(batch: Batch) -> None:
    found = []
    for weights in ({}, {"orthogonality_points": 0.3, "intensity": 2}):
        backbone, method = make({"weights": weights})
        found.append(method.losses(step_of(backbone, batch)))
    one, other = found
    for term, loss in one.items():
        factor = {"orthogonality_points": 3, "intensity": 2}.get(term, 1)
        torch.testing.assert_close(other[term], factor * loss)


@pytest.mark.parametrize(
    ("options", "absent"),
    [
        (
            STEPS["contrastive"][0],
            {"point_specific", "pixel_specific", "decoder", "bottleneck", "occupancy_head", "codebook"},
        ),
        ({"weights": NO_ESTIMATION}, {"occupancy_head"}),
        ({"weights": NO_ESTIMATION | NO_ORTHOGONALITY}, {"occupancy_head", "point_specific", "bottleneck"}),
        ({"weights": {"reconstruction": 0}}, {"decoder"}),
        ({"weights": {"reconstruction": 0, "orthogonality_pixels": 0}}, {"decoder", "pixel_specific"}),
        ({"codebook": None}, {"codebook"}),
    ],
)
def test_what_a_term_of_weight_zero_alone_would_use_is_not_built(options: dict[str, Any], absent: set[str]) -> None:
    everything = {name.split(".")[0] for name in make({})[1].state_dict()}
    built = {name.split(".")[0] for name in make(options)[1].state_dict()}
    assert everything - built == absent


def test_as_released_the_contrast_has_at_most_two_points_of_each_image(batch: Batch) -> None:
    counts = {}
    for name in ("all", "released"):
        backbone, method = make(STEPS[name][0] | {"num_pairs": 4096})
        step = step_of(backbone, batch)
        method.losses(step)
        counts[name] = step.log["distinct_points"].item()
    assert counts["released"] <= 2 * 4 < 100 < counts["all"]


def test_only_contrast_needs_no_pixels() -> None:
    assert not make(STEPS["contrastive"][0])[1].needs_pixels
    assert all(make(options)[1].needs_pixels for name, (options, _) in STEPS.items() if name != "contrastive")


def test_contrast_alone_is_ppkt_with_cmcrs_numbers(batch: Batch) -> None:
    backbone, method = make(STEPS["contrastive"][0])
    ppkt = PPKT(PPKTOptions(**SMALL), method.channels)
    ppkt.point_head.load_state_dict(method.point_shared.state_dict())
    head = method.pixel_shared.state_dict()
    ppkt.image_head.load_state_dict({"weight": head["weight"].flatten(1), "bias": head["bias"]})
    backbone.eval()
    few = dataclasses.replace(batch, pairs=batch.pairs.take(torch.arange(100)))  # type: ignore[union-attr]
    one, other = (m.losses(step_of(backbone, few))["info_nce"] for m in (method, ppkt))
    torch.testing.assert_close(one, other)


# --- masks and geometry ---


def test_masked_pairs_never_enter_the_contrast_or_the_codebook(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone, method = make({"masks": {"probability": 1, "patch_size_px": 8}, "num_pairs": 4096})
    masks, seen = Recorder(cmcr_module.draw_image_masks), Recorder(cmcr_module.info_nce)
    codes = Recorder(method.align)
    monkeypatch.setattr(cmcr_module, "draw_image_masks", masks)
    monkeypatch.setattr(cmcr_module, "info_nce", seen)
    monkeypatch.setattr(method, "align", codes)
    sampled = Recorder(PairBatch.sample)
    monkeypatch.setattr(PairBatch, "sample", lambda *arguments: sampled(*arguments))
    step = step_of(backbone, batch)
    method.losses(step)
    (masks_IHW,), (pairs,) = masks.returned, sampled.returned
    assert 0 < len(pairs) < len(step.pairs)
    assert not pair_is_masked(pairs, masks_IHW).any()
    assert pair_is_masked(step.pairs, masks_IHW).sum() == len(step.pairs) - len(pairs)
    # They, and no others, reach contrast and codebook.
    points_NC = F.normalize(method.point_shared(step.voxel_VC), dim=1)[batch.voxel_P[pairs.point]]
    torch.testing.assert_close(seen.given[0][0], points_NC)
    torch.testing.assert_close(codes.given[0][2], points_NC)
    assert len(seen.given[0][1]) == len(codes.given[0][3]) == len(pairs)


def test_the_encoder_sees_masked_images_black_and_the_others_come_from_the_bank(batch: Batch) -> None:
    backbone, method = make({"masks": {"probability": 0.5}})
    encode = Recorder(Flat())
    step = dataclasses.replace(step_of(backbone, batch), encode=encode)
    masks_IHW, features = method.look(step)
    masked_I = masks_IHW.flatten(1).any(dim=1)
    assert 0 < masked_I.sum() < len(masked_I)
    assert batch.images is not None
    assert batch.image_features is not None
    torch.testing.assert_close(encode.given[0][0], (batch.images * ~masks_IHW[:, None])[masked_I])
    assert torch.equal(features[~masked_I], batch.image_features[~masked_I])
    torch.testing.assert_close(features[masked_I], encode.returned[0])
    # Without a bank it is the same up to its precision.
    without = dataclasses.replace(step_of(backbone, batch), batch=dataclasses.replace(batch, image_features=None))
    torch.testing.assert_close(method.look(without)[1], features, atol=1e-3, rtol=0)


@pytest.mark.parametrize("divisor", [1, 2, 8])
def test_geometry_changes_masked_pixels_that_points_project_to_and_no_others(batch: Batch, divisor: int) -> None:
    replaced, kept = ({"decoder_divisor": divisor, "replace_masked": on} for on in (True, False))
    backbone, method = make(replaced)
    plain = make(kept)[1]
    step = step_of(backbone, batch)
    masks_IHW, image_ICHW = method.look(step)
    shared_ICHW = method.pixel_shared(image_ICHW)
    quantised_VC = torch.full((len(step.voxel_VC), 16), 5.0)
    found, before = (m.replace(step, masks_IHW, shared_ICHW, quantised_VC) for m in (method, plain))
    changed = (found != before).any(dim=1)
    assert changed.shape == (4, IMAGE_SIZE[0] // divisor, IMAGE_SIZE[1] // divisor)
    expected = torch.zeros_like(changed)
    pairs = step.pairs
    for image, row, column in zip(pairs.image.tolist(), pairs.row.tolist(), pairs.column.tolist(), strict=True):
        if masks_IHW[image, round(row), round(column)]:
            expected[image, round(row) // divisor, round(column) // divisor] = True
    assert expected.any()
    assert torch.equal(changed, expected)
    assert (found.permute(0, 2, 3, 1)[changed] == 5).all()


def test_the_reconstruction_is_held_against_the_unmasked_image(batch: Batch) -> None:
    backbone, method = make({"masks": {"probability": 1}})
    assert batch.images is not None
    step = step_of(backbone, batch)
    masks_IHW = method.look(step)[0]
    assert method.compare(step, Rebuilt(masks_IHW, batch.images, batch.images)).item() == 0
    black = batch.images * ~masks_IHW[:, None]
    assert method.compare(step, Rebuilt(masks_IHW, black, batch.images)).item() > 0
    assert step.log["error_inside_masks"].item() == pytest.approx(
        float((batch.images.square().mean(1) * masks_IHW).sum() / masks_IHW.sum()), rel=1e-4
    )


# --- what can be seen of it ---


@pytest.mark.parametrize(
    ("options", "shows"),
    [
        ({}, Shows(pairs=True, codes=400, reconstruction=True, occupancy=True)),
        (STEPS["contrastive"][0], Shows(pairs=True)),
        (STEPS["masked images"][0], Shows(pairs=True, reconstruction=True)),
        (STEPS["occupancy"][0], Shows(pairs=True, reconstruction=True, occupancy=True)),
        ({"masks": {"probability": 0}, "codebook": {"codes": 7}}, Shows(pairs=True, codes=7, occupancy=True)),
        ({"weights": {"occupancy": 0, "reconstruction": 0}}, Shows(pairs=True, codes=400)),
    ],
)
def test_it_shows_what_its_options_let_it_learn(options: dict[str, Any], shows: Shows) -> None:
    assert CMCR.shows(CMCROptions(**options)) == shows


def test_what_is_shown_is_what_the_losses_are_made_of(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone, method = make({"masks": {"probability": 1}, "decoder_divisor": 2})
    backbone.eval()
    method.eval()
    compared, asked, aligned = Recorder(method.compare), Recorder(method.estimate), Recorder(method.align)
    for name, recorder in (("compare", compared), ("estimate", asked), ("align", aligned)):
        monkeypatch.setattr(method, name, recorder)
    losses = method.losses(step_of(backbone, batch))
    # The masks are drawn first, and so are the same; nothing else of the reconstruction is drawn.
    rebuilt = method.rebuild(step_of(backbone, batch))
    for found, expected in zip(rebuilt, compared.given[0][1], strict=True):
        torch.testing.assert_close(found, expected)
    assert F.mse_loss(rebuilt.rebuilt_I3hw, rebuilt.target_I3hw).item() == pytest.approx(
        losses["reconstruction"].item()
    )
    matched = method.match(step_of(backbone, batch))
    assert matched.codes_2N is not None
    assert method.codebook is not None
    for codes_N, features_NC in zip(matched.codes_2N, aligned.given[0][2:], strict=True):
        assert torch.equal(codes_N, method.codebook.assign(features_NC))
    # The same features answer; `occupancy_losses` counts meetings where `ask` averages over them.
    survey = method.survey(step_of(backbone, batch))
    head, _, features_VC = asked.given[0]
    queries = method.draw_queries(step_of(backbone, batch))
    assert torch.equal(survey.position_Q3, queries.position_Q3)
    expected = cmcr_module.estimate_occupancy(head, features_VC, method.meet(step_of(backbone, batch), queries))
    torch.testing.assert_close(survey.ask(survey.position_Q3, survey.scan_Q), expected, equal_nan=True)
    assert survey.ask(torch.tensor([[500.0, 0, 0]]), torch.tensor([0])).isnan().all()


def test_every_image_is_masked_for_the_eye_however_few_are_in_training(batch: Batch) -> None:
    backbone, method = make({"masks": {"probability": 0.01}})
    assert method.rebuild(step_of(backbone, batch)).masks_Ihw.flatten(1).any(dim=1).all()


def test_an_intensity_that_is_not_learned_is_not_shown(batch: Batch) -> None:
    backbone, method = make({"weights": {"intensity": 0}})
    assert method.survey(step_of(backbone, batch)).intensity_Q is None


# --- what is refused ---


def test_without_an_unmasked_pair_the_error_names_option_and_scans(batch: Batch) -> None:
    backbone, method = make({"masks": {"probability": 1, "ratio": 1}})
    with pytest.raises(ConfigError, match=r"ratio 1, patch_size_px 16.*scans scan0, scan1"):
        method.losses(step_of(backbone, batch))


def test_a_feature_that_is_not_finite_names_the_scans(batch: Batch) -> None:
    backbone, method = make({})
    step = step_of(backbone, batch)
    broken = dataclasses.replace(step, voxel_VC=step.voxel_VC * float("nan"))
    with pytest.raises(CMCRError, match=r"NaN or infinite\n  scans:    scan0, scan1"):
        method.losses(broken)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"masks": {"ratio": 1.5}}, r"masks\.ratio\n.*input_value=1\.5"),
        ({"masks": {"probability": -0.1}}, r"masks\.probability\n.*input_value=-0\.1"),
        ({"codebook": {"codes": 0}}, r"codebook\.codes\n.*input_value=0"),
        ({"codebook": {"decay": 1}}, r"codebook\.decay\n.*input_value=1"),
        ({"channels": 6}, r"channels\n.*multiple of 4.*input_value=6"),
        ({"weights": {"kl": -1}}, r"weights\.kl\n.*input_value=-1"),
        ({"weights": {"info_nse": 1}}, r"weights\.info_nse\n"),
        ({"decoder_divisor": 3}, r"decoder_divisor 3, masks\.patch_size_px 16: the one must divide"),
        ({"weights": dict.fromkeys(CMCRWeights.model_fields, 0)}, "nothing to learn"),
        (
            STEPS["contrastive"][0] | {"weights": {**STEPS["contrastive"][0]["weights"], "info_nce": 0}},
            "nothing to learn",
        ),
    ],
)
def test_bad_values_are_refused_with_option_and_value(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        CMCROptions(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"masks": {"patch_size_px": 64}}, r"patch_size_px: .* 32 x 64 pixels, found 64"),
        ({"masks": {"patch_size_px": 22}, "decoder_divisor": 11}, r"decoder_divisor: .* 32 x 64 pixels, found 11"),
    ],
)
def test_sizes_that_do_not_fit_the_images_are_refused(options: dict[str, Any], message: str, batch: Batch) -> None:
    backbone, method = make(options)
    with pytest.raises(ConfigError, match=message):
        method.losses(step_of(backbone, batch))
