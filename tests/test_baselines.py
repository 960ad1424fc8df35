"""What every method must do, walked over whatever lies in ``baselines/``: a newcomer is tested unasked.

Methods elsewhere are walked too if their folders are named, as in PATH, by the environment variable CMCR_PLUGIN_DIRS.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from invented import BOUNDS, IMAGE_SIZE, TINY, TINY_VOXELNET, VOXELS, feature_bank, paired_scans, square_superpixels
from torch import Tensor

from cmcr.data.batches import Batch, collate
from cmcr.data.range_grid import RangeGrid
from cmcr.data.voxels import VoxelGrid
from cmcr.models.backbone import make_backbone, point_features
from cmcr.models.minkunet import MinkUNet
from cmcr.options import Options
from cmcr.pretrain.learned import METHOD_FILE, load_method, save_method
from cmcr.pretrain.method import Channels, PretrainMethod, Step
from cmcr.pretrain.plugins import find_plugins, load_plugin

IMAGE_CHANNELS = 6
ELSEWHERE = [Path(folder) for folder in os.environ.get("CMCR_PLUGIN_DIRS", "").split(os.pathsep) if folder]
METHODS = {name: load_plugin(name, ELSEWHERE) for name in find_plugins(ELSEWHERE)}
LEARNERS = [name for name, method in METHODS.items() if method.pretrains]
#: Where a loss cannot be expected to fall in a few steps.
CANNOT_LEARN = {"shuffled_pairs"}


@pytest.fixture(scope="module")
def batch() -> Batch:
    """Two scans with image features and without labels."""
    return paired_batch(VOXELS)


def paired_batch(grid: VoxelGrid | RangeGrid) -> Batch:
    dataset = paired_scans(2, feature_bank(2, IMAGE_CHANNELS), grid)
    made = collate([dataset[0], dataset[1]])
    # Images as well, for methods that change them and encode them again.
    pixels = torch.rand(4, 3, *IMAGE_SIZE, generator=torch.Generator().manual_seed(0))
    return dataclasses.replace(made, images=pixels, superpixels=square_superpixels(4))


def encode(images: Tensor) -> Tensor:
    """A frozen image encoder: (I, 3, H, W) to (I, IMAGE_CHANNELS, H / 8, W / 8)."""
    small = torch.nn.functional.avg_pool2d(images, 8)
    return torch.cat([small, small.square()], dim=1)


def make(name: str, seed: int = 0, **options: Any) -> tuple[MinkUNet, PretrainMethod]:
    torch.manual_seed(seed)
    method_class = METHODS[name]
    backbone = make_backbone(TINY)
    return backbone, method_class(method_class.Options(**options), Channels(backbone.out_channels, IMAGE_CHANNELS))


def losses_of(backbone: MinkUNet, method: PretrainMethod, batch: Batch, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return method.losses(Step(batch, backbone(batch.voxels()), encode, generator))


def descend(name: str, batch: Batch, steps: int, seed: int = 0) -> tuple[list[float], dict[str, Tensor]]:
    """Take steps; return the loss before each of them and the final weights."""
    backbone, method = make(name, seed)
    optimizer = torch.optim.AdamW([*backbone.parameters(), *method.parameters()], lr=3e-3)
    course = []
    for step in range(steps):
        loss = torch.stack(list(losses_of(backbone, method, batch, seed=step).values())).sum()
        course.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return course, {**backbone.state_dict(), **method.state_dict()}


def test_the_methods_of_this_repository_are_found() -> None:
    assert {"scratch", "shuffled_pairs", "pixel_position", "ppkt"} <= set(METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_it_says_what_it_is(name: str) -> None:
    method = METHODS[name]
    assert method.id == name
    assert method.label
    assert method.source.paper
    assert method.__doc__
    assert set(method.probe_batch_norm) <= {"stored", "recalibrated"}


@pytest.mark.parametrize("name", METHODS)
def test_its_options_survive_a_round_trip_and_are_closed(name: str) -> None:
    options = METHODS[name].Options
    assert issubclass(options, Options)
    assert options.model_validate_json(options().model_dump_json()) == options()
    assert all(field.description for field in options.model_fields.values())
    with pytest.raises(ValueError, match="no_such_option"):
        options.model_validate({"no_such_option": 1})


@pytest.mark.parametrize("name", LEARNERS)
def test_its_losses_are_finite_scalars_and_reach_backbone_and_heads(name: str, batch: Batch) -> None:
    backbone, method = make(name)
    losses = losses_of(backbone, method, batch)
    assert losses
    for term, loss in losses.items():
        assert loss.shape == (), f"loss {term!r} is no scalar"
        assert torch.isfinite(loss), f"loss {term!r} is {loss.item()}"
    torch.stack(list(losses.values())).sum().backward()
    without = [n for m in (backbone, method) for n, p in m.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without


@pytest.mark.parametrize("name", [name for name in LEARNERS if "voxelnet" in METHODS[name].backbones])
def test_with_a_voxelnet_its_losses_are_finite_and_reach_backbone_and_heads(name: str) -> None:
    torch.manual_seed(0)
    batch, backbone = paired_batch(BOUNDS), make_backbone(TINY_VOXELNET, BOUNDS)
    method = METHODS[name](METHODS[name].Options(), Channels(backbone.out_channels, IMAGE_CHANNELS))
    step = Step(batch, point_features(backbone, batch), encode, torch.Generator().manual_seed(0))
    losses = method.losses(step)
    assert all(torch.isfinite(loss) and loss.shape == () for loss in losses.values())
    torch.stack(list(losses.values())).sum().backward()
    without = [n for m in (backbone, method) for n, p in m.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without


@pytest.mark.parametrize("name", LEARNERS)
def test_twenty_steps_lower_the_loss(name: str, batch: Batch) -> None:
    course, _ = descend(name, batch, steps=20)
    assert np.isfinite(course).all()
    if name not in CANNOT_LEARN:
        assert np.mean(course[-3:]) < 0.97 * course[0]


@pytest.mark.parametrize("name", LEARNERS)
def test_the_same_seed_gives_the_same_steps(name: str, batch: Batch) -> None:
    (first, weights), (again, same) = (descend(name, batch, steps=3) for _ in range(2))
    assert first == again
    assert all(torch.equal(tensor, same[name]) for name, tensor in weights.items())
    assert descend(name, batch, steps=1, seed=1)[0] != first[:1]


@pytest.mark.parametrize("name", LEARNERS)
def test_it_draws_from_the_steps_generator_alone(name: str, batch: Batch) -> None:
    backbone, method = make(name)
    before = torch.random.get_rng_state()
    numpy_before = np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002 (that nobody touched it)
    losses_of(backbone, method, batch)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert (np.random.get_state()[1] == numpy_before).all()  # type: ignore[index]  # noqa: NPY002


@pytest.mark.parametrize("name", LEARNERS)
def test_its_state_survives_saving_and_loading(name: str, batch: Batch, tmp_path: Path) -> None:
    backbone, method = make(name)
    losses_of(backbone, method, batch)  # some methods keep running state
    save_method(tmp_path / METHOD_FILE, method)
    torch.manual_seed(1)
    other = load_method(tmp_path / METHOD_FILE, METHODS[name])
    method.eval()
    for key, loss in losses_of(backbone.eval(), method, batch).items():
        assert torch.equal(loss, losses_of(backbone, other, batch)[key])


@pytest.mark.parametrize("name", LEARNERS)
def test_labels_change_nothing(name: str, batch: Batch) -> None:
    assert batch.labels_P is None
    labelled = dataclasses.replace(batch, labels_P=torch.arange(len(batch.points_P4)) % 3)
    backbone, method = make(name)
    backbone.eval(), method.eval()
    for key, loss in losses_of(backbone, method, batch).items():
        assert torch.equal(loss, losses_of(backbone, method, labelled)[key])


@pytest.mark.parametrize("name", METHODS)
def test_its_heads_have_a_row_for_each_voxel_and_a_cell_for_each_of_the_encoders(name: str) -> None:
    backbone, method = make(name)
    generator = torch.Generator().manual_seed(0)
    voxel_VC = torch.randn(5, backbone.out_channels, generator=generator)
    image_ICHW = torch.randn(2, IMAGE_CHANNELS, 3, 4, generator=generator)
    points, pixels = method.point_heads(voxel_VC), method.pixel_heads(image_ICHW)
    assert set(pixels) <= set(points) <= {"shared", "specific"}
    assert all(rows.shape[0] == 5 for rows in points.values())
    assert all((map_.shape[0], map_.shape[2:]) == (2, (3, 4)) for map_ in pixels.values())
    for head in pixels:  # what is compared has one width
        assert pixels[head].shape[1] == points[head].shape[1]


@pytest.mark.parametrize("name", [name for name in METHODS if not METHODS[name].pretrains])
def test_a_floor_has_no_parameters_and_no_losses(name: str, batch: Batch) -> None:
    backbone, method = make(name)
    assert not list(method.parameters())
    with pytest.raises(NotImplementedError):
        losses_of(backbone, method, batch)


def targets(name: str, batch: Batch, change: Callable[[Batch], Batch] = lambda batch: batch) -> Tensor:
    """What a method of PPKT's family pulls the points of all pairs to."""
    method: Any = make(name)[1]
    batch = change(batch)
    step = Step(batch, torch.zeros(len(batch.coordinates_V4), 8), encode, torch.Generator().manual_seed(0))
    return method.targets(step, step.pairs)


