from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from invented import CLASS_NAMES, TINY, finetune_job, invented_index, with_instances
from torch import Tensor
from tuned import save_scratch, tune_invented

from cmcr.checkpoints import read_tensors, save_tensors
from cmcr.data.augment import PointAugmentation
from cmcr.data.batches import Batch
from cmcr.data.index import ScanIndex
from cmcr.data.scan import Scan
from cmcr.data.voxels import VoxelGrid
from cmcr.errors import ConfigError, DataError, WeightsError
from cmcr.evaluation.frame_counts import METRIC_OF_SUMS
from cmcr.models.minkunet import MinkUNet
from cmcr.recipe import Recipe
from cmcr.results.frames import read_frames
from cmcr.results.scores import read_scores
from cmcr.tasks.finetune import FinetuneModule
from cmcr.tasks.model import evaluation_loader, load_model

PROBE = {"protocol": "linear_probe", "augmentation": None, "label_percent": 100.0}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_scratch(tmp_path_factory.mktemp("weights") / "backbone.safetensors")


def test_fine_tuning_learns_the_classes_and_writes_the_record(weights: Path, tmp_path: Path) -> None:
    scores = tune_invented(finetune_job(recipe=Recipe(epochs=15, batch_size=2, lr=1e-2)), weights, tmp_path)
    assert scores == read_scores(tmp_path / "scores.json")
    frames = read_frames(tmp_path / "frames.safetensors")
    assert (frames.record.method, len(frames.counts_FK)) == ("scratch", scores.num_frames)
    assert METRIC_OF_SUMS["segmentation"](frames.counts_FK.sum(axis=0)) == pytest.approx(scores.metrics[0].value)
    found = {(row.metric, row.class_name): row.value for row in scores.metrics}
    assert found["miou", "all"] is not None
    assert found["miou", "all"] > 90
    assert found["iou", "unicorn"] is None
    assert (scores.split, scores.num_frames, scores.label_scans) == ("val", 3, 3)
    assert (scores.method, scores.pretrain_dataset, scores.label_percent) == ("scratch", "none", 50.0)
    assert scores.variants == {}
    assert (tmp_path / "logs" / "metrics.csv").read_text().startswith("step,epoch,lr,loss,cross_entropy,lovasz\n1,0,")


def test_the_same_job_gives_the_same_bytes(weights: Path, tmp_path: Path) -> None:
    job = finetune_job()
    one, two = (tune_invented(job, weights, tmp_path / name) for name in "ab")
    assert one.metrics == two.metrics
    assert one.provenance.config_hash == two.provenance.config_hash
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == (tmp_path / "b" / "model.safetensors").read_bytes()


@pytest.mark.parametrize("augmentation", [None, PointAugmentation()])
def test_a_linear_probe_leaves_the_backbone_alone(
    weights: Path, tmp_path: Path, augmentation: PointAugmentation | None
) -> None:
    tune_invented(finetune_job(**{**PROBE, "augmentation": augmentation}), weights, tmp_path)
    before, after = read_tensors(weights), read_tensors(tmp_path / "model.safetensors")
    assert all(torch.equal(tensor, after[f"backbone.{name}"]) for name, tensor in before.items())


