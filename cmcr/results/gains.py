"""The table of gains: each method against a baseline, with how sure the difference is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cmcr.errors import ScoresError
from cmcr.evaluation.bootstrap import FEWEST_SEEDS, paired_gain
from cmcr.evaluation.frame_counts import METRIC_OF_SUMS
from cmcr.results.frames import FrameCounts
from cmcr.results.summary import MEAN_METRICS, NO_RUN, Cell, Setting, refuse_mixture
from cmcr.results.tables import Column, Row, Table, metric_label

#: Share of the resamples inside an interval, in percent, and how many there are.
LEVEL: Final = 95
RESAMPLES: Final = 2000

#: Task, data set and setting: a column.
_Place = tuple[str, str, Setting]


def gains_table(
    frames: Sequence[FrameCounts],
    baseline: str,
    methods: Mapping[str, str],
    reasons: Mapping[str, Mapping[str, str]] | None = None,
) -> Table:
    """Methods by gain over a baseline in the headline metric, on every data set and in every setting.

    Args:
        frames: statistics of all runs; those of other methods are left out.
        baseline: id of the method that the others are compared with.
        methods: label for print by id, in printing order, with the baseline's.
        reasons: why a method has no numbers, by task and id, where that is known beforehand.

    Raises:
        ScoresError: there is no run of the baseline, or runs would be compared that were scored on different scans.
    """
    frames = [found for found in frames if found.record.method in methods]
    _check(frames, baseline)
    runs: dict[tuple[_Place, str], dict[int, NDArray[np.float64]]] = defaultdict(dict)
    for found in frames:
        record = found.record
        place = record.task, record.dataset, Setting(record.protocol == "finetune", record.label_percent)
        runs[place, record.method][record.seed] = found.counts_FK
    tasks = list(MEAN_METRICS)
    places = sorted({place for place, _ in runs}, key=lambda place: (tasks.index(place[0]), *place[1:]))
    columns = [
        Column(f"{task}/{dataset}/{setting.key}", setting.label, f"{dataset}, {_headline(task)}", None)
        for task, dataset, setting in places
    ]
    rows = []
    for method, label in methods.items():
        if method != baseline:
            cells = []
            for place in places:
                missing = (reasons or {}).get(place[0], {}).get(method, NO_RUN)
                cells.append(_gain(place, runs[place, method], runs[place, baseline], missing))
            rows.append(Row({"method": method, "baseline": baseline}, "", label, cells))
    toy = " on toy data" if any(found.record.toy for found in frames) else ""
    caption = (
        f"Gain over {methods[baseline]}{toy}, in points of the metric, mean over the seeds that both have. In brackets "
        f"the {LEVEL} % interval of a paired bootstrap: {RESAMPLES} times as many validation scans are drawn as there "
        f"are, the same for both methods and all seeds, and from {FEWEST_SEEDS} seeds on, seeds too. Gains whose interval "
        "leaves out zero in bold. Scans of one drive resemble each other, which makes intervals from few drives too "
        "narrow; average precision is no sum over scans, and its intervals come from seeds alone."
    )
    return Table("gains", caption, columns, rows, with_spread=True)


def _check(frames: Sequence[FrameCounts], baseline: str) -> None:
    if not any(found.record.method == baseline for found in frames):
        raise ScoresError(f"no run of the baseline {baseline}, over which gains are to be shown")
    rows: list[dict[Any, Any]] = [
        {**found.record.model_dump(), "statistics": found.counts_FK.shape} for found in frames
    ]
    refuse_mixture(rows, ("task", "dataset"), ("split", "toy", "index_checksum", "statistics"))
    refuse_mixture(rows, ("dataset", "method"), ("pretrain_dataset",))
    seen = set()
    for row in rows:
        key = tuple(row[name] for name in ("task", "dataset", "method", "protocol", "label_percent", "seed"))
        if key in seen:
            raise ScoresError(f"statistics of one run twice: {', '.join(map(str, key))}")
        seen.add(key)


def _gain(
    place: _Place, ours: Mapping[int, NDArray[np.float64]], theirs: Mapping[int, NDArray[np.float64]], missing: str
) -> Cell:
    seeds = sorted(set(ours) & set(theirs))
    if not seeds:
        return Cell(None, None, 0, reason=missing if theirs else "no run of the baseline")
    ours_SFK, theirs_SFK = (np.stack([of[seed] for seed in seeds]) for of in (ours, theirs))
    # The same draws in every cell: two methods on the same scans can be compared by their intervals as well.
    gain = paired_gain(ours_SFK, theirs_SFK, METRIC_OF_SUMS[place[0]], np.random.default_rng(0), RESAMPLES, LEVEL / 100)
    alone = ours_SFK.shape[1] == 1 and len(seeds) < FEWEST_SEEDS
    return Cell(gain.mean, None, len(seeds), interval=None if alone else (gain.low, gain.high), is_gain=True)


def _headline(task: str) -> str:
    return metric_label(MEAN_METRICS[task][0])