@torch.no_grad()
def test_ppkt_equals_its_equation_pair_by_pair(batch: Batch) -> None:
    backbone, made = make("ppkt")
    method: Any = made
    backbone.eval()
    step = Step(batch, backbone(batch.voxels()), encode, torch.Generator().manual_seed(3))
    pairs = step.pairs.sample(4096, torch.Generator().manual_seed(3))
    assert len(pairs) == len(step.pairs)  # the tiny scans have fewer than asked for
    f = [method.point_head(step.voxel_VC[batch.voxel_P[point]]) for point in pairs.point]
    g = list(method.image_head(step.pixels_at(pairs)))
    f, g = [[row / row.norm() for row in rows] for rows in (f, g)]
    exps = [[torch.exp(f_i @ g_j / 0.07) for g_j in g] for f_i in f]
    expected = -sum(torch.log(exps[i][i] / sum(exps[i])) for i in range(len(f))) / len(f)
    assert method.losses(step)["info_nce"].item() == pytest.approx(float(expected), rel=1e-4)


def test_ppkt_pulls_each_point_to_its_own_pixel(batch: Batch) -> None:
    assert batch.pairs is not None
    assert batch.image_features is not None
    found = targets("ppkt", batch)
    # At a corner of the image, bilinear sampling is the corner's cell.
    corner = dataclasses.replace(
        batch,
        pairs=dataclasses.replace(
            batch.pairs, row=torch.zeros_like(batch.pairs.row), column=torch.zeros_like(batch.pairs.column)
        ),
    )
    torch.testing.assert_close(targets("ppkt", corner), batch.image_features[batch.pairs.image, :, 0, 0])
    assert len(found) == len(batch.pairs)


