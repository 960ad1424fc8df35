from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import run_in_processes
from torch import Tensor

from cmcr.losses import codebook as codebook_module
from cmcr.losses.code_matching import code_matching
from cmcr.losses.codebook import DEAD_AFTER, Codebook, CodebookOptions, CodebookUse
from cmcr.losses.commitment import commitment

STATE = ("codes", "counts", "sums", "idle")


def make_codebook(codes: int, channels: int, pairs: int, seed: int = 0, **options: Any) -> Codebook:
    generator = torch.Generator().manual_seed(seed)
    return Codebook(CodebookOptions(codes=codes, **options), channels, pairs, generator)


def unit_rows(*shape: int, seed: int) -> Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def assert_same_state(one: Codebook, other: Codebook, *, exactly: bool) -> None:
    for name in STATE:
        ours, expected = one.get_buffer(name), other.get_buffer(name)
        if exactly:
            assert torch.equal(ours, expected), name
        else:
            torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-6, msg=name)


# --- against the released code ---


def codebook_losses(codebook: Codebook, points: Tensor, pixels: Tensor) -> dict[str, Tensor]:
    """All three, as the method uses them."""
    point_codes, pixel_codes = codebook.nearest(points), codebook.nearest(pixels)
    return {
        "points": commitment(points, point_codes, pixel_codes, cost=0.25),
        "pixels": commitment(pixels, pixel_codes, point_codes, cost=0.25),
        "cross_modal": code_matching(codebook.distances(points), codebook.distances(pixels)),
    }


