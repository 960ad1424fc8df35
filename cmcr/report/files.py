"""Which files of a run's folder the report is made of, told apart by where they lie."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from cmcr.errors import CMCRError

CARD: Final = "run.json"
#: By field of `RunFiles`; ``*`` also stands for folders.
_PLACES: Final = {
    "tables": ("tables/*.md",),
    "figures": ("figures/*.svg", "figures/*.png"),
    "scores": ("finetune/*/scores.json",),
    "held_out": ("pretrain/*/held_out.json",),
    "diagnoses": ("diagnostics/*.json",),
}


@dataclass(frozen=True)
class RunFiles:
    """Files of one run, each kind sorted by path."""

    folder: Path
    tables: tuple[Path, ...]
    """Markdown, the one form of a table that has its caption and the names for print."""
    figures: tuple[Path, ...]
    scores: tuple[Path, ...]
    held_out: tuple[Path, ...]
    diagnoses: tuple[Path, ...]

    @property
    def card(self) -> Path:
        """The description of the run."""
        return self.folder / CARD

    @classmethod
    def of(cls, folder: Path | str, paths: Iterable[Path | str]) -> RunFiles:
        """Take what the report needs out of ``paths``, all below ``folder``; the rest, such as CSV, is left out."""
        folder = Path(folder)
        named = sorted({Path(path).relative_to(folder).as_posix() for path in paths})
        return cls(
            folder,
            **{
                kind: tuple(folder / name for name in named if any(fnmatchcase(name, place) for place in places))
                for kind, places in _PLACES.items()
            },
        )

    @classmethod
    def found(cls, folder: Path | str) -> RunFiles:
        """Take everything that lies in ``folder`` now.

        Raises:
            CMCRError: it is no run's folder.
        """
        folder = Path(folder)
        if not (folder / CARD).is_file():
            raise CMCRError(
                f"{folder}: not the folder of a run\n  expected: {CARD} in it, which the workflow writes\n"
                "  found:    none\n  way out:  name results/<run_name>, or make it with `snakemake report`"
            )
        tops = sorted({place.split("/", 1)[0] for places in _PLACES.values() for place in places})
        return cls.of(folder, (path for top in tops for path in (folder / top).rglob("*") if path.is_file()))

    def link(self, path: Path) -> str:
        """The path from the page, which lies in the run's folder."""
        return path.relative_to(self.folder).as_posix()