@torch.no_grad()
def test_ppkts_pixel_head_may_be_applied_before_or_after_a_pixel_is_read(batch: Batch) -> None:
    method: Any = make("ppkt")[1]
    step = Step(batch, torch.zeros(len(batch.coordinates_V4), 8), encode, torch.Generator())
    map_ICHW = method.pixel_heads(step.image_ICHW)["shared"]
    torch.testing.assert_close(step.pixels_at(step.pairs, map_ICHW), method.image_head(step.pixels_at(step.pairs)))
    assert not make("pixel_position")[1].pixel_heads(step.image_ICHW)


def test_shuffled_pairs_has_the_same_pixels_in_another_order(batch: Batch) -> None:
    own, shuffled = targets("ppkt", batch), targets("shuffled_pairs", batch)
    assert (own != shuffled).any(dim=1).float().mean() > 0.9
    torch.testing.assert_close(own.sum(dim=0), shuffled.sum(dim=0), rtol=1e-3, atol=1e-3)
    order = torch.cdist(shuffled, own).argmin(dim=1)
    torch.testing.assert_close(own[order], shuffled)


def test_pixel_position_ignores_images_and_depends_on_the_place_alone(batch: Batch) -> None:
    def blacked_out(batch: Batch) -> Batch:
        assert batch.image_features is not None
        return dataclasses.replace(batch, images=None, image_features=torch.zeros_like(batch.image_features))

    def at_the_corner(batch: Batch) -> Batch:
        assert batch.pairs is not None
        zero = torch.zeros_like(batch.pairs.row)
        return dataclasses.replace(batch, pairs=dataclasses.replace(batch.pairs, row=zero, column=zero))

    found = targets("pixel_position", batch)
    assert torch.equal(found, targets("pixel_position", batch, blacked_out))
    assert len(found.unique(dim=0)) > 0.9 * len(torch.stack([batch.pairs.row, batch.pairs.column], 1).unique(dim=0))  # type: ignore[union-attr]
    assert len(targets("pixel_position", batch, at_the_corner).unique(dim=0)) == 1


