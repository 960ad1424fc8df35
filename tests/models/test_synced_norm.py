"""BatchNorm over processes equals torch's on all rows together, in values, gradients and running statistics."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from invented import BOUNDS, TINY, TINY_VOXELNET, VOXELS
from processes import run_in_processes
from torch import Tensor, nn

from cmcr.models.backbone import make_backbone
from cmcr.models.synced_norm import RowNorm, synced_norms

#: Rows of the first of two processes; the second has the others.
CASES = {"rows": 5, "no row in the first": 0, "maps": 3}


def made(case: str) -> tuple[nn.Sequential, Tensor, Tensor]:
    """Return a network, eight rows or maps for it, and what its output is weighed with."""
    torch.manual_seed(1)
    shape, norm = ((8, 3, 2, 5), nn.BatchNorm2d(3)) if case == "maps" else ((8, 3), RowNorm(3, eps=1e-3, momentum=0.3))
    # Far from zero, where a sum of squares would lose what matters.
    x, weight = 20 + torch.randn(shape) * torch.arange(1.0, 9).view(-1, *[1] * (len(shape) - 1)), torch.randn(shape)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        norm.bias.uniform_(-1, 1)
    return nn.Sequential(norm, nn.ReLU(inplace=True)), x, weight


def two_steps(network: nn.Sequential, x: Tensor, weight: Tensor) -> dict[str, Tensor]:
    """Run twice on other rows; return what came out, the gradients, the statistics, and what evaluation makes of it."""
    found = {}
    for step in range(2):
        rows = (x * (1 + step)).detach().requires_grad_()
        network.zero_grad()
        out = network(rows)
        (out * weight).sum().backward()
        found |= {f"out {step}": out.detach(), f"gradient {step}": rows.grad}
        found |= {f"{name} {step}": parameter.grad.clone() for name, parameter in network.named_parameters()}
    found |= network.state_dict()
    with torch.no_grad():
        return found | {"evaluated": network.eval()(x)}


def share(rank: int, folder: Path) -> None:
    for case, first in CASES.items():
        network, x, weight = made(case)
        own = slice(0, first) if rank == 0 else slice(first, None)
        with synced_norms(network):
            torch.save(two_steps(network, x[own], weight[own]), folder / f"{case} {rank}.pt")


@pytest.mark.slow
def test_two_processes_equal_one_with_all_rows(tmp_path: Path) -> None:
    run_in_processes(2, share, tmp_path)
    for case in CASES:
        expected = two_steps(*made(case))
        parts = [torch.load(tmp_path / f"{case} {rank}.pt", weights_only=True) for rank in range(2)]
        for name, whole in expected.items():
            both = [part[name] for part in parts]
            if name.startswith(("out", "gradient", "evaluated")):
                found = torch.cat(both)
            elif name.startswith(("0.weight ", "0.bias ")):
                found = both[0] + both[1]  # DDP divides each loss's gradient by the number of processes
            else:
                assert torch.equal(*both)
                found = both[0]
            torch.testing.assert_close(
                found, whole, rtol=1e-5, atol=1e-5, msg=lambda text, at=f"{case}, {name}": f"{at}: {text}"
            )


@pytest.mark.parametrize(("options", "grid"), [(TINY, VOXELS), (TINY_VOXELNET, BOUNDS)])
def test_weights_keep_their_names_and_layers_come_back(options, grid) -> None:
    network = make_backbone(options, grid)
    names = list(network.state_dict())
    with synced_norms(network):
        assert list(network.state_dict()) == names
        make_backbone(options, grid).load_state_dict(network.state_dict(), strict=True)
    assert not [layer for layer in network.modules() if "forward" in vars(layer)]


def test_rows_that_are_not_there_leave_the_statistics_alone() -> None:
    norm = RowNorm(3)
    assert norm(torch.zeros(0, 3)).shape == (0, 3)
    assert norm.num_batches_tracked == 0
    assert torch.equal(norm.running_var, torch.ones(3))
