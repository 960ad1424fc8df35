"""Plug-ins are found by their files, and a broken one is named without stopping the others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cmcr.errors import PluginError
from cmcr.pretrain.method import Channels, PretrainMethod
from cmcr.pretrain.plugins import BASELINES, find_plugins, load_plugin, load_plugin_file

GOOD = """
from cmcr.pretrain.method import PretrainMethod, Source

class Mine(PretrainMethod):
    id, label, source = "{id}", "Mine", Source(paper="none")
"""


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.py"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("method_id", find_plugins())
def test_every_baseline_keeps_the_contract(method_id: str):
    method = load_plugin(method_id)
    assert method.id == method_id
    assert method.label
    assert method.source.paper
    assert method.__doc__ is not None
    options = method.Options()
    assert all(field.description for field in type(options).model_fields.values())
    if method.pretrains:
        assert method(options, Channels(points=8, image=16)).options == options


def test_the_first_methods_are_there():
    assert {"scratch", "shuffled_pairs", "pixel_position", "ppkt"} <= find_plugins().keys()
    assert find_plugins()["ppkt"] == BASELINES / "ppkt.py"


def test_a_new_file_is_a_new_method(tmp_path: Path):
    path = write(tmp_path, "mine", GOOD.format(id="mine"))
    assert find_plugins([tmp_path])["mine"] == path
    assert issubclass(load_plugin("mine", [tmp_path]), PretrainMethod)


def test_finding_runs_nothing_and_leaves_out_what_is_no_method(tmp_path: Path):
    write(tmp_path, "explosive", GOOD.format(id="explosive") + "\nraise SystemExit\n")
    write(tmp_path, "helpers", "def helper(): ...\n\nclass Plain: ...\n")
    write(tmp_path, "_private", GOOD.format(id="_private"))
    (tmp_path / "notes.txt").write_text("no python", encoding="utf-8")
    assert find_plugins([tmp_path]).keys() - find_plugins().keys() == {"explosive"}


@pytest.mark.parametrize(
    ("text", "line", "complaint"),
    [
        ("class Broken(PretrainMethod:\n", 1, "does not parse"),
        ("import torch\n\nclass Broken(Base): ...\n", 3, "NameError.*Base"),
        ("import no_such_package\n\nclass Broken(object): ...\n", 1, "no_such_package"),
        (GOOD.format(id="broken") + "\ndef fail():\n    raise ValueError('deep')\n\nfail()\n", 8, "ValueError.*deep"),
    ],
    ids=["syntax", "name", "import", "deep"],
)
def test_a_broken_file_is_named_with_its_line_and_stops_no_other(tmp_path: Path, text: str, line: int, complaint: str):
    broken = write(tmp_path, "broken", text)
    write(tmp_path, "mine", GOOD.format(id="mine"))
    with pytest.raises(PluginError, match=f"{re.escape(str(broken))}:{line}: .*{complaint}"):
        load_plugin("broken", [tmp_path])
    assert load_plugin("mine", [tmp_path]).id == "mine"
    assert load_plugin("ppkt", [tmp_path]).id == "ppkt"


def test_an_error_below_the_plugin_names_the_plugins_own_line(tmp_path: Path):
    """What fails deep inside a library was called from a line of the plug-in; that is the one to look at."""
    broken = write(tmp_path, "broken", "import json\n\njson.loads('no json')\n\nclass Broken(object): ...\n")
    with pytest.raises(PluginError, match=f"{re.escape(str(broken))}:3: .*JSONDecodeError"):
        load_plugin("broken", [tmp_path])


def test_a_file_that_is_no_text_is_named(tmp_path: Path):
    (tmp_path / "binary.py").write_bytes(b"\xff\xfe\x00class")
    with pytest.raises(PluginError, match=re.escape(str(tmp_path / "binary.py"))):
        load_plugin("binary", [tmp_path])


def test_the_id_is_the_files_name(tmp_path: Path):
    path = write(tmp_path, "mine", GOOD.format(id="yours"))
    with pytest.raises(PluginError, match=r"mine\.py: expected .* id = 'mine' \(the file's name\), found \['yours'\]"):
        load_plugin_file(path)


def test_an_imported_method_is_not_the_files_own(tmp_path: Path):
    path = write(tmp_path, "ppkt", "from baselines.ppkt import PPKT\n\nclass Other(object): ...\n")
    with pytest.raises(PluginError, match="found none"):
        load_plugin_file(path)


def test_a_method_without_a_label_is_refused(tmp_path: Path):
    path = write(
        tmp_path, "mine", GOOD.format(id="mine").replace("label, source = ", "source = ").replace('"Mine", ', "")
    )
    with pytest.raises(PluginError, match="Mine lacks the class attribute 'label'"):
        load_plugin_file(path)


def test_an_id_is_taken_once(tmp_path: Path):
    write(tmp_path, "ppkt", GOOD.format(id="ppkt"))
    with pytest.raises(PluginError, match=r"the method id 'ppkt' is taken already by .*baselines/ppkt\.py"):
        find_plugins([tmp_path])


def test_a_mistyped_id_gets_the_nearest_one():
    with pytest.raises(PluginError, match=r"there is no method 'pkpt'; did you mean 'ppkt'\? \(found: .*scratch"):
        load_plugin("pkpt")
    with pytest.raises(PluginError, match=r"there is no method 'zzz' \(found"):
        load_plugin("zzz")


def test_a_missing_folder_is_named(tmp_path: Path):
    with pytest.raises(PluginError, match=r"none: no such folder \(config key plugin_dirs\)"):
        find_plugins([tmp_path / "none"])