@torch.no_grad()
@pytest.mark.parametrize("unit_before_pooling", [True, False])
def test_slidr_equals_its_equation_superpixel_by_superpixel(batch: Batch, unit_before_pooling: bool) -> None:
    backbone, made = make("slidr", unit_before_pooling=unit_before_pooling)
    method: Any = made
    step = Step(batch, backbone.eval()(batch.voxels()), encode, torch.Generator())
    pairs, unit = step.pairs, torch.nn.functional.normalize
    pixels = torch.nn.functional.interpolate(
        method.image_head(step.image_ICHW), IMAGE_SIZE, mode="bilinear", align_corners=True
    )
    points = method.point_head(step.points_at(pairs))
    if unit_before_pooling:
        pixels, points = unit(pixels, dim=1), unit(points, dim=1)
    f, g = [], []
    for image, superpixels in enumerate(step.superpixels_IHW):
        here = pairs.image == image
        own = superpixels[pairs.row.round().long(), pairs.column.round().long()]
        for number in superpixels.unique():
            if (here & (own == number)).any():
                f.append(points[here & (own == number)].mean(dim=0))
                g.append(pixels[image][:, superpixels == number].mean(dim=1))
    if not unit_before_pooling:
        f, g = [row / row.norm() for row in f], [row / row.norm() for row in g]
    exps = [[torch.exp(f_i @ g_j / 0.07) for g_j in g] for f_i in f]
    expected = -sum(torch.log(exps[i][i] / sum(exps[i])) for i in range(len(f))) / len(f)
    assert method.losses(step)["superpixel_nce"].item() == pytest.approx(float(expected), rel=1e-4)
    assert step.log["superpixels"] == len(f)


@torch.no_grad()
def test_st_slidr_is_slidr_where_the_teacher_finds_nothing_alike(batch: Batch) -> None:
    backbone, made = make("st_slidr", balance_threshold=None)
    method: Any = made
    step = Step(batch, backbone.eval()(batch.voxels()), encode, torch.Generator())
    regions = method.regions(step)
    similarity = method.similarity(step, regions)
    torch.testing.assert_close(similarity.diagonal(), torch.ones(len(regions.seen_M)))
    assert (similarity < 0).any()
    assert (similarity > 0.5).sum() > len(similarity)
    tolerant = method.losses(step)["superpixel_nce"]
    method.similarity = lambda *_: torch.eye(len(regions.seen_M))
    assert method.losses(step)["superpixel_nce"] > tolerant
    plain: Any = make("slidr")[1]
    plain.load_state_dict(method.state_dict())
    torch.testing.assert_close(method.losses(step)["superpixel_nce"], plain.losses(step)["superpixel_nce"])


@torch.no_grad()
def test_scalr_equals_its_equation_pair_by_pair(batch: Batch) -> None:
    backbone, made = make("scalr")
    method: Any = made
    step = Step(batch, backbone.eval()(batch.voxels()), encode, torch.Generator())
    pixels = step.pixels_at(step.pairs)
    total = cosine = 0.0
    for point, q in zip(step.pairs.point, pixels, strict=True):
        p = method.point_head(step.voxel_VC[batch.voxel_P[point]])
        p, q = p / p.norm(), q / q.norm()
        total, cosine = total + float((p - q).norm()), cosine + float(p @ q)
    assert method.losses(step)["regression"].item() == pytest.approx(total / len(pixels), rel=1e-5)
    method.options = method.options.model_copy(update={"distance": "cosine"})
    assert method.losses(step)["regression"].item() == pytest.approx(1 - cosine / len(pixels), rel=1e-5)


def test_also_never_looks_at_images(batch: Batch) -> None:
    backbone, method = make("also")
    backbone.eval()
    blind = dataclasses.replace(batch, images=None, image_features=None, pairs=None, superpixels=None)
    for name, loss in losses_of(backbone, method, batch).items():
        assert torch.equal(loss, losses_of(backbone, method, blind)[name])
    assert losses_of(*make("also", intensity_weight=0), batch).keys() == {"occupancy"}


@pytest.mark.parametrize("name", LEARNERS)
def test_it_takes_only_what_it_said_it_needs(name: str, batch: Batch) -> None:
    """The step holds nothing else in a real run."""
    backbone, method = make(name)
    given = dataclasses.replace(
        batch,
        images=batch.images if method.needs_pixels else None,
        superpixels=batch.superpixels if method.needs_superpixels else None,
    )
    if not method.needs_images:
        given = dataclasses.replace(given, image_features=None, pairs=None)
    assert losses_of(backbone, method, given)


@pytest.mark.parametrize("name", LEARNERS)
def test_its_heads_keep_the_rows_of_voxels_and_the_places_of_cells(name: str, batch: Batch) -> None:
    backbone, method = make(name)
    voxel_VC, image_ICHW = backbone(batch.voxels()), batch.image_features
    assert image_ICHW is not None
    for output in method.point_heads(voxel_VC).values():
        assert output.shape[0] == len(voxel_VC)
        assert output.ndim == 2
    for output in method.pixel_heads(image_ICHW).values():
        assert (output.shape[0], *output.shape[2:]) == (len(image_ICHW), *image_ICHW.shape[2:])
