"""Ways in which a benchmark lies by accident, as far as no other test has them; docs/security.md lists them all."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from invented import (
    InventedIndex,
    feature_bank,
    finetune_job,
    invented_index,
    pretrain_job,
    with_instances,
)
from tuned import save_scratch, tune_invented

from cmcr.cli import main
from cmcr.data.index import ScanIndex
from cmcr.data.scan import Scan
from cmcr.data.subsets import make_subset
from cmcr.errors import ConfigError
from cmcr.losses.segmentation import segmentation_losses
from cmcr.pretrain.plugins import find_plugins, load_plugin
from cmcr.pretrain.run import pretrain
from cmcr.tasks import finetune as finetune_module
from cmcr.tasks.finetune import FinetuneModule
from cmcr.tasks.model import evaluation_loader, load_model


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_scratch(tmp_path_factory.mktemp("weights") / "backbone.safetensors")


def test_every_test_that_the_page_names_is_there() -> None:
    root = Path(__file__).resolve().parents[1]
    page = (root / "docs" / "security.md").read_text(encoding="utf-8")
    assert all((root / file).is_file() for file in re.findall(r"`(tests/[\w/]+\.py)`", page))
    tests = "".join(path.read_text(encoding="utf-8") for path in (root / "tests").rglob("test_*.py"))
    named = re.findall(r"`(test_\w+)`", page)
    assert len(named) > 12
    assert [name for name in named if f"def {name}(" not in tests] == []


def test_scans_that_were_pre_trained_on_are_not_scored() -> None:
    seen, validation = invented_index(6), invented_index(3, "val", first=100)
    validation = dataclasses.replace(validation, records=(*validation.records, seen.records[5]), checksum="")
    with pytest.raises(ConfigError, match=r"1 scans, scan5 among them.*pre-trained on, train of other"):
        # Under another name, with other labels: the sweeps are the same.
        dataclasses.replace(seen, dataset="other").check_unseen(with_instances(validation))
    invented_index(5).check_unseen(validation)


def test_the_command_refuses_them_before_anything_is_trained(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"train": invented_index(4), "val": invented_index(3, "val", first=100)}
    names["seen"] = dataclasses.replace(names["val"], split="all", dataset="other")
    for name, index in names.items():
        index.save(tmp_path / f"{name}.jsonl")
    make_subset(names["train"], 50, "scan").save(tmp_path / "subset.txt")
    outputs = {"folder": "logs", "model": "model.safetensors", "scores": "scores.json", "frames": "f.safetensors"}
    arguments = ["--job", finetune_job().model_dump_json(), "--weights", str(weights)]
    arguments += ["--train-index", str(tmp_path / "train.jsonl"), "--validation-index", str(tmp_path / "val.jsonl")]
    arguments += ["--pretrain-index", str(tmp_path / "seen.jsonl"), "--subset", str(tmp_path / "subset.txt")]
    arguments += [part for name, file in outputs.items() for part in (f"--{name}", str(tmp_path / "out" / file))]
    assert main(["finetune", *arguments]) == 1
    assert "3 scans, scan100 among them" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_pre_training_opens_no_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    read = InventedIndex.read

    def noting(index: ScanIndex, position: int, *, with_labels: bool = True) -> Scan:
        asked.append(with_labels)
        return read(index, position, with_labels=with_labels)  # type: ignore[arg-type]

    monkeypatch.setattr(InventedIndex, "read", noting)
    pretrain(
        pretrain_job(),
        load_plugin("ppkt"),
        index=invented_index(3),
        encoder=None,
        feature_bank=feature_bank(3),
        folder=tmp_path,
        output=tmp_path / "backbone.safetensors",
    )
    assert asked
    assert not any(asked)


def test_the_weights_of_the_last_step_are_scored_and_no_validation_scan_is_read_before(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So no checkpoint can have been picked on the split that is scored."""
    happened: list[str] = []
    last: dict[str, torch.Tensor] = {}
    read, losses = InventedIndex.read, FinetuneModule.losses

    def noting(index: ScanIndex, position: int, *, with_labels: bool = True) -> Scan:
        happened.append(index.split)
        return read(index, position, with_labels=with_labels)  # type: ignore[arg-type]

    def stepping(module: FinetuneModule, batch: Any) -> dict[str, torch.Tensor]:
        happened.append("step")
        last["step"] = torch.tensor(module.global_step)
        return losses(module, batch)

    monkeypatch.setattr(InventedIndex, "read", noting)
    monkeypatch.setattr(FinetuneModule, "losses", stepping)
    tune_invented(finetune_job(), weights, tmp_path)
    assert happened.count("step") == 8
    assert happened.index("val") > max(place for place, what in enumerate(happened) if what == "step")
    assert "train" not in happened[happened.index("val") :]
    assert happened.count("val") == 3
    model, _ = load_model(tmp_path / "model.safetensors", invented_index(1))
    assert model.backbone.state_dict()["stem_norm.num_batches_tracked"] == 8


@pytest.mark.parametrize(("places", "times"), [([0, 2], 2), ([0, 0, 2], 3), ([0, 1, 2, 2], 4)])
def test_a_scan_that_is_not_scored_or_twice_is_noticed(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, places: list[int], times: int
) -> None:
    def others(job: Any, index: ScanIndex, *, with_labels: bool) -> Any:
        changed = dataclasses.replace(index, records=tuple(index.records[place] for place in places), checksum="")
        return evaluation_loader(job, changed, with_labels=with_labels)

    monkeypatch.setattr(finetune_module, "evaluation_loader", others)
    with pytest.raises(ValueError, match=f"{len(set(places))} of the 3 scans .* were scored, {times} times"):
        tune_invented(finetune_job(), weights, tmp_path)
    assert not (tmp_path / "scores.json").exists()


def test_only_the_floor_may_try_two_kinds_of_statistics() -> None:
    """The stronger one counts, and it is picked on the scored split: that may favour the baseline, never a method."""
    tried = {name: load_plugin(name) for name in find_plugins()}
    assert {name for name, method in tried.items() if len(method.probe_batch_norm) > 1} == {"scratch"}
    assert not tried["scratch"].pretrains


def test_class_zero_is_ignored_though_zero_is_false() -> None:
    torch.manual_seed(0)
    logits = torch.randn(50, 4)
    labels = torch.randint(1, 4, (50,))
    labels[:20] = 0
    whole = segmentation_losses(logits, labels)
    bare = segmentation_losses(logits[20:], labels[20:])
    assert {name: value.item() for name, value in whole.items()} == pytest.approx(
        {name: value.item() for name, value in bare.items()}
    )
