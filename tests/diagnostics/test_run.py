from __future__ import annotations

from pathlib import Path

import pytest
import torch
from invented import TINY, VOXELS, invented_index

from baselines.cmcr import CMCR
from cmcr.diagnostics.gather import Gathered
from cmcr.diagnostics.job import DiagnoseJob, DiagnosticsOptions
from cmcr.diagnostics.run import diagnose, measure
from cmcr.errors import ConfigError, DataError, WeightsError
from cmcr.evaluation.shared_information import CriticOptions
from cmcr.models.backbone import NO_DATASET, BackboneRecord, make_backbone, save_backbone
from cmcr.pretrain.learned import METHOD_FILE
from cmcr.pretrain.method import PretrainMethod
from cmcr.results.diagnostics import QUANTITIES, Diagnosis, Measured
from cmcr.results.records import read_record

from .conftest import diagnose_job

CRITIC = CriticOptions(candidates=64, channels=8, steps=100, pairs_per_step=128, lr=0.05)


def world(points: int, seed: int) -> Gathered:
    """Points with a secret that all see, one that the image does not, and one that the points do not."""
    generator = torch.Generator().manual_seed(seed)

    def draw(width: int) -> torch.Tensor:
        return torch.randn(points, width, generator=generator, dtype=torch.float64)

    common, shape, paint = draw(3), draw(2), draw(2)
    turn = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64))[0]
    seen = torch.arange(0, points, 2)
    height = shape[:, :1].clone()
    height[::5] = torch.nan
    return Gathered(
        points={
            "backbone": (torch.cat([common, shape], dim=1) @ turn).float(),
            "shared": common.float(),
            "specific": shape.float(),
        },
        pixels={"backbone": torch.cat([3 * common, paint], dim=1)[seen].float(), "shared": -common[seen].float()},
        seen=seen,
        targets={"height": height, "colour": torch.cat([common[:, :1], paint], dim=1), "normal": height * torch.nan},
        labels=1 + (common[:, 0] > 0).long() + (torch.arange(points) % 7 == 0) * -9,
    )


@pytest.fixture(scope="module")
def measured() -> dict[tuple[str, str], Measured]:
    fit, held_out = (world(points, seed) for points, seed in ((4000, 1), (2000, 2)))
    for part in (fit, held_out):
        part.labels.clamp_(min=0)  # every seventh point has none
    rows = measure(fit, held_out, CRITIC, seed=0)
    return {(row.features, row.quantity): row for row in rows}


def test_what_only_the_points_hold_is_read_from_specific_features_and_what_is_shared_from_shared_ones(
    measured: dict[tuple[str, str], Measured],
) -> None:
    def value(features: str, quantity: str) -> float:
        found = measured[features, quantity].value
        assert found is not None
        return found

    assert value("backbone", "height") > 0.99
    assert value("specific", "height") > 0.99
    assert value("shared", "height") < 0.02
    assert value("shared", "class") > 95
    assert value("specific", "class") < 55
    # One of three components of the colour is common.
    assert value("shared", "colour") == pytest.approx(1 / 3, abs=0.05)
    assert value("shared", "effective_rank") == pytest.approx(3, abs=0.01)
    assert value("backbone", "effective_rank") == pytest.approx(5, abs=0.01)
    assert value("shared", "cka_pixels") == pytest.approx(1)
    assert 0.4 < value("backbone", "cka_pixels") < 0.95
    assert value("specific", "cka_shared") < 0.01
    assert value("shared", "information") > 1.5
    assert value("backbone", "information") > 1.5
    assert value("specific", "information") < 0.05


def test_controls_find_nothing(measured: dict[tuple[str, str], Measured]) -> None:
    for (_, quantity), row in measured.items():
        if row.control is None:
            continue
        if quantity in ("height", "colour", "cka_pixels", "cka_shared"):
            assert abs(row.control) < 0.02
        elif quantity == "class":
            assert row.control == pytest.approx(50, abs=5)
        elif quantity == "information":
            assert -0.2 < row.control < 0.05


def test_what_does_not_exist_has_a_reason(measured: dict[tuple[str, str], Measured]) -> None:
    reasons = {key: row.reason for key, row in measured.items() if row.value is None}
    assert reasons["backbone", "normal"] == "no points with it"
    assert reasons["specific", "cka_pixels"] == "no specific head on pixels"
    assert reasons["backbone", "cka_shared"] == reasons["shared", "cka_shared"] == "of the specific head alone"
    fit = world(300, 1)
    without = Gathered({"backbone": fit.points["backbone"]}, fit.pixels, fit.seen, fit.targets, fit.labels.clamp(min=0))
    rows = measure(without, without, CRITIC, seed=0)
    assert {row.reason for row in rows if row.features == "specific"} == {"no specific head"}
    assert {row.quantity for row in rows if row.features == "specific"} == set(QUANTITIES)


