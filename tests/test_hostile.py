"""Input made to do harm: nothing of it runs, leaves its place, or passes for something else.

`damage` has the files that are refused for it; here is what follows from those that are read.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
import yaml
from damage_yard import make_scores
from invented_kitti import write_frame, write_split
from invented_releases import write_release

from cmcr.checkpoints import read_metadata, read_tensors, save_tensors
from cmcr.cli import main
from cmcr.data.index import ScanIndex
from cmcr.data.kitti_index import make_index as kitti_index
from cmcr.data.releases import FOLDER, load_release
from cmcr.data.scan_record import ScanRecord
from cmcr.data.semantic_kitti_index import make_index
from cmcr.errors import ConfigError, DataError, WeightsError
from cmcr.files import write_text
from cmcr.pretrain.plugins import BASELINES, find_plugins
from cmcr.report.markdown import blocks
from cmcr.results.collect import scores_table
from cmcr.results.figures import per_class_figure
from cmcr.results.scores import Metric, Scores, write_scores
from cmcr.results.style import method_looks, write_figure
from cmcr.results.table_text import to_csv, to_latex, to_markdown
from cmcr.results.tables import per_class_tables
from cmcr.tasks.submissions import SUBMISSIONS, FilePerScan

RECORD = ScanRecord("t", "s", 0, "a.bin", 16, None, None, None, None, (), ())
HARM = "--><script>alert(1)</script>]]>&\"'$x^2$\\input{/etc/passwd}|=1+1"


@pytest.mark.parametrize("field", ["token", "scene", "lidar", "labels", "panoptic", "boxes"])
@pytest.mark.parametrize("value", ["../../x", "/x", "a/../../x", "", "a\0b", "a\nb", "\x1b[31m", "\ud800", 5])
def test_no_name_of_a_scan_leads_anywhere_else(field: str, value: object) -> None:
    with pytest.raises(DataError):
        dataclasses.replace(RECORD, **{field: value})


def test_predictions_are_written_below_their_folder(tmp_path: Path) -> None:
    """Tokens and scenes become names of files; what they may be is checked where they are read."""
    index = ScanIndex("d", "nuscenes", tmp_path, "val", "v", ("ignore", "car"), (1,), (RECORD,))
    for submission in SUBMISSIONS.values():
        if not isinstance(submission, FilePerScan):
            continue  # one file for the whole split, of a fixed name
        path = tmp_path / submission.path(index, RECORD)
        assert path.resolve().is_relative_to(tmp_path.resolve())


# Links. Data sets are linked on clusters, from scratch disks and shared folders, so reading follows links wherever they
# lead: whoever can put a link into a data set can put the file itself there. Writing never goes through a link.


def test_a_data_set_of_links_is_read_like_any_other(tmp_path: Path) -> None:
    write_release(tmp_path / "store", "semantic_kitti", "val", images=True)
    linked = tmp_path / "linked"
    for path in sorted((tmp_path / "store").rglob("*")):
        place = linked / path.relative_to(tmp_path / "store")
        if path.is_file():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(path)
    (tmp_path / "root").symlink_to(linked)
    found = make_index("d", tmp_path / "root", "semantic_kitti", "val")
    assert found.checksum == make_index("d", tmp_path / "store", "semantic_kitti", "val").checksum
    np.testing.assert_array_equal(found.read(0).points, make_index("d", linked, "semantic_kitti", "val").read(0).points)


@pytest.mark.parametrize("target", ["nowhere", "000003.bin", "/dev/zero", "/dev/stdin", "/proc/self/mem", "/"])
def test_a_link_to_what_is_no_file_is_refused(tmp_path: Path, target: str) -> None:
    write_frame(tmp_path)
    write_split(tmp_path, "train", "000003")
    sweep = tmp_path / "training" / "velodyne" / "000003.bin"
    sweep.unlink()
    sweep.symlink_to(target)
    with pytest.raises(DataError, match=r"000003\.bin"):
        kitti_index("d", tmp_path, "training", "train")


def test_what_is_written_takes_the_place_of_a_link_and_spares_what_it_leads_to(tmp_path: Path) -> None:
    precious = tmp_path / "precious.txt"
    precious.write_text("kept")
    (tmp_path / "scores.tsv").symlink_to(precious)
    write_text(tmp_path / "scores.tsv", "new")
    assert precious.read_text() == "kept"
    assert (tmp_path / "scores.tsv").read_text() == "new"
    assert not (tmp_path / "scores.tsv").is_symlink()


# Code: plug-ins come from baselines/ and plugin_dirs, and from nowhere else.

PLUGIN = """
from pathlib import Path
from cmcr.pretrain.method import PretrainMethod, Source

Path(__file__).with_name("sprung").touch()

class Mine(PretrainMethod):
    id, label, source = "mine", "Mine", Source(paper="none")
