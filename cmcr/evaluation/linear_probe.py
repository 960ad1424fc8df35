"""How well a linear map reads something from frozen features (linear probing, Alain & Bengio, arXiv:1610.01644).

The map is ridge regression in closed form: nothing of it is tuned or drawn, so a difference between two rows comes from
their features. Shapes: P points, C channels, T targets, K classes.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from cmcr.data.scan import IGNORE

#: Strength of the ridge on features of unit variance, against a mean square of residuals. Chosen here and fixed: with
#: thousands of points per channel it only keeps dependent channels solvable.
RIDGE: Final = 1e-3


class LinearMap(NamedTuple):
    """Standardisation of features and the map behind it, in float64.

    It does not extrapolate: beyond the range it was fitted to, a channel has the value at the range's end. Else a
    channel that hardly ever fires in the fit makes one held-out point outweigh all others.
    """

    low_C: Tensor
    high_C: Tensor
    mean_C: Tensor
    scale_C: Tensor
    weight_CT: Tensor
    bias_T: Tensor

    def __call__(self, features_PC: Tensor) -> Tensor:
        """Return (P, T) predictions."""
        inside_PC = features_PC.double().clamp(self.low_C, self.high_C)
        return (inside_PC - self.mean_C) / self.scale_C @ self.weight_CT + self.bias_T


def fit_ridge(
    features_PC: Tensor, target_PT: Tensor, weight_P: Tensor | None = None, ridge: float = RIDGE
) -> LinearMap:
    """Fit a linear map with a free offset (ridge regression, Hoerl & Kennard, Technometrics 12, 1970).

        min over W, b of   sum_i w_i ||y_i - W^T x_i - b||^2 + ridge ||W||^2

    with x of weighted mean 0 and variance 1, and weights that sum to one. A channel that is constant has no say.

    Args:
        features_PC: (P, C), any scale.
        target_PT: (P, T).
        weight_P: (P,) weights of the points, at least 0; None weighs them alike.
        ridge: strength.
    """
    features_PC, target_PT = features_PC.double(), target_PT.double()
    weight_P = torch.ones(len(features_PC)) if weight_P is None else weight_P
    weight_P = (weight_P.double() / weight_P.double().sum())[:, None]
    mean_C, bias_T = (weight_P * features_PC).sum(0), (weight_P * target_PT).sum(0)
    centred_PC = features_PC - mean_C
    scale_C = (weight_P * centred_PC.square()).sum(0).sqrt()
    # What rounding leaves of a constant must not be blown up to unit variance.
    scale_C = torch.where(scale_C > 1e-6 * (mean_C.abs() + 1e-6), scale_C, torch.inf)
    x_PC = centred_PC / scale_C
    gram_CC = x_PC.T @ (weight_P * x_PC) + ridge * torch.eye(len(mean_C), dtype=torch.float64)
    weight_CT = torch.linalg.solve(gram_CC, x_PC.T @ (weight_P * (target_PT - bias_T)))
    return LinearMap(features_PC.amin(0), features_PC.amax(0), mean_C, scale_C, weight_CT, bias_T)


def r_squared(prediction_PT: Tensor, target_PT: Tensor) -> float:
    """Share of the targets' variance that is predicted: 1 - SSE / SST, both summed over the T components.

    At most 1; 0 is what their mean would reach, and a map that does not carry over is below. NaN for constant targets.
    """
    target_PT = target_PT.double()
    total = (target_PT - target_PT.mean(0)).square().sum()
    return float(1 - (target_PT - prediction_PT).square().sum() / total) if total > 0 else float("nan")


def probe_value(features: tuple[Tensor, Tensor], targets: tuple[Tensor, Tensor]) -> float:
    """R^2 of a ridge regression on points it was not fitted to.

    Args:
        features: (P, C) to fit, (P', C) held out.
        targets: (P, T) to fit, (P', T) held out.
    """
    return r_squared(fit_ridge(features[0], targets[0])(features[1]), targets[1])


def probe_class(features: tuple[Tensor, Tensor], labels: tuple[Tensor, Tensor]) -> float:
    """Balanced accuracy, the mean recall of the classes that occur (Brodersen et al., ICPR 2010), on held-out points.

    Least squares on one-hot labels; every class weighs the same in the fit as it does in the score, and the largest
    output is the answer. Guessing gives 1 / K.

    Args:
        features: (P, C) to fit, (P', C) held out; no point of the ignored class.
        labels: (P,) to fit, (P',) held out.

    Raises:
        ValueError: there is a point of the ignored class.
    """
    if any((part == IGNORE).any() for part in labels):
        raise ValueError(f"points of the ignored class {IGNORE} have no answer; leave them out")
    count_K = torch.bincount(labels[0])
    fitted = fit_ridge(features[0], F.one_hot(labels[0]), 1 / count_K[labels[0]].double())
    # The outputs sum to one and that of a class without a point is 0, so it is never the largest.
    is_right_P = fitted(features[1]).argmax(1) == labels[1]
    recalls = [is_right_P[labels[1] == k].double().mean() for k in labels[1].unique()]
    return float(torch.stack(recalls).mean())