def test_losses_gradients_and_two_updates_equal_the_released_code(shared: Path) -> None:
    with np.load(shared / "fixtures" / "official_losses.npz") as file:
        official = {name.removeprefix("codebook/"): file[name] for name in file.files if name.startswith("codebook/")}
    order = official["sample_order"]
    image, row, column = official["pairing_images"][order].T
    start = torch.tensor(official["initial_embedding"])
    codebook = make_codebook(*start.shape, len(order), decay=official["decay"], epsilon=official["epsilon"])
    codebook.codes.copy_(start)
    codebook.sums.copy_(start)
    point_features = torch.tensor(official["point_features"], requires_grad=True)
    pixel_features = torch.tensor(official["pixel_features"], requires_grad=True)
    for number, suffix in ((1, ""), (2, "_2")):
        points = point_features[official["pairing_points"][order]]
        pixels = pixel_features[image, :, row, column]
        losses = codebook_losses(codebook, points, pixels)
        # Before the backward pass, as in training: moving the codes must not touch the gradient.
        use = codebook.update(points, pixels)
        for name, loss in losses.items():
            assert loss.item() == pytest.approx(float(official[f"loss_{name}{suffix}"]), rel=1e-5), name
        np.testing.assert_allclose(codebook.codes, official[f"embedding_after_{number}"], rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(codebook.counts, official[f"ema_count_after_{number}"], rtol=1e-5)
        if number == 1:
            np.testing.assert_allclose(codebook.sums, official["ema_weight_after_1"], rtol=1e-5, atol=1e-7)
            sum(losses.values(), torch.zeros(())).backward()
            for features, name in ((point_features, "grad_points"), (pixel_features, "grad_pixels")):
                assert features.grad is not None
                np.testing.assert_allclose(
                    features.grad.numpy(), official[name], rtol=0, atol=1e-4 * np.abs(official[name]).max()
                )
            assert use.perplexity_points.item() == pytest.approx(float(official["perplexity_points"]), rel=1e-5)
            assert use.perplexity_pixels.item() == pytest.approx(float(official["perplexity_pixels"]), rel=1e-5)


# --- against slow loops ---


def slow_update(codebook: Codebook, points: Tensor, pixels: Tensor) -> tuple[list[list[float]], list[float]]:
    """Codes and counts after an update, number by number from the equations."""
    codes, counts, sums = (codebook.get_buffer(name).tolist() for name in ("codes", "counts", "sums"))
    decay, epsilon, number = codebook.options.decay, codebook.options.epsilon, len(codes)
    f, g = points.tolist(), pixels.tolist()
    for picking in (f, g):
        picked = [min(range(number), key=lambda k: math.dist(row, codes[k])) for row in picking]
        for k in range(number):
            pairs = [i for i in range(len(f)) if picked[i] == k]
            weight = (1 - decay) * codebook.pairs_per_update / len(f)
            counts[k] = decay * counts[k] + weight * len(pairs)
            for c in range(codebook.channels):
                halfway = sum((f[i][c] + g[i][c]) / 2 for i in pairs)
                sums[k][c] = decay * sums[k][c] + weight * halfway
        total = sum(counts)
        counts = [(count + epsilon) / (total + number * epsilon) * total for count in counts]
    return [[value / math.hypot(*row) for value in row] for row in sums], counts


@pytest.mark.parametrize(("pairs", "codes", "channels"), [(1, 1, 1), (1, 3, 2), (9, 4, 3), (30, 11, 8)])
@pytest.mark.parametrize(("decay", "epsilon"), [(0.999, 1e-5), (0.6, 0.1)])
def test_updates_equal_the_equations(pairs: int, codes: int, channels: int, decay: float, epsilon: float) -> None:
    codebook = make_codebook(codes, channels, pairs_per_update := 20, seed=codes, decay=decay, epsilon=epsilon)
    assert codebook.pairs_per_update == pairs_per_update
    for step in range(3):
        points, pixels = unit_rows(2, pairs, channels, seed=step)
        expected_codes, expected_counts = slow_update(codebook, points, pixels)
        codebook.update(points, pixels)
        torch.testing.assert_close(codebook.codes, torch.tensor(expected_codes), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(codebook.counts, torch.tensor(expected_counts), rtol=1e-4, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(0, 40), codes=st.integers(1, 9), seed=st.integers(0, 1000))
def test_assignment_is_to_the_nearest_code_whatever_the_lengths(rows: int, codes: int, seed: int) -> None:
    codebook = make_codebook(codes, 3, 1).double()
    generator = torch.Generator().manual_seed(seed)
    codebook.codes.copy_(torch.randn(codes, 3, generator=generator, dtype=torch.float64))
    features = 2 * torch.randn(rows, 3, generator=generator, dtype=torch.float64)
    expected = [
        min(range(codes), key=lambda k: math.dist(row, codebook.codes[k].tolist())) for row in features.tolist()
    ]
    assert codebook.assign(features).tolist() == expected


def test_images_are_assigned_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    codebook, features = make_codebook(7, 4, 1), unit_rows(2, 5, 3, 4, seed=1)
    at_once = codebook.assign(features)
    monkeypatch.setattr(codebook_module, "ROWS_AT_ONCE", 4)
    assert at_once.shape == (2, 5, 3)
    assert torch.equal(codebook.assign(features), at_once)
    assert torch.equal(codebook.nearest(features), codebook.codes[at_once])


def test_distances_are_euclidean_and_harmless_at_a_code() -> None:
    codebook = make_codebook(6, 4, 1).double()
    features = unit_rows(5, 4, seed=2).double().requires_grad_()
    slow = [[math.dist(row, code) for code in codebook.codes.tolist()] for row in features.tolist()]
    torch.testing.assert_close(codebook.distances(features), torch.tensor(slow, dtype=torch.float64))
    assert torch.autograd.gradcheck(codebook.distances, features)
    # A feature that is a code: the distance has a kink there, and its gradient must not be NaN. In single precision and
    # for many rows, because the root of a rounded difference is taken there.
    codebook.float()
    at_codes = codebook.codes.repeat(10, 1).requires_grad_()
    codebook.distances(at_codes).sum().backward()
    assert at_codes.grad is not None
    assert at_codes.grad.isfinite().all()


# --- cases solved by hand ---


def two_codes(**options: Any) -> Codebook:
    """Codes along x and along y."""
    codebook = make_codebook(2, 2, 4, **options)
    codebook.codes.copy_(torch.eye(2))
    codebook.sums.copy_(torch.eye(2))
    return codebook


def test_an_update_solved_by_hand() -> None:
    # One pair: the point is nearest to code x, its pixel to code y. N/M = 4, 1 - d = 1/2, halfway = (0.6, 0.8) + (0, 1)
    # over 2 = (0.3, 0.9), so each pick adds 2 (0.3, 0.9). Points first:
    #   sum_x = (1, 0)/2 + (0.6, 1.8) = (1.1, 1.8), sum_y = (0, 1)/2; then pixels:
    #   sum_x = (0.55, 0.9),                        sum_y = (0, 1)/4 + (0.6, 1.8) = (0.6, 2.05).
    codebook = two_codes(decay=0.5, epsilon=1e-9)
    use = codebook.update(torch.tensor([[0.8, 0.6]]), torch.tensor([[-0.2, 1.2]]))
    torch.testing.assert_close(codebook.sums, torch.tensor([[0.55, 0.9], [0.6, 2.05]]))
    torch.testing.assert_close(codebook.codes, F.normalize(torch.tensor([[0.55, 0.9], [0.6, 2.05]]), dim=1))
    torch.testing.assert_close(codebook.counts, torch.tensor([1.0, 2.0]))
    assert use == CodebookUse(1, 1, 0, 1, 0)


def test_use_is_counted_per_modality_and_together() -> None:
    x, y = [1.0, 0.0], [0.0, 1.0]
    use = two_codes().update(torch.tensor([x, x, x, y]), torch.tensor([x, x, y, x]))
    share = torch.tensor([0.75, 0.25])
    assert use.perplexity_points.item() == pytest.approx((-(share * share.log()).sum()).exp().item())
    assert use.perplexity_pixels.item() == pytest.approx(use.perplexity_points.item())
    assert use.agreement == 0.5
    use = two_codes().update(torch.tensor([x, y]), torch.tensor([x, x]))
    assert (use.perplexity_points.item(), use.perplexity_pixels.item()) == (pytest.approx(2), pytest.approx(1))
    use = two_codes().update(torch.tensor([x]), torch.tensor([x]))
    assert (use.used_share, use.agreement) == (0.5, 1)


def test_a_code_is_dead_once_neither_modality_picks_it_for_long() -> None:
    codebook = two_codes()
    x, y = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    dead = [int(codebook.update(x, x).dead_codes) for _ in range(DEAD_AFTER + 1)]
    assert dead == [0] * (DEAD_AFTER - 1) + [1, 1]
    assert codebook.update(x, y).dead_codes == 0


# --- properties ---


def test_codes_start_uniform_of_length_one_and_from_the_generator() -> None:
    assert make_codebook(4, 3, 5).idle.dtype == torch.int64  # a count in single precision ends at 2**24
    codebook = make_codebook(400, 3, 1)
    torch.testing.assert_close(codebook.codes.norm(dim=1), torch.ones(400))
    assert codebook.codes.mean(dim=0).abs().max() < 0.1
    assert torch.equal(codebook.sums, codebook.codes)
    assert codebook.counts.count_nonzero() == 0
    assert_same_state(codebook, make_codebook(400, 3, 1), exactly=True)
    assert not torch.equal(codebook.codes, make_codebook(400, 3, 1, seed=1).codes)


def test_quantised_features_have_the_value_of_the_code_and_the_gradient_of_the_feature() -> None:
    codebook, features = make_codebook(5, 3, 1), unit_rows(2, 4, 3, seed=3).requires_grad_()
    quantised = codebook.quantise(features)
    torch.testing.assert_close(quantised, codebook.nearest(features))
    incoming = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(4))
    quantised.backward(incoming)
    assert features.grad is not None
    assert torch.equal(features.grad, incoming)


def test_an_update_before_the_backward_pass_does_not_touch_the_gradient() -> None:
    codebook, features = make_codebook(6, 4, 30, decay=0.5), unit_rows(2, 30, 4, seed=5).requires_grad_()
    expected = torch.autograd.grad(sum(codebook_losses(codebook, *features).values()), features)[0]
    losses = codebook_losses(codebook, *features)
    codebook.update(*features)
    assert torch.equal(torch.autograd.grad(sum(losses.values()), features)[0], expected)


@settings(max_examples=25, deadline=None)
@given(pairs=st.integers(1, 20), times=st.integers(2, 4), seed=st.integers(0, 1000))
def test_order_and_repetition_of_pairs_do_not_matter(pairs: int, times: int, seed: int) -> None:
    points, pixels = unit_rows(2, pairs, 4, seed=seed)
    order = torch.randperm(times * pairs, generator=torch.Generator().manual_seed(seed)) % pairs
    one, other = make_codebook(6, 4, 50, decay=0.9), make_codebook(6, 4, 50, decay=0.9)
    use, other_use = one.update(points, pixels), other.update(points[order], pixels[order])
    assert_same_state(one, other, exactly=False)
    torch.testing.assert_close(torch.stack(use[:4]), torch.stack(other_use[:4]))
    torch.testing.assert_close(one.codes.norm(dim=1), torch.ones(6))
    assert one.counts.sum().item() == pytest.approx(50 * (1 - 0.9**2), rel=1e-5)  # smoothing keeps the total


def test_averaging_the_states_of_devices_is_the_same_as_weighing_their_pairs_together() -> None:
    """The released code lets each device update with its own N pairs and averages counts and sums afterwards."""
    batch = unit_rows(2, 60, 4, seed=5)
    together, *apart = (make_codebook(8, 4, 20, decay=0.9, epsilon=0.01) for _ in range(4))
    together.update(*batch)
    for device, (points, pixels) in zip(apart, batch.view(2, 3, 20, 4).transpose(0, 1), strict=True):
        device.update(points, pixels)
    counts = torch.stack([device.counts for device in apart]).mean(dim=0)
    sums = torch.stack([device.sums for device in apart]).mean(dim=0)
    torch.testing.assert_close(together.counts, counts)
    torch.testing.assert_close(together.codes, F.normalize(sums / counts[:, None], dim=1))


def test_a_resumed_codebook_goes_on_exactly(tmp_path: Path) -> None:
    steps = unit_rows(6, 2, 30, 4, seed=5)
    straight = make_codebook(8, 4, 30, decay=0.9)
    for points, pixels in steps[:3]:
        straight.update(points, pixels)
    torch.save(straight.state_dict(), tmp_path / "codebook.pt")
    resumed = make_codebook(8, 4, 30, seed=9, decay=0.9)
    resumed.load_state_dict(torch.load(tmp_path / "codebook.pt", weights_only=True))
    for points, pixels in steps[3:]:
        assert straight.update(points, pixels) == resumed.update(points, pixels)
    assert_same_state(straight, resumed, exactly=True)
    assert sorted(straight.state_dict()) == sorted(STATE)
    assert not list(straight.parameters())


def test_a_code_that_faded_keeps_its_direction_and_can_come_back() -> None:
    """The released code divides its sum by at least 1e-12 and so shrinks it to nothing after some 16,000 updates."""
    codebook = two_codes()
    codebook.sums[1] *= 1e-30
    x, y = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.6, 0.8]])
    codebook.update(x, x)
    assert torch.equal(codebook.codes[1], torch.tensor([0.0, 1.0]))
    codebook.update(y, y)
    torch.testing.assert_close(codebook.codes[1:], y)


