"""Finding finished fine-tunings below a folder, and telling two of them apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cmcr.checkpoints import read_metadata
from cmcr.errors import ScoresError, WeightsError
from cmcr.reading import parse_json
from cmcr.results.scores import Metric, Scores, read_scores
from cmcr.tasks.registry import network_of

SCORES_FILE, MODEL_FILE = "scores.json", "model.safetensors"
BACKBONE_FILE, METHOD_FILE = "backbone.safetensors", "method.safetensors"
#: A scores file lies in finetune/<data set>/<task>/<data set of pre-training>/<method>/<protocol>/<share>/<seed>.
_DEPTH = 8
#: What tells runs of one folder apart.
IDENTITY = ("task", "dataset", "pretrain_dataset", "method", "protocol", "label_percent", "seed")


@dataclass(frozen=True)
class FoundRun:
    """One scores file."""

    path: Path
    scores: Scores

    @property
    def headline(self) -> Metric:
        """The first metric is the one that ranks."""
        return self.scores.metrics[0]

    def job(self) -> dict[str, Any] | None:
        """Options of its fine-tuning, from the model beside the scores; None where that is gone or says nothing.

        Raises:
            WeightsError: the model is damaged.
        """
        model = self.path.parent / MODEL_FILE
        if not model.is_file():
            return None
        text = read_metadata(model).get("job")
        if text is None:
            return None
        try:
            job = parse_json(text)
        except ValueError:
            job = None
        if not isinstance(job, dict):
            raise WeightsError(f"{model}: the record of its job is no JSON of options\n  way out:  fine-tune again")
        return job


    def pretraining(self) -> dict[str, Any]:
        """What its backbone and its method say of themselves, where they lie as the workflow puts them; else nothing.

        The recipe of pre-training is not among it; a change of it shows in the hash alone.

        Raises:
            WeightsError: a weight file is damaged.
        """
        scores = self.scores
        found: dict[str, Any] = {}
        if len(self.path.resolve().parents) <= _DEPTH:
            return found
        of_dataset = self.path.resolve().parents[_DEPTH] / "pretrain" / scores.pretrain_dataset
        folder = of_dataset / network_of(scores.task) / scores.method
        for name in (BACKBONE_FILE, METHOD_FILE):
            path = folder / f"seed{scores.seed}" / name
            for key, text in (read_metadata(path) if path.is_file() else {}).items():
                try:
                    found[key] = parse_json(text)
                except ValueError:  # the plug-in's id is no JSON
                    found[key] = text
        return found


def open_run(path: Path | str) -> FoundRun:
    """Read a scores file, or that of a folder.

    Raises:
        ScoresError: it is missing, damaged, edited or of another schema version; its path is named.
    """
    path = Path(path)
    if path.is_dir():
        path /= SCORES_FILE
    return FoundRun(path, read_scores(path))


def find_runs(folder: Path | str, **wanted: Sequence[str | float]) -> list[FoundRun]:
    """Return the runs below a folder, sorted by what tells them apart.

    Args:
        folder: for example a run's ``results/toy``.
        wanted: allowed values by a name of `IDENTITY`; nothing for a name allows every value.

    Raises:
        ScoresError: there is no scores file, or none that is wanted, or one of them cannot be read.
    """
    folder = Path(folder)
    paths = sorted(folder.rglob(SCORES_FILE))
    if not paths:
        raise ScoresError(f"{folder}\n  expected: {SCORES_FILE} somewhere below\n  found:    none")
    runs = [open_run(path) for path in paths]
    limits = {name: allowed for name, allowed in wanted.items() if allowed}
    kept = [run for run in runs if all(getattr(run.scores, name) in allowed for name, allowed in limits.items())]
    if not kept:
        asked = ", ".join(f"{name} {' or '.join(map(_short, allowed))}" for name, allowed in limits.items())
        there = ", ".join(
            f"{name} {' or '.join(map(_short, sorted({getattr(run.scores, name) for run in runs})))}" for name in limits
        )
        raise ScoresError(f"{folder}: no such run\n  expected: {asked}\n  found:    {there}")
    return sorted(kept, key=lambda run: tuple(getattr(run.scores, name) for name in IDENTITY))


@dataclass(frozen=True)
class Difference:
    """One thing in which two runs differ; ``group`` says of what kind it is."""

    group: str
    name: str
    first: str
    second: str


def differences(first: FoundRun, second: FoundRun) -> list[Difference]:
    """Everything but the scores in which two runs differ: what was run, config, data, code, versions, machine."""
    return [
        Difference(group, name, _short(a), _short(b))
        for group, one, other in _groups(first, second)
        for name, a, b in _unequal(one, other)
    ]


@dataclass(frozen=True)
class ScorePair:
    """One metric of two runs; None where a run has no value."""

    metric: str
    class_name: str
    higher_is_better: bool
    first: float | None
    second: float | None


def score_pairs(first: FoundRun, second: FoundRun) -> list[ScorePair]:
    """Every metric that either run has, in the order of the first."""
    sides = [{(m.metric, m.class_name): m for m in run.scores.metrics} for run in (first, second)]
    pairs = []
    for key in dict.fromkeys([*sides[0], *sides[1]]):
        a, b = (side.get(key) for side in sides)
        known = a or b
        assert known is not None
        pairs.append(ScorePair(*key, known.higher_is_better, a.value if a else None, b.value if b else None))
    return pairs


def _groups(first: FoundRun, second: FoundRun) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """Both runs' fields, kind by kind; options only where both runs have kept theirs."""
    jobs = [_flat(run.job() or {}) for run in (first, second)]
    with_jobs = all(jobs)
    sides = [_fields(run, job if with_jobs else {}) for run, job in zip((first, second), jobs, strict=True)]
    for group in sides[0]:
        yield group, sides[0][group], sides[1][group]


def _fields(run: FoundRun, job: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """A run's fields by their kind. What it is and where it comes from stands in one of them alone."""
    scores, provenance = run.scores, run.scores.provenance
    known = {*IDENTITY, "toy", "backbone.method", "backbone.dataset", "backbone.seed"}
    options = {name: value for name, value in job.items() if name not in known}
    pretraining = {name: value for name, value in _flat(run.pretraining()).items() if name not in known}
    data = {name: getattr(scores, name) for name in ("split", "num_frames", "label_scans", "toy")}
    return {
        "run": {name: getattr(scores, name) for name in IDENTITY},
        "config": {"config_hash": provenance.config_hash, **options},
        "pre-training": pretraining,
        "data": {**data, "data_checksum": provenance.data_checksum},
        "code": {"git_commit": provenance.git_commit, "dirty": provenance.dirty},
        "versions": provenance.packages,
        "machine": provenance.hardware.model_dump(),
    }


def _unequal(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in dict.fromkeys([*one, *other]):
        if one.get(name) != other.get(name):
            yield name, one.get(name), other.get(name)


def _flat(options: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Options by their dotted names."""
    found: dict[str, Any] = {}
    for name, value in options.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{above}{name}.")
        else:
            found[f"{above}{name}"] = value
    return found


def _short(value: Any) -> str:
    """A value as text; ``-`` where there is none."""
    if value is None:
        return "-"
    return f"{value:g}" if isinstance(value, float) else str(value)
