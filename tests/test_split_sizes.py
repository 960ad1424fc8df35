from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from cmcr.config import Config, parse_config
from cmcr.data.releases import load_release, release_names
from cmcr.split_sizes import OFFICIAL, UNKNOWN, split_size, why_unknown

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def paper() -> Config:
    return parse_config(yaml.safe_load((ROOT / "config" / "paper.yaml").read_text()), "paper.yaml")


def test_of_every_data_set_of_the_paper_the_sizes_are_known_or_it_is_said_why_not(paper: Config) -> None:
    for name, options in paper.datasets.items():
        known = [split_size(options, split) is not None for split in (options.splits.train, options.splits.validation)]
        described = (options.format, options.version) in UNKNOWN
        assert all(known) != described, name
        assert any(known) == all(known), name
        assert described == (why_unknown(options) != "no official number is known"), name


def test_every_description_is_known_or_it_is_said_why_not() -> None:
    for version in release_names():
        splits = {split for format_, of, split in OFFICIAL if (format_, of) == ("semantic_kitti", version)}
        if ("semantic_kitti", version) in UNKNOWN:
            assert not splits
        else:
            assert splits == set(load_release(version).splits), version


def test_scenes_are_those_of_the_description() -> None:
    for (format_, version, split), size in OFFICIAL.items():
        scenes = load_release(version).splits[split] if format_ == "semantic_kitti" else ""
        if isinstance(scenes, tuple):
            assert size.scenes == len(scenes), version


def test_totals_are_those_that_the_authors_print() -> None:
    totals = {"semantic_kitti": 43552, "rellis_3d": 13556, "semantic_poss": 2988, "semantic_stf": 2076}
    for version, total in totals.items():
        sizes = [size.scans for (_, of, _), size in OFFICIAL.items() if of == version]
        assert sum(sizes) == total, version
