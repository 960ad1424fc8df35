"""Batches: rows point where they should, and nothing but (seed, epoch, position) decides what is in them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from cmcr.data.augment import CuboidDrop, ImageCrop, PointAugmentation
from cmcr.data.batches import Batch, PairBatch, ScanDataset, collate
from cmcr.data.draws import Draw, SeededSampler
from cmcr.data.image_files import decode_image
from cmcr.data.images import ImageOptions
from cmcr.data.index import ScanIndex
from cmcr.data.range_grid import RangeGrid, fill_cells
from cmcr.data.scan import Camera
from cmcr.data.voxels import VoxelGrid, voxelize
from cmcr.errors import DataError

GRID = VoxelGrid(size_m=2.0, azimuth_deg=10.0)
IMAGES_WHOLE = ImageOptions(size=(24, 40))
IMAGES = ImageOptions(size=(24, 40), crop=ImageCrop(enough_pairs=5, enough_share=0.3))


def make_dataset(scans: ScanIndex, **options) -> ScanDataset:
    return ScanDataset(scans, range(len(scans)), GRID, augmentation=PointAugmentation(), images=IMAGES, **options)


def tensors(batch: Batch) -> dict[str, torch.Tensor]:
    """All tensors of a batch, those of its pairs among them."""
    parts = {name: getattr(batch, name) for name in vars(batch)}
    pairs = {} if batch.pairs is None else {f"pairs.{name}": value for name, value in vars(batch.pairs).items()}
    return {name: value for name, value in {**parts, **pairs}.items() if isinstance(value, torch.Tensor)}


def equal(first: Batch, second: Batch) -> bool:
    a, b = tensors(first), tensors(second)
    return a.keys() == b.keys() and first.tokens == second.tokens and all(torch.equal(a[name], b[name]) for name in a)


def test_a_cache_of_images_changes_nothing(scans: ScanIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    options = IMAGES, IMAGES.model_copy(update={"cache_mb": 1})
    plain, cached = (ScanDataset(scans, [0, 3], GRID, images=images) for images in options)
    draws = [Draw(epoch, position) for epoch in range(4) for position in range(2)]
    decoded = []

    def noting(camera: Camera, least: tuple[int, int]) -> Image.Image:
        decoded.append(camera.image_path)
        return decode_image(camera, least)

    monkeypatch.setattr("cmcr.data.image_cache.decode_image", noting)
    for draw in draws:
        assert np.array_equal(plain[draw].images.pixels, cached[draw].images.pixels)
    assert len(set(decoded)) == 4
    assert len(decoded) < 2 * len(draws)


def test_rows_of_a_batch_are_those_of_its_samples(scans: ScanIndex):
    samples = [make_dataset(scans)[Draw(0, position)] for position in (4, 0, 2)]
    batch = collate(samples)
    assert batch.tokens == ("scan4", "scan0", "scan2")
    assert torch.bincount(batch.scan_P).tolist() == [len(sample.points_P4) for sample in samples]
    for number, sample in enumerate(samples):
        rows, voxels = batch.scan_P == number, batch.coordinates_V4[:, 0] == number
        np.testing.assert_array_equal(batch.points_P4[rows], sample.points_P4)
        np.testing.assert_array_equal(batch.labels_P[rows], sample.labels_P)
        np.testing.assert_array_equal(batch.instances_P[rows], sample.instances_P)
        np.testing.assert_array_equal(batch.coordinates_V4[voxels, 1:], sample.voxels.coordinates)
        np.testing.assert_array_equal(batch.intensity_V1[voxels, 0], sample.points_P4[sample.voxels.first, 3])
    # Each point lies in its own voxel, in its own scan; each voxel is stood for by a point of its own.
    assert torch.equal(batch.coordinates_V4[batch.voxel_P, 0].long(), batch.scan_P)
    for sample, number in zip(samples, range(3), strict=True):
        cells = batch.coordinates_V4[batch.voxel_P[batch.scan_P == number], 1:]
        again = voxelize(sample.points_P4[:, :3], GRID)
        np.testing.assert_array_equal(cells, again.coordinates[again.inverse])
    assert torch.equal(batch.voxel_P[batch.first_V], torch.arange(len(batch.coordinates_V4)))
    assert batch.voxels().features.shape == (len(batch.coordinates_V4), 1)


def test_pairs_of_a_batch_are_those_of_its_samples(scans: ScanIndex):
    samples = [make_dataset(scans)[Draw(0, position)] for position in (1, 3)]
    batch = collate(samples)
    assert batch.images.shape == (4, 3, 24, 40)
    assert batch.images.dtype == torch.float32
    assert batch.image_size == (24, 40)
    assert len(batch.pairs) == sum(len(sample.images.point) for sample in samples)
    # Two images a scan: the point and the image of a pair belong to the same scan.
    assert torch.equal(batch.scan_P[batch.pairs.point], batch.pairs.image // 2)
    start = 0
    for sample in samples:
        pairs = batch.pairs.take(torch.arange(start, start + len(sample.images.point)))
        start += len(pairs)
        np.testing.assert_array_equal(batch.points_P4[pairs.point], sample.points_P4[sample.images.point])
        pixel = pairs.row.round().long(), pairs.column.round().long()
        np.testing.assert_array_equal(
            (batch.images[pairs.image, :, pixel[0], pixel[1]] * 255).round().byte(),
            sample.images.pixels[sample.images.image, pixel[0], pixel[1]],
        )


def test_features_take_the_place_of_images(scans: ScanIndex):
    bank = np.random.default_rng(0).normal(size=(6, 2, 3, 4, 5)).astype(np.float16)
    dataset = ScanDataset(scans, [5, 2], GRID, images=ImageOptions(size=(24, 40)), feature_bank=bank)
    batch = collate([dataset[0], dataset[1]])
    assert batch.images is None
    np.testing.assert_array_equal(batch.image_features, bank[[5, 2]].reshape(4, 3, 4, 5).astype(np.float32))


def test_a_batch_can_hold_images_beside_their_features(scans: ScanIndex):
    bank = np.random.default_rng(0).normal(size=(6, 2, 3, 4, 5)).astype(np.float16)
    images = ImageOptions(size=(24, 40))
    both = collate([ScanDataset(scans, [5], GRID, images=images, feature_bank=bank, with_pixels=True)[0]])
    np.testing.assert_array_equal(both.image_features, bank[5].astype(np.float32))
    assert torch.equal(both.images, collate([ScanDataset(scans, [5], GRID, images=images)[0]]).images)


@pytest.mark.parametrize("divisor", [1, 2, 5])
def test_pairs_on_coarser_images_lie_in_the_pixel_that_theirs_became_part_of(divisor: int):
    rows = torch.linspace(0, 19, 77)
    pairs = PairBatch(torch.arange(77), torch.zeros(77).long(), rows, 19 - rows)
    coarse = pairs.on_coarser_images(divisor)
    assert coarse.row.tolist() == [round(row) // divisor for row in rows.tolist()]
    assert coarse.column.tolist() == [round(column) // divisor for column in (19 - rows).tolist()]
    assert torch.equal(coarse.point, pairs.point)


def test_a_feature_bank_of_another_index_is_refused(scans: ScanIndex):
    with pytest.raises(DataError, match="features of 5 scans, but toy train has 6"):
        ScanDataset(scans, [0], GRID, images=ImageOptions(), feature_bank=np.zeros((5, 2, 3, 4, 5), dtype=np.float16))


def test_labels_and_images_are_there_only_if_asked_for(scans: ScanIndex):
    batch = collate([make_dataset(scans, with_labels=False)[0]])
    assert batch.labels_P is batch.instances_P is None
    assert batch.pairs is not None
    plain = collate([ScanDataset(scans, [0], GRID)[0]])
    assert plain.pairs is plain.images is plain.backbone_VC is None
    np.testing.assert_array_equal(plain.points_P4, scans.read(0).points)


def test_augmented_points_keep_their_labels_and_their_images(scans: ScanIndex):
    """Pairs and labels name points by number, and augmentation keeps the numbers: distances tell that it does."""
    sample, scan = make_dataset(scans)[Draw(3, 2)], scans.read(2)
    assert not np.allclose(sample.points_P4, scan.points)
    np.testing.assert_allclose(
        np.linalg.norm(sample.points_P4[:, :3], axis=1), np.linalg.norm(scan.points[:, :3], axis=1), rtol=1e-5
    )
    np.testing.assert_array_equal(sample.labels_P, scan.labels)
    unturned = ScanDataset(scans, [2], GRID, images=ImageOptions(size=(24, 40)))[0]
    assert set(zip(sample.images.point, sample.images.image, strict=True)) <= set(
        zip(unturned.images.point, unturned.images.image, strict=True)
    )


@pytest.mark.parametrize(
    ("options", "draw", "same"),
    [({}, Draw(1, 2), True), ({"seed": 1}, Draw(1, 2), False), ({}, Draw(0, 2), False)],
    ids=["same", "other seed", "other epoch"],
)
def test_seed_and_epoch_decide(scans: ScanIndex, options, draw, same):
    reference = collate([make_dataset(scans)[Draw(1, 2)]])
    assert equal(collate([make_dataset(scans, **options)[draw]]), reference) == same


def test_scans_before_it_do_not_change_a_scan(scans: ScanIndex):
    dataset = make_dataset(scans)
    alone = collate([make_dataset(scans)[Draw(0, 5)]])
    for position in range(5):
        dataset[Draw(0, position)]
    assert equal(collate([dataset[Draw(0, 5)]]), alone)


def test_points_are_turned_alike_with_and_without_images(scans: ScanIndex):
    without = ScanDataset(scans, range(6), GRID, augmentation=PointAugmentation())
    np.testing.assert_array_equal(make_dataset(scans)[Draw(0, 1)].points_P4, without[Draw(0, 1)].points_P4)


def test_the_number_of_loading_processes_changes_nothing(scans: ScanIndex):
    def load(workers: int) -> list[Batch]:
        dataset = make_dataset(scans, seed=7)
        sampler = SeededSampler(len(dataset), seed=7)
        loader = DataLoader(dataset, batch_size=4, sampler=sampler, collate_fn=collate, num_workers=workers)
        batches = []
        for epoch in range(2):
            sampler.set_epoch(epoch)
            batches += list(loader)
        return batches

    alone, together = load(0), load(2)
    assert [len(batch.tokens) for batch in alone] == [4, 2, 4, 2]
    assert all(equal(a, b) for a, b in zip(alone, together, strict=True))
    assert not equal(alone[0], alone[2])


def test_moving_a_batch_moves_its_pairs_too(scans: ScanIndex):
    batch = collate([make_dataset(scans)[0]])
    moved = batch.to("meta")
    assert {tensor.device.type for tensor in tensors(moved).values()} == {"meta"}
    assert tensors(moved).keys() == tensors(batch).keys()
    assert (moved.tokens, moved.image_size) == (batch.tokens, batch.image_size)


def test_a_pinned_batch_has_the_same_values(scans: ScanIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.Tensor, "pin_memory", torch.Tensor.clone)  # the real one asks for a GPU
    batch = collate([make_dataset(scans)[0]])
    pinned = batch.pin_memory()
    assert equal(batch, pinned)
    before, after = ({tensor.data_ptr() for tensor in tensors(which).values()} for which in (batch, pinned))
    assert not before & after


def test_what_only_one_sample_has_the_batch_has_not(scans: ScanIndex):
    first, second = (make_dataset(scans)[position] for position in (0, 1))
    batch = collate([first, dataclasses.replace(second, labels_P=None, images=None)])
    assert batch.labels_P is batch.pairs is batch.images is None


def test_sampled_pairs_are_different_rows_of_the_same_pairs():
    rows = torch.arange(100)
    pairs = PairBatch(rows, rows + 1000, rows / 2, rows / 4)
    sample = pairs.sample(30, torch.Generator().manual_seed(0))
    assert len(sample) == len(set(sample.point.tolist())) == 30
    assert torch.equal(sample.image, sample.point + 1000)
    assert torch.equal(sample.row, sample.point / 2)
    assert torch.equal(sample.column, sample.point / 4)
    assert torch.equal(pairs.sample(30, torch.Generator().manual_seed(0)).point, sample.point)
    assert len(pairs.sample(500, torch.Generator())) == 100


def test_dropped_points_take_their_labels_and_pairs_along(scans: ScanIndex):
    """Intensities of random points are as good as names."""
    drop = PointAugmentation(drop_cuboid=CuboidDrop(largest_share=1, enough_pairs=0))
    plain = ScanDataset(scans, range(6), GRID, images=ImageOptions(size=(48, 80)))
    dropping = ScanDataset(scans, range(6), GRID, augmentation=drop, images=ImageOptions(size=(48, 80)))
    fewer = 0
    for position in range(6):
        whole, part = plain[position], dropping[position]
        assert len(part.points_P4) == len(part.labels_P) == len(part.instances_P) == len(part.voxels.inverse)
        fewer += len(part.points_P4) < len(whole.points_P4)
        distance = [np.linalg.norm(sample.points_P4[:, :3], axis=1) for sample in (whole, part)]
        home = np.abs(distance[1][:, None] - distance[0]).argmin(axis=1)
        np.testing.assert_array_equal(part.points_P4[:, 3], whole.points_P4[home, 3])
        np.testing.assert_array_equal(part.labels_P, whole.labels_P[home])
        pairs = set(zip(whole.images.point, whole.images.image, whole.images.row, whole.images.column, strict=True))
        mine = list(zip(home[part.images.point], part.images.image, part.images.row, part.images.column, strict=True))
        assert set(mine) == {pair for pair in pairs if pair[0] in home}
        assert len(mine) == len(set(mine))
    assert fewer > 3


def test_nothing_is_dropped_where_a_camera_would_see_too_few(scans: ScanIndex):
    drop = PointAugmentation(drop_cuboid=CuboidDrop(largest_share=1, enough_pairs=10_000))
    seen = ScanDataset(scans, range(6), GRID, augmentation=drop, images=IMAGES)
    unseen = ScanDataset(scans, range(6), GRID, augmentation=drop)
    sizes = [len(scans.read(position).points) for position in range(6)]
    assert [len(seen[position].points_P4) for position in range(6)] == sizes
    assert [len(unseen[position].points_P4) for position in range(6)] != sizes


BOUNDED = RangeGrid(bounds_m=(-4, -5, -1, 6, 5, 1), cell_m=(0.5, 0.5, 0.1))


def test_what_lies_outside_a_bounded_grid_is_left_out_with_its_pairs(scans: ScanIndex):
    def make(grid: VoxelGrid | RangeGrid) -> ScanDataset:
        return ScanDataset(scans, range(len(scans)), grid, augmentation=PointAugmentation(), images=IMAGES_WHOLE)

    for position in (0, 3):
        everything, bounded = make(GRID)[Draw(1, position)], make(BOUNDED)[Draw(1, position)]
        low, high = np.array(BOUNDED.bounds_m[:3]), np.array(BOUNDED.bounds_m[3:])
        xyz = everything.points_P4[:, :3]
        inside = ((xyz >= low) & (xyz < high)).all(axis=1)
        assert 0 < inside.sum() < len(inside)
        np.testing.assert_array_equal(bounded.points_P4, everything.points_P4[inside])
        np.testing.assert_array_equal(bounded.labels_P, everything.labels_P[inside])
        assert bounded.cells is not None
        cells = fill_cells(everything.points_P4, BOUNDED)
        np.testing.assert_array_equal(bounded.cells.coordinates, cells.coordinates)
        np.testing.assert_array_equal(bounded.cells.features, cells.features)
        np.testing.assert_array_equal(bounded.cells.cell_P, cells.cell_P[inside])
        # The pairs that are left are those of the points that are left.
        kept = inside[everything.images.point]
        assert 0 < kept.sum() < len(kept)
        place = np.cumsum(inside) - 1
        np.testing.assert_array_equal(bounded.images.point, place[everything.images.point[kept]])
        for name in ("image", "row", "column"):
            np.testing.assert_array_equal(getattr(bounded.images, name), getattr(everything.images, name)[kept])


def test_a_batch_of_a_bounded_grid_has_a_voxel_for_each_point(scans: ScanIndex):
    dataset = ScanDataset(scans, range(len(scans)), BOUNDED)
    samples = [dataset[2], dataset[0]]
    batch = collate(samples)
    rows = torch.arange(len(batch.points_P4))
    assert torch.equal(batch.voxel_P, rows)
    assert torch.equal(batch.first_V, rows)
    features_M4, cells_M4 = batch.cells()
    for number, sample in enumerate(samples):
        mine = cells_M4[:, 0] == number
        np.testing.assert_array_equal(cells_M4[mine, 1:].numpy(), sample.cells.coordinates)
        np.testing.assert_array_equal(features_M4[mine].numpy(), sample.cells.features)
    assert batch.to("meta").cells()[0].device.type == "meta"


def test_a_scan_with_no_point_within_the_bounds_is_refused(scans: ScanIndex):
    far = RangeGrid(bounds_m=(1000, 0, 0, 1010, 10, 4), cell_m=(1, 1, 0.1))
    with pytest.raises(DataError, match="no point within the bounds"):
        ScanDataset(scans, [0], far)[0]
