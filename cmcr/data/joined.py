"""`JoinedIndex`: the scans of several data sets as one, for a pre-training that is not to notice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Final

from cmcr.data.index import ScanIndex
from cmcr.data.scan import Scan
from cmcr.data.scan_record import ScanRecord

#: Stands between the names of what is joined, and between their checksums.
JOIN: Final = "+"


@dataclass(frozen=True, eq=False)
class JoinedIndex:
    """The scans of several splits, one split after the other.

    Attributes:
        parts: the splits.
    """

    parts: tuple[ScanIndex, ...]

    @property
    def dataset(self) -> str:
        """Ids of the data sets, joined."""
        return JOIN.join(part.dataset for part in self.parts)

    @property
    def split(self) -> str:
        """Names of the splits, joined."""
        return JOIN.join(part.split for part in self.parts)

    @property
    def checksum(self) -> str:
        """Those of the parts, joined, so that each can still be told (`cmcr.models.backbone.BackboneRecord`)."""
        return JOIN.join(part.checksum for part in self.parts)

    @cached_property
    def records(self) -> tuple[ScanRecord, ...]:
        """Those of the parts; their tokens are unique within their data sets alone."""
        return tuple(record for part in self.parts for record in part.records)

    def __len__(self) -> int:
        return len(self.records)

    def read(self, position: int, *, with_labels: bool = True) -> Scan:
        """Read the scan at ``position``; see `ScanIndex.read`. Classes of different data sets are not the same."""
        part, place = locate(position, [len(part) for part in self.parts])
        return self.parts[part].read(place, with_labels=with_labels)


#: What scans are taken from.
AnyIndex = ScanIndex | JoinedIndex


def join(indexes: Sequence[ScanIndex]) -> AnyIndex:
    """Return one index of all scans; a single index is itself."""
    return indexes[0] if len(indexes) == 1 else JoinedIndex(tuple(indexes))


def load_joined(paths: Iterable[Path]) -> AnyIndex:
    """Read the indexes at ``paths`` and join them.

    Raises:
        DataError: see `ScanIndex.load`.
    """
    return join([ScanIndex.load(path) for path in paths])


def locate(position: int, lengths: Sequence[int]) -> tuple[int, int]:
    """Return which of several parts of these ``lengths`` holds ``position``, and the place in it."""
    ends = list(accumulate(lengths))
    if not 0 <= position < ends[-1]:
        raise IndexError(f"no scan {position}; there are {ends[-1]}, from 0")
    part = next(number for number, end in enumerate(ends) if position < end)
    return part, position - ends[part] + lengths[part]
