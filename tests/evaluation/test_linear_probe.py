from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from cmcr.evaluation.linear_probe import fit_ridge, probe_class, probe_value, r_squared


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("weighted", [False, True])
def test_ridge_equals_least_squares_with_rows_for_the_penalty(weighted: bool) -> None:
    x, y = 3 * draw(50, 4) + 7, draw(50, 2, seed=1)
    w = draw(50, seed=2).abs() if weighted else torch.ones(50, dtype=torch.float64)
    ridge = 0.3
    # sum_i w_i |y_i - W x_i - b|^2 + ridge |W|^2, as one system of equations for lstsq.
    w = w / w.sum()
    mean = (w[:, None] * x).sum(0)
    z = (x - mean) / (w[:, None] * (x - mean) ** 2).sum(0).sqrt()
    root = w.sqrt()[:, None].numpy()
    rows = np.block([[root * z.numpy(), root], [np.sqrt(ridge) * np.eye(4), np.zeros((4, 1))]])
    solution = np.linalg.lstsq(rows, np.concatenate([root * y.numpy(), np.zeros((4, 2))]), rcond=None)[0]
    fitted = fit_ridge(x, y, w if weighted else None, ridge)
    np.testing.assert_allclose(fitted.weight_CT.numpy(), solution[:4], atol=1e-10)
    np.testing.assert_allclose(fitted.bias_T.numpy(), solution[4], atol=1e-10)
    np.testing.assert_allclose(fitted(x).numpy(), z.numpy() @ solution[:4] + solution[4], atol=1e-10)


def test_scale_and_offset_of_a_channel_do_not_matter_and_constants_have_no_say() -> None:
    x, y = draw(80, 3), draw(80, 1, seed=1)
    changed = x * torch.tensor([1e-3, 1.0, 1e4]) + torch.tensor([5.0, -2.0, 1e5])
    constant = torch.cat([changed, torch.full((80, 1), 0.1)], dim=1).float()
    reference = fit_ridge(x, y)(x)
    torch.testing.assert_close(fit_ridge(changed, y)(changed), reference)
    torch.testing.assert_close(fit_ridge(constant, y)(constant), reference, rtol=1e-3, atol=1e-3)


def test_a_channel_that_hardly_ever_fired_does_not_outweigh_everything() -> None:
    x, y = draw(500, 3), draw(500, 1)
    y = x[:, :1] + 0.1 * y
    rare = torch.zeros(500, 1, dtype=torch.float64)
    rare[7] = 1e-3
    held_out = rare.clone()
    held_out[3] = 5.0
    for sign in (1, -1):
        fitted = fit_ridge(torch.cat([x, sign * rare], dim=1), y)
        assert r_squared(fitted(torch.cat([x, sign * held_out], dim=1)), y) > 0.95


def test_beyond_the_range_of_the_fit_nothing_changes() -> None:
    x, y = draw(50, 3) + torch.tensor([0.0, 50.0, -50.0]), draw(50, 1, seed=1)
    fitted = fit_ridge(x, y)
    for bound in (x.amin(0), x.amax(0)):
        for channel in range(3):
            row = x[:1].clone()
            row[0, channel] = bound[channel]
            beyond = row.clone()
            beyond[0, channel] += 9 * (bound - x.mean(0)).sign()[channel]
            assert fitted(beyond) == fitted(row)


def test_a_channel_of_tiny_values_has_its_say_and_a_dead_one_none() -> None:
    x, y = draw(80, 3), draw(80, 1, seed=1)
    tiny = torch.cat([1e-8 * (x[:, :1] - x[:, :1].mean()), x[:, 1:], torch.zeros(80, 1)], dim=1)
    torch.testing.assert_close(fit_ridge(tiny, y)(tiny), fit_ridge(x, y)(x))


def test_r_squared_by_hand() -> None:
    target = torch.tensor([[0.0, 10.0], [2.0, 10.0], [4.0, 16.0]])  # SST 8 + 24
    assert r_squared(target, target) == 1
    assert r_squared(target.mean(0).expand(3, 2), target) == pytest.approx(0)
    assert r_squared(target + torch.tensor([1.0, -1.0]), target) == pytest.approx(1 - 6 / 32)
    assert r_squared(0.01 * target + torch.tensor([0.01, -0.01]), 0.01 * target) == pytest.approx(1 - 6 / 32)
    assert np.isnan(r_squared(target, torch.ones(3, 2)))


def test_a_linear_target_is_read_and_a_permuted_one_is_not() -> None:
    x = (draw(4000, 6), draw(2000, 6, seed=1))
    mix = draw(6, 3, seed=2)
    y = tuple(part @ mix + 1 for part in x)
    assert probe_value((x[0], x[1]), (y[0], y[1])) > 0.999
    shuffled = tuple(part[torch.randperm(len(part), generator=torch.Generator().manual_seed(0))] for part in y)
    assert abs(probe_value((x[0], x[1]), (shuffled[0], shuffled[1]))) < 0.02


def test_rare_classes_count_as_much_as_frequent_ones() -> None:
    # 1 % of class 3; the classes differ by their mean along one axis each, class 2 does not occur.
    def points(number: int, seed: int) -> tuple[Tensor, Tensor]:
        labels = torch.where(torch.arange(number) % 100 == 0, 3, 1)
        return draw(number, 2, seed=seed) + 6 * (labels == 3)[:, None], labels

    (x, k), (x_held_out, k_held_out) = points(4000, 0), points(2000, 1)
    assert probe_class((x, x_held_out), (k, k_held_out)) > 0.99
    # A guess reaches half of two classes, however rare one of them is.
    blind = probe_class((draw(4000, 2, seed=5), draw(2000, 2, seed=6)), (k, k_held_out))
    assert blind == pytest.approx(0.5, abs=0.15)


def test_balanced_accuracy_equals_a_slow_count_from_the_definition() -> None:
    # Classes that overlap, as unlike in number as can be, and other numbers of them held out; nothing of class 2.
    k, k_held_out = torch.tensor([1] * 60 + [3] * 9 + [4]), torch.tensor([1] * 10 + [3] * 40 + [4] * 30)
    middle = 1.5 * draw(5, 2, seed=9)
    x, x_held_out = draw(70, 2) + middle[k], draw(80, 2, seed=1) + middle[k_held_out]
    share = torch.tensor([1 / int((k == label).sum()) for label in k], dtype=torch.float64)
    fitted = fit_ridge(x, torch.stack([(k == label).double() for label in (1, 3, 4)], dim=1), share)
    answers = [(1, 3, 4)[place] for place in fitted(x_held_out).argmax(1).tolist()]
    recalls = []
    for label in (1, 3, 4):
        mine = [answer == label for answer, true in zip(answers, k_held_out.tolist(), strict=True) if true == label]
        recalls.append(sum(mine) / len(mine))
    assert min(recalls) < 1
    assert probe_class((x, x_held_out), (k, k_held_out)) == pytest.approx(sum(recalls) / 3)


def test_a_class_that_was_never_fitted_is_never_right() -> None:
    x, k = draw(100, 2), torch.tensor([1, 2]).repeat(50)
    x = x + 9 * (k == 2)[:, None]
    held_out = k.clone()
    held_out[:25] = 4
    assert probe_class((x, x), (k, held_out)) == pytest.approx(2 / 3, abs=0.02)


def test_the_ignored_class_is_refused() -> None:
    x, k = draw(4, 2), torch.tensor([0, 1, 2, 1])
    with pytest.raises(ValueError, match="ignored class 0"):
        probe_class((x, x), (k, k))