def test_updates_bring_the_codes_to_the_features() -> None:
    places = unit_rows(8, 5, seed=6)
    points = F.normalize(places.repeat(40, 1) + 0.05 * unit_rows(320, 5, seed=7), dim=1)
    pixels = F.normalize(places.repeat(40, 1) + 0.05 * unit_rows(320, 5, seed=8), dim=1)
    codebook = make_codebook(64, 5, 320, decay=0.9)
    before = (codebook.nearest(points) - points).norm(dim=1).mean()
    for _ in range(60):
        codebook.update(points, pixels)
    after = (codebook.nearest(points) - points).norm(dim=1).mean()
    assert before > 0.3
    assert after < 0.06
    # So that code matching, which is blind at the start, can tell the places apart by their codes.
    assert (codebook.assign(points) == codebook.assign(pixels)).float().mean() > 0.5


def test_mixed_precision_changes_nothing() -> None:
    points, pixels = unit_rows(2, 50, 16, seed=9)
    exact, mixed = make_codebook(20, 16, 50), make_codebook(20, 16, 50)
    distances = exact.distances(points)
    exact.update(points, pixels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(mixed.distances(points), distances)
        mixed.update(points, pixels)
        # Features that are bfloat16 already, as a layer's output is here, are measured in full precision.
        coarse = (points.bfloat16(), pixels.bfloat16())
        assert torch.equal(mixed.distances(coarse[0]), exact.distances(coarse[0].float()))
        exact.update(coarse[0].float(), coarse[1].float())
        mixed.update(*coarse)
    assert_same_state(exact, mixed, exactly=True)


# --- refusals ---


def test_numbers_that_are_not_positive_are_refused() -> None:
    with pytest.raises(ValueError, match="codes\n  Input should be greater than 0"):
        CodebookOptions(codes=0)
    for decay in (0.0, 1.0):
        with pytest.raises(ValueError, match="decay\n  Input should be"):
            CodebookOptions(decay=decay)
    with pytest.raises(ValueError, match="found 0 and 5"):
        make_codebook(4, 0, 5)
    with pytest.raises(ValueError, match="found 3 and 0"):
        make_codebook(4, 3, 0)


@pytest.mark.parametrize("shape", [(3, 5), (4,), (0, 3)])
def test_features_of_another_width_are_refused(shape: tuple[int, ...]) -> None:
    codebook = make_codebook(6, 4, 1)
    for use in (codebook.assign, codebook.distances, codebook.quantise):
        with pytest.raises(ValueError, match="expected features of 4 channels"):
            use(torch.zeros(shape))


def test_an_update_that_cannot_be_leaves_everything_as_it_was() -> None:
    codebook, untouched = make_codebook(6, 4, 1), make_codebook(6, 4, 1)
    with pytest.raises(ValueError, match="as many points as pixels; found"):
        codebook.update(torch.zeros(3, 4), torch.zeros(2, 4))
    with pytest.raises(ValueError, match="no pair of point and pixel"):
        codebook.update(torch.zeros(0, 4), torch.zeros(0, 4))
    points = unit_rows(3, 4, seed=0)
    for bad in (math.nan, math.inf):
        with pytest.raises(ValueError, match="NaN or infinite"):
            codebook.update(points, torch.where(torch.eye(3, 4) > 0, bad, points))
    assert_same_state(codebook, untouched, exactly=True)


# --- several processes ---

#: How the pairs of each update are spread over two processes; the last process has none in the second update.
SPREADS = ((37, 11), (48, 0), (24, 24))


def batches() -> list[tuple[Tensor, Tensor]]:
    return [tuple(unit_rows(2, 48, 6, seed=step)) for step in range(len(SPREADS))]


def update_in_one_of_two(rank: int, folder: Path) -> None:
    codebook = make_codebook(10, 6, 24, decay=0.9)
    uses = []
    for (points, pixels), (first, _) in zip(batches(), SPREADS, strict=True):
        own = slice(0, first) if rank == 0 else slice(first, None)
        uses.append(torch.stack([value.float() for value in codebook.update(points[own], pixels[own])]))
    refusals = []
    # No pair at all; then one that is NaN, in one process alone. Neither process may be left waiting for the other.
    for points in (torch.zeros(0, 6), torch.full((1, 6), math.nan if rank == 1 else 0.5)):
        with pytest.raises(ValueError, match="cannot be updated") as refusal:
            codebook.update(points, points)
        refusals.append(str(refusal.value))
    torch.save({"state": codebook.state_dict(), "uses": uses, "refusals": refusals}, folder / f"{rank}.pt")


@pytest.mark.slow
def test_two_processes_equal_one_with_all_pairs(tmp_path: Path) -> None:
    run_in_processes(2, update_in_one_of_two, tmp_path)
    alone = make_codebook(10, 6, 24, decay=0.9)
    uses = [torch.stack([value.float() for value in alone.update(*batch)]) for batch in batches()]
    found = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    for name in STATE:
        assert torch.equal(found[0]["state"][name], found[1]["state"][name])
    for one in found:
        together = make_codebook(10, 6, 24, seed=9)
        together.load_state_dict(one["state"])
        assert_same_state(together, alone, exactly=False)
        torch.testing.assert_close(torch.stack(one["uses"]), torch.stack(uses))
        assert ["no pair" in one["refusals"][0], "NaN" in one["refusals"][1]] == [True, True]


def test_a_code_is_dead_when_nobody_has_picked_it_for_that_many_updates() -> None:
    codebook = make_codebook(codes=2, channels=2, pairs=1)
    codebook.codes.copy_(torch.tensor([[1.0, 0], [-1, 0]]))
    codebook.sums.copy_(codebook.codes)
    one, other = torch.tensor([[1.0, 0]]), torch.tensor([[-1.0, 0]])
    codebook.update(other, other)
    dead = [int(codebook.update(one, one).dead_codes) for _ in range(DEAD_AFTER)]
    assert dead == [0] * (DEAD_AFTER - 1) + [1]
