from __future__ import annotations

import pytest
import torch

from cmcr.losses.commitment import commitment

# Equality with the released code: see test_codebook.py, where the codes come from.


def test_a_case_solved_by_hand() -> None:
    features = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    own, other = torch.tensor([[1.0, 1.0], [0.0, 0.0]]), torch.tensor([[3.0, 0.0], [0.0, 2.0]])
    # Own: (1 + 4) / 4 elements; other: 4 / 4 elements.
    assert commitment(features, own, other, cost=0.25).item() == pytest.approx(2 * 0.25 * 5 / 4 + 0.25 * 1)


def test_equals_the_equation_and_moves_features_not_codes() -> None:
    generator = torch.Generator().manual_seed(0)
    tensors = torch.randn(3, 7, 5, generator=generator, dtype=torch.float64)
    features, own, other = (tensor.clone().requires_grad_() for tensor in tensors)
    loss = commitment(features, own, other, cost=0.3)
    loss.backward()
    slow = 0.0
    for i in range(7):
        for c in range(5):
            f, e, other_e = (float(tensor[i, c]) for tensor in tensors)
            slow += 2 * 0.3 * (f - e) ** 2 + 0.3 * (f - other_e) ** 2
    assert loss.item() == pytest.approx(slow / 35, rel=1e-12)
    assert features.grad is not None
    torch.testing.assert_close(features.grad, 0.3 * (4 * (features - own) + 2 * (features - other)).detach() / 35)
    assert own.grad is None
    assert other.grad is None


@pytest.mark.parametrize("shapes", [[(3, 4), (3, 4), (2, 4)], [(3, 4), (3, 1), (3, 4)], [(0, 4), (0, 4), (0, 4)]])
def test_wrong_shapes_are_refused(shapes: list[tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match="one code of its own and one of its partner"):
        commitment(*(torch.zeros(shape) for shape in shapes), cost=0.25)
