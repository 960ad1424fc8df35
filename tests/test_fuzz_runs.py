"""Every reader of configs, plug-ins and results on changed bytes: one message or a sound value, never another error."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import json
import math
from argparse import ArgumentParser, Namespace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from damage_yard import RUN, make_scores
from fuzz import CASES as MANY
from fuzz import FEW, Case, fuzz, signed
from PIL import Image

from cmcr.commands import results as results_command
from cmcr.commands.show import run as show
from cmcr.commands.step_times import lines_of
from cmcr.config import Config, read_config
from cmcr.errors import ConfigError
from cmcr.files import sha256_of_json
from cmcr.pretrain.course import read_course
from cmcr.pretrain.method import PretrainMethod
from cmcr.pretrain.plugins import find_plugins, load_plugin_file
from cmcr.printable import printable
from cmcr.report.card import MethodEntry, RunCard, read_card, write_card
from cmcr.report.files import RunFiles
from cmcr.report.page import render_report
from cmcr.results.collect import read_scores_table
from cmcr.results.cost import read_benchmark
from cmcr.results.diagnostics import Diagnosis, Measured, diagnostics_tables
from cmcr.results.frames import read_frames
from cmcr.results.held_out import HeldOut, read_held_out, write_held_out
from cmcr.results.published import read_gaps, read_lineages, read_names, read_published, read_splits
from cmcr.results.records import read_record, write_record
from cmcr.results.scores import Scores, read_scores, write_scores
from cmcr.step_times import StepTimes, Work, measure
from cmcr.training_callbacks import rows_until
from cmcr.yaml_files import read_yaml

pytestmark = [pytest.mark.torture, pytest.mark.slow]

ORIGINAL: dict[str, Any] = {}
LABELS = {"scratch": "Scratch"}
PLUGIN = '''
from cmcr.pretrain.method import PretrainMethod, Source

class Mine(PretrainMethod):
    """Does nothing."""
    id, label, source = "mine", "Mine", Source(paper="none")
'''
LOG = "".join(f"00:00:0{n} step {n}/9  loss=0.5\n00:00:1{n} scoring {n}/4\n" for n in range(1, 5))
TABLE = "# Scores\n\nmIoU.\n\n| method | mIoU |\n| --- | ---: |\n| Scratch | **20.0** |\n\nNone.\n"


def sign_record(content: bytes) -> bytes:
    """Give a record the checksum of its content."""
    fields = json.loads(content)
    fields.pop("checksum", None)
    return json.dumps({**fields, "checksum": sha256_of_json(fields)}).encode()


def plain(path: Path) -> Any:
    try:
        return read_yaml(path)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def plugin(path: Path) -> type[PretrainMethod]:
    find_plugins([path.parent])
    return load_plugin_file(path)


def page(folder: Path, bytes: int) -> str:
    return render_report(RunFiles.found(folder), folder / "fidelity.md", bytes)


def shown(path: Path) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        show(Namespace(folder=path.parents[1]))
    return printed.getvalue()


def told(question: str, *arguments: str) -> str:
    """What `cmcr results` prints."""
    parser = ArgumentParser()
    results_command.add_arguments(parser)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        results_command.run(parser.parse_args([question, *arguments]))
    return printed.getvalue()


def is_plain(text: str) -> bool:
    """Nothing that a terminal takes for an order."""
    return printable(text) == text


def is_csv(text: str) -> bool:
    """A header and rows as long as it."""
    header, *rows = csv.reader(io.StringIO(text))
    return len(rows) > 0 and all(len(row) == len(header) for row in rows)


def is_page(text: str) -> bool:
    """One whole page without a script but its own."""
    return text.count("<script") == text.count("</script>") == 1 and text.rstrip().endswith("</html>")


read_diagnosis = partial(read_record, kind=Diagnosis, what="diagnostics")

#: By reader. What has a checksum is as it was, or refused; where it was made to fit, what is read can be shown.
CASES: dict[str, Case] = {
    "config": ("config/config.yaml", read_config, lambda config: isinstance(config, Config)),
    "YAML": ("label map/mine.yaml", plain, lambda value: type(value).__module__ in ("builtins", "datetime")),
    "plug-in": ("plug-ins/mine.py", plugin, lambda cls: issubclass(cls, PretrainMethod) and cls.id == "mine"),
    "times of steps": (
        "config/step_times.tsv", StepTimes.load, lambda times: all(0 < t.seconds < math.inf for t in times.times),
    ),
    "log of a training": (
        "results/seed0.log",
        lambda path: list(measure(Work("pretrain", "ppkt", "cpu", "x"), lines_of(path))),
        lambda times: all(0 < t.seconds < math.inf for t in times),
    ),
    "scores": ("results/scores.json", read_scores, lambda scores: scores == ORIGINAL["scores"]),
    "scores, signed": ("results/scores.json", signed(read_scores, sign_record), lambda s: Scores.model_validate(s)),
    "table of scores": (
        "results/scores.tsv",
        read_scores_table,
        lambda t: not t["value"].isin([math.inf, -math.inf]).any() and t["label_percent"].between(0, 100).all(),
    ),
    "statistics of scans": (
        "results/frames.safetensors",
        read_frames,
        lambda f: f.record == ORIGINAL["frames"].record and (f.counts_FK == ORIGINAL["frames"].counts_FK).all(),
    ),
    "held-out measures": ("run/pretrain/a/held_out.json", read_held_out, lambda h: h == ORIGINAL["held_out"]),
    "diagnosis": ("run/diagnostics/a.json", read_diagnosis, lambda d: d == ORIGINAL["diagnosis"]),
    "diagnosis, signed": (
        "run/diagnostics/a.json",
        signed(lambda path: diagnostics_tables([read_diagnosis(path)], LABELS), sign_record),
        lambda tables: len(tables) == 2,
    ),
    "card of a run": ("run/run.json", read_card, lambda card: card == ORIGINAL["card"]),
    "report of a card, signed": (
        "run/run.json", signed(lambda path: page(path.parent, 10**6), sign_record), is_page,
    ),
    "report of measures, signed": (
        "run/pretrain/a/held_out.json", signed(lambda path: page(path.parents[2], 10**6), sign_record), is_page,
    ),
    "report of scores, signed": (
        "run/finetune/a/scores.json", signed(lambda path: page(path.parents[2], 10**6), sign_record), is_page,
    ),
    "report of a table": ("run/tables/segmentation.md", lambda path: page(path.parents[1], 10**6), is_page),
    "report of a picture": ("run/figures/a.png", lambda path: page(path.parents[1], 10**6), is_page),
    "report of a picture, shrunk": ("run/figures/a.png", lambda path: page(path.parents[1], 10), is_page),
    "results shown, signed": (
        "run/finetune/a/scores.json", signed(lambda path: told("show", str(path)), sign_record), is_plain,
    ),
    "results compared, signed": (
        "run/finetune/a/scores.json",
        signed(lambda path: told("compare", "--classes", str(path), str(path.parents[3] / "results")), sign_record),
        is_plain,
    ),
    "results listed, signed": (
        "run/finetune/a/scores.json", signed(lambda path: told("list", str(path.parents[2])), sign_record), is_plain,
    ),
    "results exported, signed": (
        "run/finetune/a/scores.json", signed(lambda path: told("export", str(path.parents[2])), sign_record), is_csv,
    ),
    "table shown": ("run/tables/segmentation.md", shown, is_plain),
    "benchmark": (
        "results/benchmark.tsv", read_benchmark, lambda t: all(0 <= n < math.inf for n in dataclasses.astuple(t)),
    ),
    "course": (
        "results/metrics.csv",
        read_course,
        lambda course: len(course) > 0 and course["loss"].abs().max() < math.inf and (course.index > 0).all(),
    ),
    "course of a run that goes on": (
        "results/metrics.csv",
        partial(rows_until, 1),
        lambda rows: all(row.endswith("\n") and int(row.split(",")[0]) <= 1 for row in rows[1:]),
    ),
    "published numbers": (
        "results/few.csv", read_published, lambda rows: all(math.isfinite(row.value) for row in rows),
    ),
    "published names": ("results/few names.csv", read_names, lambda names: all(map(all, names))),
    "published splits": (
        "results/few splits.csv", read_splits, lambda splits: all(split.frames >= 1 for split in splits.values()),
    ),
    "lineages": ("results/few lineages.csv", read_lineages, lambda found: all(line.name for line in found.values())),
    "gaps": ("results/few gaps.csv", read_gaps, lambda gaps: all(gaps.values())),
}  # fmt: skip


@pytest.fixture(scope="module")
def yard(fuzz_yard: Path) -> Path:
    results, run = fuzz_yard / "results", fuzz_yard / "run"
    for name, few in {"published": "few", **{n: f"few {n}" for n in ("names", "splits", "lineages", "gaps")}}.items():
        lines = (results / f"{name}.csv").read_bytes().splitlines(True)
        (results / f"{few}.csv").write_bytes(b"".join(lines[:4]))
    (results / "benchmark.tsv").write_text("s\th:m:s\tmax_rss\tcpu_time\n12.5\t0:00:12\t300.25\t24.5\n")
    (results / "seed0.log").write_text(LOG)
    for folder in (fuzz_yard / "plug-ins", run / "tables", run / "figures"):
        folder.mkdir(parents=True)
    (fuzz_yard / "plug-ins" / "mine.py").write_text(PLUGIN)
    (run / "tables" / "segmentation.md").write_text(TABLE)
    (run / "fidelity.md").write_text("| loss | code |\n| --- | --- |\n| InfoNCE | ours |\n")
    Image.effect_noise((40, 20), 50).save(run / "figures" / "a.png")
    write_scores(run / "finetune" / "a" / "scores.json", make_scores())
    entry = MethodEntry(id="scratch", label="Scratch", paper="none", code="", ablation_of=None, why_not=None)
    card = RunCard(run_name="r", toy=True, seeds=[0], datasets=["town"], methods=[entry], config="run_name: r\n")
    write_card(run / "run.json", card)
    common = {name: RUN[name] for name in ("dataset", "split", "method", "seed", "toy")}
    common["provenance"] = make_scores().provenance
    held_out = HeldOut(**common, num_scans=3, measures={"occupancy_accuracy": 0.5})
    write_held_out(run / "pretrain" / "a" / "held_out.json", held_out)
    value = {"value": 40.0, "control": 5.0, "higher_is_better": True, "unit": "percent", "num_points": 9}
    rows = [Measured(features="backbone", quantity="class", **value)]
    fitted = {"fit_split": "train", "fit_scans": 2, "scans": 2, "candidates": 8, "pretrain_dataset": "none"}
    diagnosis = Diagnosis(**common, **fitted, rows=rows)
    write_record(run / "diagnostics" / "a.json", diagnosis)
    ORIGINAL.update(card=card, held_out=held_out, diagnosis=diagnosis)
    ORIGINAL.update(scores=read_scores(results / "scores.json"), frames=read_frames(results / "frames.safetensors"))
    return fuzz_yard


@pytest.mark.parametrize("reader", CASES)
def test_changed_files_are_refused_or_sound(yard: Path, reader: str) -> None:
    file, read, sound = CASES[reader]
    fuzz(yard / file, read, sound, FEW if reader.startswith(("report", "plug-in", "results")) else MANY)
