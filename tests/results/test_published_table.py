from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cmcr.cli import main
from cmcr.errors import ScoresError
from cmcr.results.collect import scores_table, write_scores_table
from cmcr.results.plain_table import to_csv, to_latex, to_markdown
from cmcr.results.published import ComparedMethod, Lineage, PublishedValue, Reference, Split
from cmcr.results.published_table import published_table
from cmcr.results.scores import Scores

NETWORKS = {"segmentation": "net", "detection": "net"}
MINKUNET34 = "minkunet stem=32 planes=32,64,128,256,256,128,96,96 blocks=2,3,4,6,2,2,2,2"
METHODS = {"scratch": ComparedMethod("Scratch", teacher="none"), "ppkt": ComparedMethod("PPKT", teacher="resnet50")}
REFERENCE = Path(__file__).resolve().parents[2] / "results" / "reference"


def value(number: str, quoted_by: str = "first", **changes: Any) -> PublishedValue:
    fields: dict[str, Any] = {
        "method": "PPKT",
        "venue_year": "",
        "image_teacher": "ResNet-50",
        "backbone_3d": "Net34",
        "pretrain_dataset": "Town",
        "task": "semseg",
        "dataset": "Town",
        "detector": "",
        "protocol": "finetune",
        "label_ratio": 10.0,
        "metric": "mIoU",
        "source": f"page of {quoted_by}",
    }
    fields |= {"value": float(number), "printed": number, "quoted_by": quoted_by}
    return PublishedValue(**{**fields, **changes})


def reference(*values: PublishedValue, **changes: Any) -> Reference:
    names = {
        ("task", "segmentation"): ("semseg",),
        ("metric", "miou"): ("mIoU",),
        ("dataset", "town"): ("Town",),
        ("network", "net"): ("Net34",),
        ("teacher", "resnet50"): ("ResNet-50", "ResNet-50 MoCoV2"),
        ("method", "Scratch"): ("Random",),
    }
    fields: dict[str, Any] = {"names": names, "splits": {"Town": Split("val", 12)}}
    return Reference(values, **{**fields, **changes})


def rows(
    scores: pd.DataFrame, found: Reference, methods: dict[str, ComparedMethod] | None = None
) -> list[dict[str, str]]:
    table = published_table(scores, found, methods or METHODS, NETWORKS)
    return list(csv.DictReader(io.StringIO(to_csv(table))))


@pytest.fixture
def real(make_run: Callable[..., Scores]) -> pd.DataFrame:
    """PPKT at 10 %: mean 40.0, deviation 1.0 over 3 seeds; scratch at 10 %: 30.0, one seed."""
    runs = {f"{seed}": make_run(39.0 + seed, seed=seed, toy=False) for seed in range(3)}
    runs["s"] = make_run(30.0, method="scratch", pretrain_dataset="none", toy=False)
    return scores_table(runs)


def test_a_cell_stands_beside_its_counterpart(real: pd.DataFrame) -> None:
    (row,) = rows(real, reference(value("38.5")))
    assert (row["method"], row["mean"], row["std"], row["n"]) == ("ppkt", "40.0", "1.0", "3")
    assert (row["published"], float(row["difference"]), row["source"]) == ("38.5", 1.5, "page of first")


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "SLidR"},
        {"backbone_3d": "Net18"},
        {"pretrain_dataset": "City"},
        {"task": "panoptic"},
        {"dataset": "City"},
        {"protocol": "linear_probe"},
        {"protocol": ""},
        {"label_ratio": 1.0},
        {"label_ratio": None},
        {"metric": "PQ"},
    ],
)
def test_what_differs_is_no_counterpart(changes: dict[str, Any], real: pd.DataFrame) -> None:
    assert rows(real, reference(value("38.5", **changes))) == []


def test_contradictions_stand_below_each_other_and_are_not_averaged(real: pd.DataFrame) -> None:
    lineages = {"a": Lineage("old"), "b": Lineage("old"), "c": Lineage("new"), "d": Lineage("new")}
    found = reference(value("38.3", "a"), value("39.0", "b"), value("38.30", "c"), value("38.3", "d"), lineages=lineages)
    printed = [(row["lineage"], row["published"], row["quoted_by"]) for row in rows(real, found)]
    # Equal numbers of a lineage stand there once, with all their sources and the most digits.
    assert printed == [("old", "38.3", "a"), ("old", "39.0", "b"), ("new", "38.30", "c; d")]
    text = to_markdown(published_table(real, found, METHODS, NETWORKS))
    assert text.count("40.0 ± 1.0 (n=3)") == 1
    assert "(4) d: page of d" in text


def test_no_difference_is_taken_to_another_recipe(real: pd.DataFrame) -> None:
    found = reference(value("38.5"), lineages={"first": Lineage("another recipe", False, "other epochs")})
    (row,) = rows(real, found)
    assert (row["published"], row["difference"], row["reason"]) == ("38.5", "n/a", "another recipe")
    text = to_markdown(published_table(real, found, METHODS, NETWORKS))
    assert "another recipe: no difference is taken: other epochs." in text


def test_another_teacher_is_shown_only_where_there_is_none_of_ours(real: pd.DataFrame) -> None:
    ours, other = value("38.5", image_teacher="ResNet-50 MoCoV2"), value("50.0", image_teacher="ViT")
    assert [row["published"] for row in rows(real, reference(ours, other))] == ["38.5"]
    (row,) = rows(real, reference(other))
    assert (row["published"], row["difference"], row["reason"]) == ("50.0", "n/a", "another teacher")
    # Of imported weights the teacher is not known.
    unknown = {"ppkt": ComparedMethod("PPKT")}
    assert len(rows(real, reference(ours, other), unknown)) == 2


