from __future__ import annotations

import dataclasses
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from invented import VOXELS

from cmcr.data.batches import Batch, ScanDataset, collate
from cmcr.data.draws import SeededSampler
from cmcr.data.image_bank import IndexImages, JoinedBank, arrays_of, read_banks
from cmcr.data.images import ImageOptions
from cmcr.data.index import ScanIndex
from cmcr.data.joined import JoinedIndex, join, load_joined, locate
from cmcr.data.nuscenes_index import make_index as make_nuscenes_index
from cmcr.data.semantic_kitti_index import make_index as make_kitti_index
from cmcr.errors import ConfigError, DataError

SIZE = (32, 64)


@pytest.fixture(scope="module")
def parts(toy_nuscenes: Path, toy_semantic_kitti: Path) -> tuple[ScanIndex, ScanIndex, ScanIndex]:
    """Six scans with six cameras, six with one, and six without any."""
    nuscenes = make_nuscenes_index("toy_nuscenes", toy_nuscenes, "v1.0-mini", "mini_train")
    kitti = make_kitti_index("toy_kitti", toy_semantic_kitti, "semantic_kitti_mini", "mini_train")
    records = tuple(dataclasses.replace(record, cameras=()) for record in kitti.records)
    return nuscenes, kitti, dataclasses.replace(kitti, dataset="blind", records=records, checksum="")


@pytest.fixture(scope="module")
def joined(parts: tuple[ScanIndex, ...]) -> JoinedIndex:
    return JoinedIndex(parts)


def test_scans_of_all_parts_follow_each_other(joined: JoinedIndex) -> None:
    assert (joined.dataset, joined.split) == ("toy_nuscenes+toy_kitti+blind", "mini_train+mini_train+mini_train")
    start = 0
    for part in joined.parts:
        for place in range(len(part)):
            scan, alone = joined.read(start + place), part.read(place)
            assert (scan.token, scan.dataset) == (alone.token, part.dataset)
            assert joined.records[start + place] == part.records[place]
            np.testing.assert_array_equal(scan.points, alone.points)
        start += len(part)
    assert len(joined) == start
    assert joined.read(0, with_labels=False).labels is None


def test_every_part_has_its_say_in_the_checksum(parts: tuple[ScanIndex, ...]) -> None:
    nuscenes, kitti, blind = parts
    assert join([nuscenes, kitti]).checksum == f"{nuscenes.checksum}+{kitti.checksum}"
    assert len({join(some).checksum for some in ([nuscenes, kitti], [nuscenes, blind], [kitti, nuscenes])}) == 3


def test_one_index_is_itself(parts: tuple[ScanIndex, ...], tmp_path: Path) -> None:
    assert join(parts[:1]) is parts[0]
    assert parts[0].parts == (parts[0],)
    paths = [tmp_path / f"{part.dataset}.jsonl" for part in parts]
    for part, path in zip(parts, paths, strict=True):
        part.save(path)
    assert isinstance(load_joined(paths[:1]), ScanIndex)
    assert load_joined(paths).checksum == JoinedIndex(parts).checksum


@given(st.lists(st.integers(0, 4), min_size=1).filter(any))
def test_places_are_those_of_a_list_of_all(lengths: list[int]) -> None:
    expected = [(part, place) for part, length in enumerate(lengths) for place in range(length)]
    assert [locate(position, lengths) for position in range(sum(lengths))] == expected
    for outside in (-1, sum(lengths)):
        with pytest.raises(IndexError, match="no scan"):
            locate(outside, lengths)


def batch_of(joined: JoinedIndex, positions: list[int], bank: JoinedBank | None = None, **options: bool) -> Batch:
    images = ImageOptions(size=SIZE)
    dataset = ScanDataset(joined, positions, VOXELS, images=images, with_labels=False, feature_bank=bank, **options)
    return collate([dataset[place] for place in range(len(positions))])


