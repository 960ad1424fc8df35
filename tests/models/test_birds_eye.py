from __future__ import annotations

import torch

from cmcr.models.birds_eye import BirdsEyeGrid


def test_rows_follow_y_and_columns_x() -> None:
    grid = BirdsEyeGrid(range_m=2, cell_m=0.5)
    assert grid.side == 8
    xy = torch.tensor([[-2.0, -2.0], [1.9, -1.9], [-1.6, -1.4], [0.1, 0.1]])
    cells, inside = grid.cells(xy)
    assert cells.tolist() == [0, 7, 8, 4 * 8 + 4]
    assert inside.all()
    assert grid.centre_of(cells).tolist() == [[-1.75, -1.75], [1.75, -1.75], [-1.75, -1.25], [0.25, 0.25]]


def test_the_upper_edge_is_outside_as_is_what_lies_beyond() -> None:
    grid = BirdsEyeGrid(range_m=2, cell_m=0.5)
    _, inside = grid.cells(torch.tensor([[2.0, 0], [0, 2.0], [-2.01, 0], [0, -1e6], [1.99, 1.99]]))
    assert inside.tolist() == [False, False, False, False, True]


def test_a_range_that_is_no_multiple_of_the_cell_is_rounded_up() -> None:
    grid = BirdsEyeGrid(range_m=1, cell_m=0.3)
    assert grid.side == 8
    cells, inside = grid.cells(torch.tensor([[1.1, -1.1]]))
    assert inside.all()
    assert (grid.centre_of(cells) - torch.tensor([[1.05, -1.05]])).abs().max() < 1e-6


def test_the_centre_of_each_cell_lies_in_it() -> None:
    grid = BirdsEyeGrid(range_m=3, cell_m=0.4)
    numbers = torch.arange(grid.side**2)
    cells, inside = grid.cells(grid.centre_of(numbers))
    assert inside.all()
    assert torch.equal(cells, numbers)
