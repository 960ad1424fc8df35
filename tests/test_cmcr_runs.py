"""CMCR in whole runs: it resumes exactly, leaves what it learned, and two processes equal one."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from cmcr_cases import SMALL, STEPS, bank_of, make, step_of
from invented import Flat, images_of_one_scan, invented_index, paired_scans, pretrain_job
from PIL import Image
from processes import run_in_processes
from torch import Tensor

import baselines.cmcr as cmcr_module
from baselines.cmcr import CMCR
from cmcr.checkpoints import read_tensors
from cmcr.data.batches import Batch, PairBatch, collate
from cmcr.data.image_masks import ImageMaskOptions, draw_image_masks
from cmcr.data.occupancy_queries import OccupancyQueries, OccupancyQueryOptions, draw_occupancy_queries
from cmcr.data.scan import Camera
from cmcr.losses.codebook import CodebookUse
from cmcr.pretrain.learned import load_method
from cmcr.pretrain.run import PretrainModule, pretrain
from cmcr.recipe import Recipe


class Killed(BaseException):
    """Nothing catches it on its way out, much like a signal."""


@pytest.fixture
def read_images(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give the invented cameras images; return the list of those that were read."""
    images, read = images_of_one_scan(), list[str]()

    def decode_image(camera: Camera, least: tuple[int, int]) -> Image.Image:  # noqa: ARG001
        read.append(camera.name)
        return Image.fromarray(images[int(camera.name == "back")])

    monkeypatch.setattr("cmcr.data.images.decode_image", decode_image)
    monkeypatch.setattr("cmcr.training_callbacks.CHECKPOINTS", 3)
    return read


def run(folder: Path, **options: Any) -> dict[str, bytes]:
    """Pre-train on two scans for three epochs of one step; return the files it leaves."""
    job = pretrain_job(
        method="cmcr", options=SMALL | {"codebook": {"decay": 0.5}} | options, recipe=Recipe(epochs=3, batch_size=2)
    )
    pretrain(
        job,
        CMCR,
        index=invented_index(2),
        encoder=Flat(),
        feature_bank=bank_of(images_of_one_scan(), 2),
        folder=folder,
        output=folder / "backbone.safetensors",
    )
    names = ("backbone.safetensors", "method.safetensors", "metrics.csv")
    return {name: (folder / name).read_bytes() for name in names}


def test_a_killed_run_resumes_exactly_with_its_codebook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_images: list[str]
) -> None:
    undisturbed = run(tmp_path / "undisturbed")
    real = PretrainModule.losses

    def losses(self: PretrainModule, batch: Batch) -> dict[str, Tensor]:
        if self.global_step == 2:
            monkeypatch.setattr(PretrainModule, "losses", real)
            raise Killed
        return real(self, batch)

    monkeypatch.setattr(PretrainModule, "losses", losses)
    with pytest.raises(Killed):
        run(tmp_path / "killed")
    assert not list((tmp_path / "killed").glob("*.safetensors"))
    (checkpoint,) = (tmp_path / "killed").glob("resume/*.ckpt")
    state = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert {f"method.codebook.{name}" for name in ("codes", "counts", "sums", "idle")} <= set(state)
    assert run(tmp_path / "killed") == undisturbed
    learned = read_tensors(tmp_path / "killed" / "method.safetensors")
    assert not torch.equal(learned["codebook.codes"], state["method.codebook.codes"])
    assert set(read_images) == {"front", "back"}


@pytest.mark.usefixtures("read_images")
def test_a_run_leaves_its_own_weights_and_logs_what_it_measures(tmp_path: Path) -> None:
    run(tmp_path)
    method = load_method(tmp_path / "method.safetensors", CMCR)
    assert isinstance(method, CMCR)
    assert method.options.channels == 16
    assert not method.training
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    measured = {"distinct_points", "error_inside_masks", "occupancy_accuracy"} | {
        f"codebook_{name}" for name in CodebookUse._fields
    }
    assert set(rows[0]) == {"step", "epoch", "lr", "loss"} | STEPS["all"][1] | measured
    for row in rows:
        terms = sum(float(row[term]) for term in STEPS["all"][1])
        assert float(row["loss"]) == pytest.approx(terms, rel=1e-4)
        assert 1 <= float(row["codebook_perplexity_points"]) <= 400
        assert 0 <= float(row["occupancy_accuracy"]) <= 1


def test_contrast_alone_opens_no_image(tmp_path: Path, read_images: list[str]) -> None:
    run(tmp_path, **STEPS["contrastive"][0])
    assert not read_images