def test_a_batch_mixes_scans_with_six_one_and_no_images(joined: JoinedIndex) -> None:
    batch = batch_of(joined, [12, 0, 6, 13])
    assert batch.images is not None
    assert batch.pairs is not None
    assert batch.images.shape == (7, 3, *SIZE)
    alone = [batch_of(joined, [position]) for position in (0, 6)]
    expected = [pairs.image + first for pairs, first in zip((a.pairs for a in alone), (0, 6), strict=True) if pairs]
    np.testing.assert_array_equal(batch.pairs.image, np.concatenate(expected))
    assert set(batch.scan_P[batch.pairs.point].tolist()) == {1, 2}
    for image, position in ((0, 0), (6, 6)):
        np.testing.assert_array_equal(batch.images[image], batch_of(joined, [position]).images[0])  # type: ignore[index]
    assert batch_of(joined, [12]).images.shape == (0, 3, *SIZE)  # type: ignore[union-attr]


def test_banks_are_one_bank(joined: JoinedIndex, parts: tuple[ScanIndex, ...], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(6, cameras, 4, 8, 16)).astype(np.float16) for cameras in (6, 1)]
    paths = [tmp_path / f"{number}.npy" for number in range(2)]
    for path, array in zip(paths, arrays, strict=True):
        np.save(path, array)
    bank = read_banks(paths, joined)
    assert isinstance(bank, JoinedBank)
    assert len(bank) == 18
    assert [array.shape for array in arrays_of(bank)] == [(6, 6, 4, 8, 16), (6, 1, 4, 8, 16)]
    np.testing.assert_array_equal(bank[7], arrays[1][1])
    batch = batch_of(joined, [7, 17, 2], bank)
    assert batch.images is None
    assert batch.image_features is not None
    np.testing.assert_array_equal(batch.image_features, np.concatenate([arrays[1][1], arrays[0][2]]).astype(np.float32))
    both = batch_of(joined, [7, 17, 2], bank, with_pixels=True)
    assert both.images is not None
    assert len(both.images) == 7
    assert isinstance(read_banks(paths[:1], parts[0]), np.ndarray)
    for wrong, words in ((paths[:1], "none of toy_kitti"), ([*paths, paths[0]], "1 more than")):
        with pytest.raises(DataError, match=words):
            read_banks(wrong, joined)
    np.save(paths[1], arrays[1][:, :, :3])
    with pytest.raises(DataError, match="expected: one shape"):
        read_banks(paths, joined)


def test_the_images_of_all_are_numbered_through(joined: JoinedIndex, parts: tuple[ScanIndex, ...]) -> None:
    images = IndexImages(joined, SIZE)
    assert len(images) == 6 * 6 + 6
    np.testing.assert_array_equal(images[np.array([35])], IndexImages(parts[0], SIZE)[np.array([35])])
    np.testing.assert_array_equal(images[np.array([38])], IndexImages(parts[1], SIZE)[np.array([2])])


@given(st.integers(1, 40), st.integers(1, 6), st.integers(0, 3), st.data())
def test_each_batch_begins_with_a_wanted_scan_and_all_are_visited(
    length: int, batch_size: int, seed: int, data: st.DataObject
) -> None:
    wanted = np.array(data.draw(st.lists(st.booleans(), min_size=length, max_size=length)))
    batches = -(-length // batch_size)
    if wanted.sum() < batches:
        with pytest.raises(ConfigError, match="a scan with images in each"):
            SeededSampler(length, seed, wanted, batch_size)
        return
    order = [draw.position for draw in SeededSampler(length, seed, wanted, batch_size)]
    assert sorted(order) == list(range(length))
    assert wanted[order[::batch_size]].all()
    # Nothing else changes: what is not moved keeps its order.
    plain = [draw.position for draw in SeededSampler(length, seed)]
    kept = [position for number, position in enumerate(order) if number % batch_size]
    assert all(plain.index(a) < plain.index(b) for a, b in pairwise(kept))
