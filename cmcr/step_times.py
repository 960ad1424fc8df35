"""How long a step takes: measured from the logs of jobs, kept as a small table, looked up before a run.

A time holds for one setting: method and options, network, voxels, batch, images, device and threads. Another setting
gets no time rather than a wrong one; only a line written by hand with ``*`` speaks for all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cmcr.config import Config
from cmcr.errors import DataError
from cmcr.files import sha256_of_json
from cmcr.pretrain.job import PretrainJob
from cmcr.reading import read_text, reason_of
from cmcr.tasks.job import FinetuneJob

COLUMNS = ("kind", "method", "device", "setting", "seconds")
_LINE = re.compile(r"^(\d\d):(\d\d):(\d\d) (?:(step)|(scoring)) (\d+)/\d+\b")
_DAY_S = 24 * 60 * 60


class Work(NamedTuple):
    """What a step's time depends on.

    Attributes:
        kind: ``pretrain``, ``linear_probe`` or ``finetune``.
        method: id of the pre-training method; ``*`` for fine-tuning, which is the same for all.
        device: ``cpu`` or ``cuda``.
        setting: digest of everything else.
    """

    kind: str
    method: str
    device: str
    setting: str


class StepTime(NamedTuple):
    """A measured time in seconds: of a step, or of scoring one scan, for which ``kind`` begins with ``score_``."""

    kind: str
    method: str
    device: str
    setting: str
    seconds: float


def pretrain_work(config: Config, method: str, job: PretrainJob) -> Work:
    """Return what a step of ``job`` is."""
    fields = ("options", "backbone", "voxels", "augmentation", "images", "superpixels", "compute")
    return Work("pretrain", method, job.compute.device, _setting(config, config.pretrain.datasets, job, fields))


def finetune_work(config: Config, job: FinetuneJob) -> Work:
    """Return what a step of ``job`` is."""
    fields = ("task", "backbone", "voxels", "augmentation", "compute")
    return Work(job.protocol, "*", job.compute.device, _setting(config, [job.dataset], job, fields))


def _setting(config: Config, datasets: Sequence[str], job: PretrainJob | FinetuneJob, fields: tuple[str, ...]) -> str:
    values, sensor = job.model_dump(mode="json"), list[int | str]()
    values["backbone"].pop("kind")  # its sizes tell a network well enough, and they alone did when times were measured
    for options in map(config.datasets.__getitem__, datasets):
        sensor += [options.toy.azimuth_steps, *options.toy.image_size] if options.toy else [options.format]
    recipe = {name: values["recipe"][name] for name in ("batch_size", "optimizer", "workers")}
    return sha256_of_json([sensor, recipe, {name: values[name] for name in fields}])[:12]


@dataclass(frozen=True)
class StepTimes:
    """A table of measured times."""

    times: tuple[StepTime, ...] = ()

    def step(self, work: Work) -> float | None:
        """Return the seconds of one step, or None if nobody measured it."""
        return self._find(work.kind, work)

    def score(self, work: Work) -> float | None:
        """Return the seconds of scoring one scan, or None if nobody measured it."""
        return self._find(f"score_{work.kind}", work)

    def _find(self, kind: str, work: Work) -> float | None:
        for time in self.times:
            pairs = ((time.method, work.method), (time.setting, work.setting))
            if (time.kind, time.device) == (kind, work.device) and all(asked in ("*", is_) for asked, is_ in pairs):
                return time.seconds
        return None

    @classmethod
    def load(cls, path: Path) -> StepTimes:
        """Read a table: `COLUMNS` separated by tabs, the header in the first line that is no ``#`` comment.

        Raises:
            DataError: the file is missing or no such table; the line is named.
        """
        expected = f"a table with the columns {', '.join(COLUMNS)}, separated by tabs"
        try:
            lines = read_text(path).splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError.at(path, expected=expected, found=reason_of(error)) from None
        rows = [(number, line.split("\t")) for number, line in enumerate(lines, 1) if line and not line.startswith("#")]
        if not rows or tuple(rows[0][1]) != COLUMNS:
            raise DataError.at(path, expected=expected, found="another header" if rows else "no line")
        return cls(tuple(cls._read_row(path, number, cells) for number, cells in rows[1:]))

    @staticmethod
    def _read_row(path: Path, number: int, cells: list[str]) -> StepTime:
        try:
            kind, method, device, setting, text = cells
            seconds = float(text)
            if not 0 < seconds < float("inf"):
                raise ValueError
        except ValueError:
            expected = f"{len(COLUMNS)} cells, the last a positive number of seconds, in line {number}"
            raise DataError.at(path, expected=expected, found=repr("\t".join(cells))) from None
        return StepTime(kind, method, device, setting, seconds)

    def text(self) -> str:
        """Return the table as `load` reads it."""
        rows = ["\t".join([*time[:4], f"{time.seconds:.4g}"]) for time in self.times]
        return "\n".join(["\t".join(COLUMNS), *rows]) + "\n"


def measure(work: Work, lines: Iterable[str]) -> Iterator[StepTime]:
    """Yield the times that the log of a job shows, under way or ended; wall time, so other load on the machine counts.

    Args:
        work: what the job does.
        lines: of its log, each with the time of day in front.
    """
    marks: dict[str, list[tuple[int, int]]] = {"step": [], "scoring": []}
    for line in lines:
        if found := _LINE.match(line):
            hours, minutes, seconds, step, scoring, done = found.groups()
            of_day = (int(hours) * 60 + int(minutes)) * 60 + int(seconds)
            what = marks[step or scoring]
            if what and int(done) <= what[-1][1]:
                what.clear()  # the next variant of a linear probe
            what.append((of_day, int(done)))
    for name, kind in (("step", work.kind), ("scoring", f"score_{work.kind}")):
        # Between two marks less than a day passes, so midnight is no matter.
        elapsed = sum((b - a) % _DAY_S for (a, _), (b, _) in zip(marks[name], marks[name][1:], strict=False))
        if elapsed > 0:
            yield StepTime(kind, *work[1:], elapsed / (marks[name][-1][1] - marks[name][0][1]))
