"""Plug-ins are found by their files, and a broken one is named without stopping the others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cmcr.errors import PluginError
from cmcr.pretrain.method import Channels, PretrainMethod, Setting
from cmcr.pretrain.plugins import BASELINES, find_plugins, load_plugin, load_plugin_file, reason_against

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
        ("class Broken(object): ...\n\0", 1, "does not parse: .*null byte"),
        ("x = fr" + '"a":{' * 3000, 1, "does not parse"),
        ("x = " + "-" * 100_000 + "1", 1, "does not parse: nested too deeply"),
        ("import torch\n\nclass Broken(Base): ...\n", 3, "NameError.*Base"),
        ("import no_such_package\n\nclass Broken(object): ...\n", 1, "no_such_package"),
        (GOOD.format(id="broken") + "\nraise SystemExit(3)\n", 7, "SystemExit"),
        (GOOD.format(id="broken") + "\ndef fail():\n    raise ValueError('deep')\n\nfail()\n", 8, "ValueError.*deep"),
    ],
    ids=["syntax", "null byte", "nested f-string", "nested signs", "name", "import", "exit", "deep"],
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


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("source = 'arXiv:1234.56789'", r"Mine\.source\n  expected: Source\n  found:    'arXiv"),
        ("label = 7", r"Mine\.label\n  expected: str\n  found:    7"),
        ("Options = dict", r"Mine\.Options\n  expected: Options\n  found:    <class 'dict'>"),
        ("backbones = 'minkunet'", r"Mine\.backbones\n  expected: tuple\n  found:    'minkunet'"),
    ],
    ids=["source", "label", "options", "backbones"],
)
def test_an_attribute_of_the_wrong_kind_is_named_with_the_class(tmp_path: Path, line: str, complaint: str):
    path = write(tmp_path, "mine", GOOD.format(id="mine") + f"    {line}\n")
    with pytest.raises(PluginError, match=rf"{re.escape(str(path))}:4: {complaint}"):
        load_plugin_file(path)


@pytest.mark.parametrize("needs", [{}, {"needs_images": False}, {"needs_superpixels": True}])
def test_a_method_applies_where_its_backbone_and_its_inputs_are(needs: dict[str, bool]):
    method = type("Mine", (PretrainMethod,), {"label": "Mine", **needs})
    assert method.why_not(Setting("minkunet", "town", has_cameras=True)) is None
    assert method.why_not(Setting("sphere", "town", has_cameras=True)) == (
        "Mine is defined for minkunet and voxelnet, not for sphere"
    )
    without = method.why_not(Setting("minkunet", "town", has_cameras=False))
    assert (without is None) == (needs == {"needs_images": False})
    assert without is None or without.endswith("images, and town has no cameras")


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


def test_the_line_is_right_for_a_folder_named_relatively(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    write(tmp_path, "broken", "import torch\n\nclass Broken(Base): ...\n")
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(PluginError, match=r"\.\./broken\.py:3: .*NameError"):
        load_plugin("broken", [Path("..")])


def test_a_method_that_fails_to_say_why_not_is_named_with_its_line(tmp_path: Path) -> None:
    text = (
        GOOD.format(id="mine") + "\n    @classmethod\n    def why_not(cls, setting):\n        return setting.weather\n"
    )
    path = write(tmp_path, "mine", text)
    with pytest.raises(PluginError, match=f"{re.escape(str(path))}:9: the plug-in fails: AttributeError.*weather"):
        reason_against(load_plugin_file(path), Setting("minkunet", "town", has_cameras=True))
