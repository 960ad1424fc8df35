"""``python -m bench``"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

from bench import data, engine, growth, losses, scans, steps
from bench.measure import Case, Times, race
from cmcr.errors import CMCRError, ConfigError
from cmcr.files import write_json, write_text
from cmcr.results.provenance import collect_provenance, git_state

#: Calls that a profile is taken over.
_PROFILED = 3

CASES: dict[str, Case] = {**engine.CASES, **losses.CASES, **data.CASES, **scans.CASES, **steps.CASES, **growth.CASES}


def main() -> int:
    """Measure, or compare two measurements; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Time each part beside what it replaces.")
    parser.add_argument("cases", nargs="*", metavar="case", help=f"what to measure, all by default: {', '.join(CASES)}")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each rival (5)")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch (2)")
    parser.add_argument("--output", type=Path, default=Path("bench/results.json"), help="where the times go")
    parser.add_argument("--compare", nargs=2, type=Path, metavar=("OLD", "NEW"), help="compare two such files instead")
    parser.add_argument(
        "--profile", choices=CASES, metavar="CASE", help="say where a case's first entry spends its time"
    )
    arguments = parser.parse_args()
    try:
        if arguments.compare:
            print(compared(*map(_read, arguments.compare)))
        elif arguments.profile:
            print(profiled(arguments.profile, arguments.threads))
        else:
            unknown = [name for name in arguments.cases if name not in CASES]
            if unknown or arguments.rounds < 1 or arguments.threads < 1:
                parser.error(f"no case {unknown[0]!r}" if unknown else "rounds and threads are at least 1")
            measure(arguments.cases or list(CASES), arguments.rounds, arguments.threads, arguments.output)
    except CMCRError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0


def measure(names: list[str], rounds: int, threads: int, output: Path) -> None:
    """Race the rivals of each case, print their times, and write them with machine and versions to ``output``."""
    started, code = time.monotonic(), git_state()
    torch.set_num_threads(threads)
    found: dict[str, Any] = {}
    for name in names:
        times = race(CASES[name].rivals(), rounds)
        found[name] = {"title": CASES[name].title, "rivals": {rival: t.to_json() for rival, t in times.items()}}
        print(_line(CASES[name], times), flush=True)
    provenance = collect_provenance("bench", "none", code, started, threads).model_dump(mode="json")
    write_json(output, {"provenance": provenance, "cases": found})
    write_text(output.with_suffix(".md"), as_markdown(found, provenance))


def as_markdown(cases: dict[str, Any], provenance: dict[str, Any]) -> str:
    """Return a table of everything that was measured, with the machine above it."""
    hardware = provenance["hardware"]
    lines = [
        f"Median, fastest and slowest of the rounds, on {hardware['cpu']}, {hardware['threads']} threads.",
        "Memory is what one call takes at most on top of what is resident before it.",
        "",
        "| what | median (s) | fastest to slowest (s) | of the first | memory (MB) |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for case in cases.values():
        lines.append(f"| **{case['title']}** | | | | |")
        first = next(iter(case["rivals"].values()))["median_s"]
        for rival, times in case["rivals"].items():
            median, fastest, slowest = (times[name] for name in ("median_s", "fastest_s", "slowest_s"))
            memory = "" if times["peak_mb"] is None else f"{times['peak_mb']:.0f}"
            lines.append(
                f"| {rival} | {median:.4f} | {fastest:.4f} to {slowest:.4f} | {median / first:.2f} | {memory} |"
            )
    return "\n".join([*lines, ""])


def profiled(name: str, threads: int) -> str:
    """Say, as Markdown, which operations of torch the first rival of a case spends its time in."""
    torch.set_num_threads(threads)
    work = next(iter(CASES[name].rivals().values()))
    work()
    with torch.profiler.profile() as profile:
        for _ in range(_PROFILED):
            work()
    found = profile.key_averages()
    total = sum(each.self_cpu_time_total for each in found)
    lines = ["| operation | share of the time | seconds | calls |", "| --- | ---: | ---: | ---: |"]
    for each in sorted(found, key=lambda each: -each.self_cpu_time_total)[:15]:
        seconds = each.self_cpu_time_total / _PROFILED / 1e6
        lines.append(
            f"| {each.key} | {each.self_cpu_time_total / total:.1%} | {seconds:.3f} | {each.count // _PROFILED} |"
        )
    return "\n".join(lines)


def compared(old: dict[str, Any], new: dict[str, Any]) -> str:
    """Say, as Markdown, how the times of cases that both have changed."""
    lines = ["| case | rival | old (s) | new (s) | new / old |", "| --- | --- | ---: | ---: | ---: |"]
    for name, case in new["cases"].items():
        for rival, times in case["rivals"].items():
            before = old["cases"].get(name, {}).get("rivals", {}).get(rival)
            if before is not None:
                first, second = before["median_s"], times["median_s"]
                lines.append(f"| {case['title']} | {rival} | {first:.4f} | {second:.4f} | {second / first:.2f} |")
    return "\n".join(lines)


def _line(case: Case, times: dict[str, Times]) -> str:
    ours, *others = times
    parts = [f"{name} {t.median:.4f} s ({min(t.seconds):.4f} to {max(t.seconds):.4f})" for name, t in times.items()]
    ratios = [f"{times[other].median / times[ours].median:.1f} times faster than {other}" for other in others]
    if case.stages:
        shares = [f"{other} {times[other].median / times[ours].median:.0%}" for other in others]
        return f"{case.title}: {', '.join(parts)}; of {ours}: {', '.join(shares)}"
    return f"{case.title}: {', '.join(parts)}; {ours} is {' and '.join(ratios)}"


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        for case in content["cases"].values():
            medians = [times["median_s"] for times in case["rivals"].values()]
            if not isinstance(case["title"], str) or not all(median > 0 for median in medians):
                raise ValueError
        return content
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    raise ConfigError(f"{path}: expected what `python -m bench` writes\n  way out:  measure again")


if __name__ == "__main__":
    sys.exit(main())