"""


def test_a_plugin_that_lies_among_data_or_results_is_neither_found_nor_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_release(tmp_path, "semantic_kitti", "val")
    for folder in (".", "baselines", "sequences", "sequences/08", "results"):
        (tmp_path / folder).mkdir(exist_ok=True)
        for name in ("mine.py", "conftest.py", "sitecustomize.py"):
            (tmp_path / folder / name).write_text(PLUGIN)
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    place = ["--format", "semantic_kitti", "--version", "semantic_kitti", "--root", ".", "--split", "val"]
    assert main(["index", "--dataset", "d", *place, "--output", "index.jsonl"]) == 0
    assert main(["methods"]) == 0
    assert "mine" not in find_plugins()
    assert all(path.parent == BASELINES for path in find_plugins().values())
    assert not list(tmp_path.rglob("sprung"))
    assert not {name for name in set(sys.modules) - before if "mine" in name.split(".")}


def test_a_folder_of_plugins_is_not_searched_below(tmp_path: Path) -> None:
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "mine.py").write_text(PLUGIN)
    assert "mine" not in find_plugins([tmp_path])
    assert not (tmp_path / "deeper" / "sprung").exists()


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.mknod [sprung]", "!!python/name:os.system ''", "!own x"])
def test_a_tag_in_yaml_makes_nothing(tmp_path: Path, tag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(f"title: {tag}\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml"):
        load_release(str(tmp_path / "mine.yaml"))
    (tmp_path / "config.yaml").write_text(f"run_name: {tag}\n")
    assert main(["plan", "--config", "config.yaml"]) == 1
    assert not (tmp_path / "sprung").exists()


# Weights: what is read is what was written, number by number.


def test_a_changed_number_in_our_own_weights_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_tensors(path, {"a": torch.ones(4)}, {"method": "ppkt"})
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(WeightsError, match="own checksum"):
        read_tensors(path)
    path.write_bytes(content.replace(b"ppkt", b"cmcr"))
    for read in (read_tensors, read_metadata):
        with pytest.raises(WeightsError, match="own checksum"):
            read(path)


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.ones(1).expand(10**9),
        lambda: torch.ones(2, 2).to_sparse(),
        lambda: torch.empty(3, device="meta"),
    ],
)
def test_tensors_that_are_not_stored_number_by_number_are_refused(
    tmp_path: Path, make: Callable[[], torch.Tensor]
) -> None:
    torch.save({"a": make()}, tmp_path / "a.pt")
    with pytest.raises(WeightsError, match=r"a\.pt"):
        read_tensors(tmp_path / "a.pt")


# Text: names from data and from others' records are text in every table, page and figure.


@pytest.fixture
def harmful() -> Scores:
    metrics = [
        Metric(metric="miou", class_name="all", value=12.5, higher_is_better=True),
        Metric(metric="iou", class_name=HARM, value=12.5, higher_is_better=True),
        Metric(metric="iou", class_name="car", value=None, reason=HARM, higher_is_better=True),
    ]
    return make_scores(metrics=metrics, protocol="linear_probe", label_percent=100.0)


def test_class_names_and_reasons_are_text_in_tables_and_on_the_page(harmful: Scores) -> None:
    (table,) = per_class_tables(scores_table({"a": harmful}), "segmentation", "iou", (), {"scratch": HARM})
    markdown = to_markdown(table)
    html = "".join(str(block) for block in blocks(markdown))
    assert "<script" not in html
    assert "alert(1)" in html
    assert markdown.replace("\\|", "").count("\n|") == 2 + len(table.rows)
    latex = to_latex(table)
    assert "\\input" not in latex
    assert r"\textbackslash{}input\{/etc/passwd\}" in latex
    assert not re.search(r"(?<!\\)\$x", latex)
    assert len(to_csv([table]).splitlines()) == 1 + len(table.rows)


def test_names_are_text_in_figures(tmp_path: Path, harmful: Scores) -> None:
    assert method_looks({"scratch": HARM})
    figure = per_class_figure(scores_table({"a": harmful}), "segmentation", "iou", {"scratch": HARM}, "town")
    write_figure(tmp_path, "figure", figure)
    root = ElementTree.parse(tmp_path / "figure.svg").getroot()
    kinds = {element.tag.rsplit("}", 1)[-1] for element in root.iter() if isinstance(element.tag, str)}
    assert not kinds & {"script", "foreignObject", "image", "a", "iframe"}
    assert not [name for element in root.iter() for name in element.attrib if name.lower().startswith("on")]


def test_a_label_map_names_no_class_that_a_record_could_not_hold(tmp_path: Path) -> None:
    """It would be found when a training has ended and its scores are written."""
    values = yaml.safe_load((FOLDER / "daps_1.yaml").read_text())
    for number, name in enumerate(("a\nb", "a\x07", " ", "a\u2028b")):
        values["classes"] = {"ignore": {0: "nothing"}, name: {1: "thing"}}
        values["things"] = []
        path = tmp_path / f"mine{number}.yaml"
        path.write_text(yaml.safe_dump(values, sort_keys=False))
        with pytest.raises(ConfigError, match="printable"):
            load_release(str(path))


def test_what_others_wrote_does_not_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = make_scores()
    provenance = scores.provenance.model_copy(update={"packages": {"torch\x1b[2J": "1\u202e2"}})
    write_scores(tmp_path / "scores.json", scores.model_copy(update={"provenance": provenance}))
    assert main(["results", "show", str(tmp_path)]) == 0
    torch.save({"\x1b[2J": {"conv0p1s1.kernel": torch.ones(27, 1, 8)}, "\x07": torch.ones(1)}, tmp_path / "a.pt")
    assert main(["import-weights", str(tmp_path / "a.pt")]) == 1
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "segmentation.md").write_text("a \x1b[2J table")
    assert main(["show", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert "\x1b" not in captured.out + captured.err
    assert r"\x1b[2J" in captured.out


def test_reading_needs_no_right_to_write(tmp_path: Path) -> None:
    """A data set that belongs to someone else stays as it is: no cache, no lock, no compiled file in it."""
    write_release(tmp_path, "semantic_kitti", "val", images=True)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    index = make_index("d", tmp_path, "semantic_kitti", "val")
    index.read(0)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