def test_a_probe_without_augmentation_runs_the_backbone_once_a_scan(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    real = MinkUNet.forward
    monkeypatch.setattr(MinkUNet, "forward", lambda self, x: (calls.append(1), real(self, x))[1])
    tune_invented(finetune_job(**PROBE, recipe=Recipe(epochs=7, batch_size=2, lr=1e-2)), weights, tmp_path)
    assert len(calls) == 3 + 3  # each labelled scan, each validation scan


def test_kept_features_give_what_running_the_backbone_in_every_epoch_gives(weights: Path, tmp_path: Path) -> None:
    # An augmentation without effect keeps nothing.
    still = PointAugmentation(rotation_deg=0, flip_x=0, flip_y=0)
    kept = tune_invented(finetune_job(**PROBE), weights, tmp_path / "kept")
    run_each = tune_invented(finetune_job(**{**PROBE, "augmentation": still}), weights, tmp_path / "each")
    kept_head, each_head = (
        read_tensors(tmp_path / n / "model.safetensors")["task.head.weight"] for n in ("kept", "each")
    )
    torch.testing.assert_close(kept_head, each_head, rtol=1e-4, atol=1e-5)
    assert kept.metrics[0].value == pytest.approx(run_each.metrics[0].value, abs=1)


def test_the_stronger_batch_norm_is_the_row_and_both_are_recorded(weights: Path, tmp_path: Path) -> None:
    both = tune_invented(finetune_job(**PROBE, batch_norm=("stored", "recalibrated")), weights, tmp_path / "both")
    single = {
        variant: tune_invented(finetune_job(**PROBE, batch_norm=(variant,)), weights, tmp_path / variant)
        .metrics[0]
        .value
        for variant in ("stored", "recalibrated")
    }
    assert both.variants == single
    assert both.metrics[0].value == max(value for value in single.values() if value is not None)


@pytest.mark.parametrize("kill_at", [5, 7, 13])  # steps 1 to 8 are the first variant's, 9 to 16 the second's
def test_a_killed_probe_ends_in_the_same_bytes(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kill_at: int
) -> None:
    job = finetune_job(**PROBE, batch_norm=("stored", "recalibrated"))
    whole = tune_invented(job, weights, tmp_path / "whole")
    steps: list[int] = []
    real = FinetuneModule.losses

    def losses(self: FinetuneModule, batch: Batch) -> dict[str, Tensor]:
        steps.append(self.global_step)
        if len(steps) == kill_at:
            raise KeyError("killed")
        return real(self, batch)

    monkeypatch.setattr(FinetuneModule, "losses", losses)
    with pytest.raises(KeyError, match="killed"):
        tune_invented(job, weights, tmp_path / "killed")
    assert not (tmp_path / "killed" / "scores.json").exists()
    resumed = tune_invented(job, weights, tmp_path / "killed")
    assert len(steps) == 16 + (2 - kill_at % 2)  # an epoch has two steps; the one that was cut short runs again
    assert (resumed.metrics, resumed.variants) == (whole.metrics, whole.variants)
    files = [tmp_path / name / "model.safetensors" for name in ("whole", "killed")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_labels_of_other_scans_are_not_read(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = invented_index(4)
    read = []
    real = type(index).read

    def noting(self: ScanIndex, position: int, *, with_labels: bool = True) -> Scan:
        read.append(self.records[position].token)
        return real(self, position, with_labels=with_labels)

    monkeypatch.setattr(type(index), "read", noting)
    tune_invented(finetune_job(), weights, tmp_path, train_index=index, labelled=[1, 3])
    assert {token for token in read if not token.startswith("scan10")} == {"scan1", "scan3"}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"method": "ppkt"}, ConfigError, "another method"),
        ({"pretrain_dataset": "nuscenes"}, ConfigError, "another data set"),
        ({"seed": 5}, ConfigError, "another seed"),
        ({"voxels": VoxelGrid(kind="cylindrical")}, WeightsError, "same voxels"),
        ({"backbone": TINY.model_copy(update={"stem": 4})}, WeightsError, "tensors of MinkUNet"),
    ],
)
def test_weights_that_do_not_belong_to_the_job_are_refused(
    weights: Path, tmp_path: Path, change: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        tune_invented(finetune_job(**change), weights, tmp_path)
    assert not (tmp_path / "scores.json").exists()


def test_without_a_labelled_scan_nothing_starts(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a single labelled scan"):
        tune_invented(finetune_job(), weights, tmp_path, labelled=[])


def test_the_saved_model_predicts_what_was_scored(weights: Path, tmp_path: Path) -> None:
    scores = tune_invented(finetune_job(), weights, tmp_path)
    index = invented_index(3, "val", first=100)
    model, job = load_model(tmp_path / "model.safetensors", index)
    assert job == finetune_job()
    assert not model.training
    with torch.no_grad():
        for batch in evaluation_loader(job, index, with_labels=True):
            model.task.update(model(batch), batch)
    assert model.task.metrics() == scores.metrics


def test_a_model_for_other_classes_or_no_model_is_refused(weights: Path, tmp_path: Path) -> None:
    tune_invented(finetune_job(), weights, tmp_path)
    other = dataclasses.replace(invented_index(1), class_names=(*CLASS_NAMES[:-1], "dragon"))
    with pytest.raises(WeightsError, match="a model for ignore, ground, thing, unicorn"):
        load_model(tmp_path / "model.safetensors", other)
    with pytest.raises(WeightsError, match="no record of its job"):
        load_model(weights, invented_index(1))
    save_tensors(tmp_path / "a.safetensors", {}, {"job": finetune_job().model_dump_json(), "class_names": "[1]"})
    with pytest.raises(WeightsError, match="a model for 1"):
        load_model(tmp_path / "a.safetensors", invented_index(1))
    wrong = finetune_job(options={"channels": 3}).model_dump_json()
    save_tensors(
        tmp_path / "b.safetensors", {"a": torch.ones(1)}, {"job": wrong, "class_names": json.dumps(CLASS_NAMES)}
    )
    with pytest.raises(WeightsError, match=r"b\.safetensors: describes no network that can be built"):
        load_model(tmp_path / "b.safetensors", invented_index(1))


def test_scans_without_labels_are_refused_before_training(weights: Path, tmp_path: Path) -> None:
    index = invented_index(4)
    bare = dataclasses.replace(index, records=tuple(dataclasses.replace(r, labels=None) for r in index.records))
    with pytest.raises(DataError, match=r"(?s)split train of invented has no labels for 3 of 3.*lidarseg\.json"):
        tune_invented(finetune_job(), weights, tmp_path, train_index=bare)


def test_a_validation_split_that_is_trained_on_is_refused(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="3 scans, scan0 among them, are in both"):
        tune_invented(
            finetune_job(), weights, tmp_path, train_index=invented_index(4), validation_index=invented_index(3, "val")
        )


PANOPTIC = {"task": "panoptic", "options": {"head": {"grid": {"cell_m": 1.0, "range_m": 12}, "channels": 4}}}


@pytest.mark.parametrize("changes", [{}, PROBE, {**PROBE, "augmentation": PointAugmentation()}])
def test_panoptic_segmentation_gives_the_same_bytes_by_every_protocol(
    weights: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    scans = {"train_index": with_instances(invented_index(4)), "labelled": [0, 2, 3]}
    scans["validation_index"] = with_instances(invented_index(3, "val", first=100))
    job = finetune_job(**PANOPTIC, **changes, recipe=Recipe(epochs=3, batch_size=2, lr=1e-2))
    one, two = (tune_invented(job, weights, tmp_path / name, **scans) for name in "ab")
    assert one.metrics == two.metrics
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == (tmp_path / "b" / "model.safetensors").read_bytes()
    found = {(row.metric, row.class_name): row.value for row in one.metrics}
    assert (one.task, one.metrics[0].metric) == ("panoptic", "pq")
    assert (found["miou", "all"] or 0) > 10  # of 67: by the official rule a class that does not occur counts 0
    header = (tmp_path / "a" / "logs" / "metrics.csv").read_text().partition("\n")[0]
    assert header == "step,epoch,lr,loss,cross_entropy,lovasz,heatmap,offset"


def test_panoptic_segmentation_needs_panoptic_labels(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"(?s)split train of invented has no panoptic labels.*panoptic\.json"):
        tune_invented(finetune_job(**PANOPTIC), weights, tmp_path)
