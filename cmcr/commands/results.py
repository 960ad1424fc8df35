"""``cmcr results``"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from cmcr.errors import CMCRError
from cmcr.files import write_text
from cmcr.printable import printable
from cmcr.results.collect import scores_table
from cmcr.results.runs import IDENTITY, FoundRun, ScorePair, differences, find_runs, open_run, score_pairs


def add_arguments(parser: ArgumentParser) -> None:
    """What is asked, and of which runs."""
    questions = parser.add_subparsers(dest="question", required=True, metavar="question")
    _add_filters(questions.add_parser("list", help="one line for each run below a folder"))
    one = questions.add_parser("show", help="everything that a run says about itself")
    one.add_argument("run", type=Path, help="a scores file, or its folder")
    two = questions.add_parser("compare", help="what differs between two runs, and by how much their scores do")
    two.add_argument("first", type=Path, help="a scores file, or its folder")
    two.add_argument("second", type=Path, help="another one")
    two.add_argument("--classes", action="store_true", help="the scores of each class as well")
    export = questions.add_parser("export", help="all numbers as CSV, or whole records as JSON")
    _add_filters(export)
    export.add_argument("--output", type=Path, help="a file .csv or .json; without it, CSV is printed")


def _add_filters(parser: ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="where to look, for example results/toy")
    numbers = {"label_percent": float, "seed": int}
    names = {"label_percent": "--percent"}
    for name in IDENTITY:
        flag = names.get(name, f"--{name.replace('_', '-')}")
        parser.add_argument(
            flag, dest=name, nargs="+", default=[], type=numbers.get(name, str), help="only runs with one of these"
        )


def run(arguments: Namespace) -> None:
    """Answer one question."""
    {"list": _list, "show": _show, "compare": _compare, "export": _export}[arguments.question](arguments)


def _found(arguments: Namespace) -> list[FoundRun]:
    return find_runs(arguments.folder, **{name: getattr(arguments, name) for name in IDENTITY})


def _list(arguments: Namespace) -> None:
    lines = [["task", "data set", "method", "protocol", "labels", "seed", "score", "file"]]
    for found in _found(arguments):
        scores = found.scores
        lines.append(
            [
                scores.task,
                scores.dataset + (" (toy)" if scores.toy else ""),
                scores.method,
                scores.protocol,
                f"{scores.label_percent:g} %",
                str(scores.seed),
                f"{found.headline.metric} {_number(found.headline.value)}",
                str(found.path),
            ]
        )
    _print_columns(lines)


def _show(arguments: Namespace) -> None:
    found = open_run(arguments.run)
    content = found.scores.model_dump(mode="json", exclude={"metrics", "provenance", "schema_version"})
    provenance = found.scores.provenance.model_dump(mode="json")
    packages, hardware = provenance.pop("packages"), provenance.pop("hardware")
    groups = {"Run": content, "Provenance": provenance, "Packages": packages, "Machine": hardware}
    print(found.path)
    for title, fields in groups.items():
        print(f"\n{title}")
        _print_columns([[f"  {name}", str(value)] for name, value in fields.items() if value != {}])
    print("\nScores")
    _print_columns(
        [
            [f"  {m.metric}", m.class_name, _number(m.value) if m.reason is None else f"n/a ({m.reason})"]
            for m in found.scores.metrics
        ]
    )
    for title, options in {"Pre-training": found.pretraining(), "Fine-tuning": found.job()}.items():
        if options:
            print(f"\n{title}")
            print(json.dumps(options, indent=2))


def _compare(arguments: Namespace) -> None:
    first, second = open_run(arguments.first), open_run(arguments.second)
    print(f"A  {first.path}\nB  {second.path}")
    found = differences(first, second)
    if not found:
        print("\nThe runs do not differ in what was run, config, data, code, versions and machine.")
    for group in dict.fromkeys(difference.group for difference in found):
        print(f"\n{group.capitalize()}")
        _print_columns([[f"  {d.name}", d.first, "->", d.second] for d in found if d.group == group])
    print("\nScores")
    lines = [["  metric", "class", "A", "B", "B - A"]]
    for pair in score_pairs(first, second):
        if pair.class_name != "all" and not arguments.classes:
            continue
        lines.append([f"  {pair.metric}", pair.class_name, _number(pair.first), _number(pair.second), _change(pair)])
    _print_columns(lines)


def _change(pair: ScorePair) -> str:
    """Return what the second run has more, and whether that is better."""
    if pair.first is None or pair.second is None:
        return "n/a"
    gain = pair.second - pair.first
    judged = " (better)" if (gain > 0) == pair.higher_is_better else " (worse)"
    return f"{gain:+.2f}{judged if gain else ''}"


def _export(arguments: Namespace) -> None:
    found, output = _found(arguments), arguments.output
    if output is not None and output.suffix not in (".csv", ".json"):
        raise CMCRError(f"{output}\n  expected: a name that ends in .csv or .json\n  found:    {output.suffix!r}")
    if output is not None and output.suffix == ".json":
        records = [{"file": str(run.path), **run.scores.model_dump(mode="json")} for run in found]
        text = json.dumps(records, indent=2, sort_keys=True, allow_nan=False) + "\n"
    else:
        table = scores_table({str(run.path): run.scores for run in found})
        text = table.to_csv(index=False, lineterminator="\n")
    if output is None:
        sys.stdout.write(text)
    else:
        write_text(output, text)


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.2f}"


def _print_columns(lines: Sequence[Sequence[str]]) -> None:
    """Print lines of texts, flush left, as wide as the widest of each column."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print(printable("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()))