def test_names_are_data(real: pd.DataFrame) -> None:
    found = reference(value("29.0", method="Random", pretrain_dataset="none", image_teacher="none"))
    (row,) = rows(real, found)
    assert (row["method"], row["published_as"], float(row["difference"])) == ("scratch", "Random", 1.0)
    renamed = {"ppkt": ComparedMethod("PPKT, ours", "PPKT++", "resnet50")}
    (row,) = rows(real, reference(value("38.5", method="PPKT++")), renamed)
    assert row["published_as"] == "PPKT++"
    # A new label alone is another method.
    assert rows(real, reference(value("38.5")), {"ppkt": ComparedMethod("PPKT, wide", None, "resnet50")}) == []


def test_a_known_gap_is_printed_until_somebody_fills_it(real: pd.DataFrame) -> None:
    elsewhere = value("1.0", method="SLidR", label_ratio=1.0)
    gaps = {"PPKT": "not public"}
    (row,) = rows(real, reference(elsewhere, gaps=gaps))
    assert (row["published"], row["reason"]) == ("n/a", "not public")
    assert "n/a (not public)" in to_markdown(published_table(real, reference(elsewhere, gaps=gaps), METHODS, NETWORKS))
    (row,) = rows(real, reference(elsewhere, value("38.5"), gaps=gaps))
    assert row["published"] == "38.5"


@pytest.mark.parametrize("split", [Split("val", 6019), Split("test", 12)])
def test_another_split_is_not_compared(split: Split, real: pd.DataFrame) -> None:
    found = reference(value("38.5"), splits={"Town": split})
    assert rows(real, found) == []
    text = to_markdown(published_table(real, found, METHODS, NETWORKS))
    assert "No number of this run has a published counterpart." in text
    assert "split val with 12 frames is not what published numbers were measured on" in text
    assert "tabular" not in to_latex(published_table(real, found, METHODS, NETWORKS))
    assert rows(real, reference(value("38.5"), splits={"Town": Split("", 12)})) != []
    assert rows(real, reference(value("38.5"), splits={})) == []


def test_toy_numbers_are_never_compared(
    scores: pd.DataFrame, real: pd.DataFrame, make_run: Callable[..., Scores]
) -> None:
    with pytest.raises(ScoresError, match="no scores on real data"):
        published_table(scores, reference(value("38.5")), METHODS, NETWORKS)
    toy = scores_table({"t": make_run(dataset="toy_town", toy=True)})
    table = published_table(pd.concat([real, toy]), reference(value("38.5")), METHODS, NETWORKS)
    assert {row["dataset"] for row in table.rows} == {"town"}
    assert "toy_town: toy data, not compared." in table.notes


def test_the_latex_has_the_same_columns_in_every_line(real: pd.DataFrame) -> None:
    text = to_latex(published_table(real, reference(value("38.5", 'a "book" & [more]')), METHODS, NETWORKS))
    lines = [line for line in text.splitlines() if " & " in line and line.endswith(r"\\")]
    assert {line.replace(r"\&", "").count("&") for line in lines} == {8}
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")


def test_the_command_with_the_tables_of_the_repository(tmp_path: Path, make_run: Callable[..., Scores]) -> None:
    where = {"dataset": "nuscenes", "num_frames": 6019, "toy": False, "label_percent": 1}
    runs = {
        "a": make_run(30.8, method="scratch", pretrain_dataset="none", **where),
        "b": make_run(39.3, method="slidr", pretrain_dataset="nuscenes", **where),
        "c": make_run(50.0, method="cmcr", pretrain_dataset="nuscenes", **where),
    }
    write_scores_table(tmp_path / "scores.tsv", scores_table(runs))
    methods = {
        "scratch": {"label": "Scratch", "teacher": "none"},
        "slidr": {"label": "SLidR", "teacher": "resnet50"},
        "cmcr": {"label": "CMCR", "teacher": "resnet50"},
    }
    paper = tmp_path / "cmcr_paper.csv"
    paper.write_text((REFERENCE / "cmcr_paper.csv").read_text())
    arguments = ["published-table", "--scores", str(tmp_path / "scores.tsv"), "--methods", json.dumps(methods)]
    arguments += ["--networks", json.dumps({"segmentation": MINKUNET34})]
    for name in ("names", "lineages", "splits", "gaps"):
        arguments += [f"--{name}", str(REFERENCE / f"{name}.csv")]
    arguments += ["--folder", str(tmp_path), str(REFERENCE / "published.csv"), str(paper)]

    def read() -> list[tuple[str, str, str]]:
        assert main(arguments) == 0
        with (tmp_path / "published.csv").open() as file:
            return [(row["method"], row["lineage"], row["published"]) for row in csv.DictReader(file)]

    assert read() == [
        ("scratch", "SLidR README", "30.3"),
        ("scratch", "Seal and later", "30.30"),
        ("scratch", "another recipe", "35.0"),
        ("slidr", "SLidR README", "38.3"),
        ("slidr", "SLidR README", "39.0"),
        ("slidr", "Seal and later", "38.30"),
        ("slidr", "ST-SLidR's re-runs", "40.01"),
        ("cmcr", "", "n/a"),
    ]
    # An invented number, entered where a reader of the paper would.
    with paper.open("a") as file:
        file.write("CMCR,,ResNet-50,MinkUNet34,nuscenes,semseg,nuscenes,,finetune,1,mIoU,12.34,invented,a test\n")
    assert read()[-1] == ("cmcr", "a test", "12.34")