def test_points_are_counted(measured: dict[tuple[str, str], Measured]) -> None:
    assert measured["backbone", "height"].num_points == 1600
    assert measured["backbone", "effective_rank"].num_points == 2000
    assert measured["backbone", "information"].num_points == 1000
    assert measured["shared", "class"].num_points == 2000 - 286


def test_constant_features_have_no_rank_and_no_alignment() -> None:
    made = world(300, 1)
    flat = Gathered({"backbone": torch.ones(300, 4)}, made.pixels, made.seen, made.targets, made.labels.clamp(min=0))
    rows = {row.quantity: row for row in measure(flat, flat, CRITIC, seed=0) if row.features == "backbone"}
    assert rows["effective_rank"].reason == rows["cka_pixels"].reason == "the values do not vary"
    assert rows["height"].value == pytest.approx(0, abs=1e-6)
    assert rows["information"].value == pytest.approx(0, abs=0.05)


def look(
    weights: Path,
    output: Path,
    job: DiagnoseJob | None = None,
    method: type[PretrainMethod] | None = CMCR,
    validation_first: int = 5,
) -> Diagnosis:
    return diagnose(
        job or diagnose_job(),
        method,
        weights,
        weights.with_name("teacher.safetensors"),
        invented_index(5),
        invented_index(3, "val", validation_first),
        output,
    )


@pytest.mark.usefixtures("pictures")
def test_a_look_writes_a_record_and_repeats_itself(pretrained: Path, tmp_path: Path) -> None:
    made = look(pretrained, tmp_path / "a.json")
    read = read_record(tmp_path / "a.json", Diagnosis, "diagnostics")
    assert read == made
    assert (read.method, read.seed, read.fit_scans, read.scans, read.split, read.toy) == ("cmcr", 0, 3, 2, "val", True)
    assert len(read.rows) == 3 * len(QUANTITIES)
    values = {(row.features, row.quantity): row for row in read.rows}
    # The ground is dark and low, what stands on it bright: even random features tell them apart.
    assert (values["backbone", "class"].value or 0) > 80
    assert (values["backbone", "intensity"].value or 0) > 0.1
    assert values["specific", "cka_shared"].value is not None
    assert all(values[name, "information"].value is not None for name in ("backbone", "shared", "specific"))
    assert look(pretrained, tmp_path / "b.json").rows == made.rows
    assert (
        read.provenance.config_hash
        != look(
            pretrained,
            tmp_path / "c.json",
            diagnose_job(
                options=DiagnosticsOptions(
                    fit_scans=2, scans=2, points_per_scan=200, critic=diagnose_job().options.critic
                )
            ),
        ).provenance.config_hash
    )


@pytest.mark.usefixtures("pictures")
def test_a_method_without_pretraining_has_a_backbone_and_no_heads(pretrained: Path, tmp_path: Path) -> None:
    (tmp_path / METHOD_FILE).unlink()
    torch.manual_seed(0)
    record = BackboneRecord(
        method="scratch", dataset=NO_DATASET, seed=0, backbone=TINY, voxels=VOXELS, data_checksum="", config_hash="c0"
    )
    save_backbone(pretrained, make_backbone(TINY), record)
    made = look(pretrained, tmp_path / "a.json", diagnose_job(method="scratch", pretrain_dataset=NO_DATASET), None)
    assert {row.features for row in made.rows if row.value is not None} == {"backbone"}


def test_what_would_be_a_wrong_number_is_refused(pretrained: Path, tmp_path: Path) -> None:
    output = tmp_path / "a.json"
    with pytest.raises(ConfigError, match=r"another method\n  expected: ppkt\n  found:    cmcr"):
        look(pretrained, output, diagnose_job(method="ppkt"))
    with pytest.raises(ConfigError, match="another seed"):
        look(pretrained, output, diagnose_job(seed=1))
    with pytest.raises(ConfigError, match="2 scans, scan3 among them, are in both"):
        look(pretrained, output, validation_first=3)
    (tmp_path / METHOD_FILE).unlink()
    with pytest.raises(WeightsError, match="no such weight file"):
        look(pretrained, output)
    assert not output.exists()


@pytest.mark.usefixtures("pictures")
def test_too_few_pairs_are_refused_with_the_way_out(pretrained: Path, tmp_path: Path) -> None:
    few = DiagnosticsOptions(fit_scans=1, scans=1, points_per_scan=20)
    with pytest.raises(DataError, match=r"split train: too few points(.|\n)*expected: 1024(.|\n)*fewer candidates"):
        look(pretrained, tmp_path / "a.json", diagnose_job(options=few))