def one_batch(scans: list[int]) -> Batch:
    """Two scans of one geometry, of which ``scans`` are taken, with other intensities and images each.

    So all have as many voxels, pairs and meetings, and a mean over two scans is the mean of two means.
    """
    images = images_of_one_scan()
    dataset = paired_scans(1, bank_of(images, 1))
    batch = collate([dataset[0]] * len(scans))
    factor_V1 = torch.tensor([0.5, 1.0])[torch.tensor(scans)][batch.coordinates_V4[:, 0].long()][:, None]
    pixels = torch.tensor(images).permute(0, 3, 1, 2) / 255
    both = torch.cat([(1 - pixels if scan else pixels) for scan in scans])
    return dataclasses.replace(
        batch, intensity_V1=batch.intensity_V1 * factor_V1, images=both, image_features=Flat()(both)
    )


def draw_for_each_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what is drawn for a scan not depend on which other scans are in the batch."""

    def generator() -> torch.Generator:
        return torch.Generator().manual_seed(5)

    def masks(number: int, size: tuple[int, int], options: ImageMaskOptions, _: torch.Generator) -> Tensor:
        return draw_image_masks(2, size, options, generator()).repeat(number // 2, 1, 1)

    def sample(pairs: PairBatch, number: int, _: torch.Generator) -> PairBatch:
        chosen = []
        for scan in range(int(pairs.image.max()) // 2 + 1):
            rows = torch.nonzero(pairs.image // 2 == scan).squeeze(1)
            chosen.append(rows[torch.randperm(len(rows), generator=generator())[: number // 2]])
        return pairs.take(torch.cat(chosen))

    def queries(
        points_P4: Tensor, scan_P: Tensor, options: OccupancyQueryOptions, _: torch.Generator
    ) -> OccupancyQueries:
        found, first = [], 0
        for scan, number in enumerate(scan_P.bincount().tolist()):
            rows = slice(first, first + number)
            one = draw_occupancy_queries(points_P4[rows], torch.zeros_like(scan_P[rows]), options, generator())
            found.append(dataclasses.replace(one, scan_Q=one.scan_Q + scan, return_Q=one.return_Q + first))
            first += number
        fields = zip(*(vars(one).values() for one in found), strict=True)
        return OccupancyQueries(*map(torch.cat, fields))

    monkeypatch.setattr(cmcr_module, "draw_image_masks", masks)
    monkeypatch.setattr(cmcr_module, "draw_occupancy_queries", queries)
    monkeypatch.setattr(PairBatch, "sample", sample)


def steps_in_each_process(rank: int, folder: Path) -> None:
    """Three steps of training, each process on its share of two scans; the first leaves what it found."""
    number = torch.distributed.get_world_size()
    batch = one_batch([0, 1] if number == 1 else [rank])
    backbone, method = make({"masks": {"probability": 1, "ratio": 0.25}, "codebook": {"codes": 20, "decay": 0.5}})
    backbone.eval()  # its BatchNorm would see other batches
    assert method.bottleneck is not None
    method.bottleneck.eval()  # its noise is drawn for all voxels at once
    parameters = [*backbone.parameters(), *method.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    found: dict[str, Tensor] = {}
    with pytest.MonkeyPatch.context() as monkeypatch:
        draw_for_each_scan(monkeypatch)
        for step in range(3):
            losses = method.losses(step_of(backbone, batch))
            optimizer.zero_grad()
            torch.stack(list(losses.values())).sum().backward()
            # What DDP does: the mean of the gradients, here of the losses, too.
            for tensor in [*losses.values(), *(p.grad for p in parameters if p.grad is not None)]:
                torch.distributed.all_reduce(tensor.data)
                tensor.data /= number
            found |= {f"{name} {step}": loss.detach() for name, loss in losses.items()}
            optimizer.step()
    assert method.codebook is not None
    found |= method.codebook.state_dict()
    found |= {f"parameter {place}": parameter.detach() for place, parameter in enumerate(parameters)}
    if rank == 0:
        torch.save(found, folder / "found.pt")


@pytest.mark.slow
def test_two_processes_equal_one_with_the_same_batch(tmp_path: Path) -> None:
    results = []
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        run_in_processes(number, steps_in_each_process, folder)
        results.append(torch.load(folder / "found.pt", weights_only=True))
    one, two = results
    assert one.keys() == two.keys()
    assert {f"{term} 2" for term in STEPS["all"][1]} <= one.keys()
    for name, expected in one.items():
        torch.testing.assert_close(two[name], expected, rtol=1e-5, atol=1e-6, msg=lambda text, n=name: f"{n}: {text}")
