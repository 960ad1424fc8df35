"""Label subsets: which training scans may be used with their labels, as a file that fixes them.

A share of 1/k takes every k-th scene (nuScenes) or every k-th scan (SemanticKITTI) of the split's fixed order, as the
field's loaders do: scenes k, 2k, 3k, ... counted from one (valeoai/SLidR@14729d0, downstream/dataloader_nuscenes.py;
1 % of the 700 training scenes are 7), but scans 1, k + 1, 2k + 1, ... (downstream/dataloader_semantic_kitti.py).
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, get_args

from cmcr.data.index import ScanIndex
from cmcr.errors import ConfigError, DataError
from cmcr.files import sha256_of_json, write_text
from cmcr.reading import read_text, reason_of

SubsetRule = Literal["scene", "scan"]

_FORMAT = "cmcr label subset, version 1"
_REMAKE = "make the subset again; no one should have to edit it"


@dataclass(frozen=True)
class Subset:
    """The labelled scans of one split.

    Attributes:
        dataset, split: where they come from.
        percent: the share that was asked for. Scenes and scans are whole, so `true_percent` may differ.
        rule: what was counted.
        index_checksum: of the index they were chosen from.
        index_scans: number of scans in that index that have labels.
        tokens: of the chosen scans, in the order of the index.
    """

    dataset: str
    split: str
    percent: float
    rule: SubsetRule
    index_checksum: str
    index_scans: int
    tokens: tuple[str, ...]

    @property
    def true_percent(self) -> float:
        """Share of the split's labelled scans that was chosen."""
        return 100 * len(self.tokens) / self.index_scans

    @property
    def checksum(self) -> str:
        """SHA-256 over everything else."""
        return sha256_of_json(dataclasses.asdict(self))

    def positions_in(self, index: ScanIndex, source: Path | str = "") -> list[int]:
        """Return the places of the chosen scans in ``index``, rising; ``source`` is the subset's file, for messages.

        Raises:
            DataError: the subset was chosen from another index.
        """
        if index.checksum != self.index_checksum:
            place = f"{source}: " if source else ""
            raise DataError(
                f"{place}the {self.percent:g} % subset of {self.dataset} {self.split} belongs to another index\n"
                f"  expected: an index with checksum {self.index_checksum}\n"
                f"  found:    {index.dataset} {index.split} with checksum {index.checksum}\n"
                "  way out:  make the subset again from this index"
            )
        chosen = set(self.tokens)
        return [position for position, record in enumerate(index.records) if record.token in chosen]

    def save(self, path: Path | str) -> None:
        """Write header lines, each with a ``#``, then one token a line. Equal subsets give equal bytes."""
        header = [f"# {_FORMAT}", *(f"# {name}: {getattr(self, name)}" for name in (*_HEADER, "checksum"))]
        write_text(path, "\n".join([*header, *self.tokens]) + "\n")

    @classmethod
    def load(cls, path: Path | str) -> Subset:
        """Read what `save` wrote.

        Raises:
            DataError: the file is missing, no label subset, of another version, or was damaged or edited.
        """
        try:
            lines = read_text(Path(path)).split("\n")
        except OSError as error:
            raise DataError.at(path, expected="a label subset", found=reason_of(error), fix=_REMAKE) from None
        except UnicodeDecodeError:
            raise DataError.at(path, expected="a label subset", found="no text in UTF-8", fix=_REMAKE) from None
        if lines[:1] != [f"# {_FORMAT}"]:
            found = f"{lines[0][:80]!r}" if lines != [""] else "an empty file"
            raise DataError.at(path, expected=f"'# {_FORMAT}' in the first line", found=found, fix=_REMAKE)
        header = dict(line[2:].split(": ", 1) for line in lines[1:] if line.startswith("# ") and ": " in line)
        try:
            fields: dict[str, Any] = {name: convert(header[name]) for name, convert in _HEADER.items()}
            subset = cls(**fields, tokens=tuple(line for line in lines[1:-1] if not line.startswith("#")))
            found = subset.checksum  # a share that is no number has none
        except (KeyError, ValueError) as error:
            raise DataError.at(
                path, expected=f"a header with {', '.join(_HEADER)}", found=f"no good {error}", fix=_REMAKE
            ) from None
        if found != header.get("checksum") or lines[-1] or subset.rule not in get_args(SubsetRule):
            raise DataError.at(
                path,
                expected=f"{header.get('checksum')} as the checksum of its {len(subset.tokens)} scans",
                found=f"{found}: the file was cut short, damaged or edited",
                fix=_REMAKE,
            )
        return subset


_HEADER = {"dataset": str, "split": str, "percent": float, "rule": str, "index_checksum": str, "index_scans": int}


def make_subset(index: ScanIndex, percent: float, rule: SubsetRule) -> Subset:
    """Choose ``percent`` of the scenes or scans of ``index``, spread evenly (see `evenly_spread`).

    Where some scans have labels and others not, those without are passed over (Waymo annotates some frames alone).

    Raises:
        ConfigError: the share is not in (0, 100], or so small that it would be less than one scene or scan.
    """
    groups: dict[str, list[str]] = {}
    records = [record for record in index.records if record.labels is not None] or index.records
    for record in records:
        groups.setdefault(record.scene if rule == "scene" else record.token, []).append(record.token)
    if not 0 < percent <= 100:
        raise ConfigError(f"a label share of {percent:g} %\n  expected: more than 0, at most 100")
    scans = list(groups.values())
    chosen = evenly_spread(len(scans), percent, first=rule == "scan")
    if not chosen:
        hint = ", or scans in place of scenes" if rule == "scene" else ""
        raise ConfigError(
            f"a label share of {percent:g} % of {index.dataset} {index.split}\n"
            f"  expected: at least one {rule}\n"
            f"  found:    less than one of {len(scans)} {rule}s\n"
            f"  way out:  {100 / len(scans):g} % or more{hint}"
        )
    tokens = tuple(token for place in chosen for token in scans[place])
    return Subset(index.dataset, index.split, float(percent), rule, index.checksum, len(records), tokens)


def evenly_spread(number: int, percent: float, *, first: bool) -> list[int]:
    """Return ``percent`` of the places 0 to ``number - 1``, evenly spread; none if that is less than one.

    For a share s, place i is taken if the interval from i s to (i + 1) s holds a whole number; at its lower end if the
    ``first`` place is to be taken, else at its upper end. For s = 1/k these are the places 0, k, 2k, ... or
    k - 1, 2k - 1, ..., and any other share (30 %, 75 %) is spread as evenly as whole places allow. Shares nest: the
    places of a share hold those of every share that it is a multiple of, so 10 % lie within 20, 30, 50 and 100 %.

    A rounded percentage (33.3, 14.3, 16.7) stands for a whole k: what is within 0.2 % of 1/k is taken as 1/k.
    """
    share = Fraction(str(float(percent))) / 100
    k = round(1 / share)
    if k > 1 and abs(share * k - 1) <= Fraction(2, 1000):
        share = Fraction(1, k)
    if number * share < 1:
        return []
    whole = math.ceil if first else math.floor
    return [place for place in range(number) if whole(place * share) < whole((place + 1) * share)]
