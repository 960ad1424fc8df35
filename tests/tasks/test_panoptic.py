from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from invented import TINY, invented_index
from pydantic import ValidationError

from cmcr.data.batches import Batch, ScanDataset, collate
from cmcr.data.index import ScanIndex
from cmcr.data.nuscenes_index import make_index
from cmcr.data.scan import IGNORE, VOID
from cmcr.data.voxels import VoxelGrid
from cmcr.errors import ConfigError, DataError
from cmcr.evaluation.panoptic_quality import PanopticQuality
from cmcr.losses.centres import centre_heatmap
from cmcr.losses.segmentation import segmentation_losses
from cmcr.models.backbone import make_backbone
from cmcr.models.birds_eye import BirdsEyeGrid
from cmcr.models.panoptic_head import PanopticHeadOptions, PanopticOutput
from cmcr.tasks.panoptic import PanopticOptions, PanopticTask

NAMES = ("ignore", "car", "cone", "road")
OPTIONS = PanopticOptions(
    head=PanopticHeadOptions(grid=BirdsEyeGrid(range_m=8, cell_m=0.5), channels=4, layers=1), nms_kernel=3
)


def make_task(options: PanopticOptions = OPTIONS, min_points: int = 1) -> PanopticTask:
    torch.manual_seed(0)
    return PanopticTask(3, NAMES, (1, 2), options, min_points)


def batch_of(
    xy_P2: list[tuple[float, float]],
    labels_P: list[int] | None,
    instances_P: list[int] | None,
    voxel_P: list[int] | None = None,
    scan_P: list[int] | None = None,
) -> Batch:
    """Points seen from above; each is a voxel of its own unless told otherwise."""
    points = len(xy_P2)
    voxels = list(range(points)) if voxel_P is None else voxel_P
    scans = [0] * points if scan_P is None else scan_P
    first = [voxels.index(voxel) for voxel in range(max(voxels) + 1)]
    return Batch(
        tokens=tuple(f"scan{scan}" for scan in range(max(scans) + 1)),
        points_P4=torch.tensor([[x, y, 0, 0] for x, y in xy_P2], dtype=torch.float32),
        scan_P=torch.tensor(scans),
        coordinates_V4=torch.zeros(len(first), 4, dtype=torch.int32),
        intensity_V1=torch.zeros(len(first), 1),
        voxel_P=torch.tensor(voxels),
        first_V=torch.tensor(first),
        labels_P=None if labels_P is None else torch.tensor(labels_P),
        instances_P=None if instances_P is None else torch.tensor(instances_P),
    )


def perfect(batch: Batch, task: PanopticTask) -> PanopticOutput:
    """What a network without fault would say, from the batch's own labels."""
    grid, side = task.options.head.grid, task.options.head.grid.side
    logits, offsets = torch.zeros(len(batch.first_V), len(NAMES)), torch.zeros(len(batch.first_V), 2)
    heat = torch.full((len(batch.tokens), side, side), -20.0)
    for voxel, point in enumerate(batch.first_V.tolist()):
        label, instance = int(batch.labels_P[point]), int(batch.instances_P[point])
        logits[voxel, label] = 10
        if label in (1, 2) and instance > 0:
            mine = (batch.scan_P == batch.scan_P[point]) & (batch.labels_P == label) & (batch.instances_P == instance)
            centre = batch.points_P4[mine, :2].mean(dim=0)
            offsets[voxel] = centre - batch.points_P4[point, :2]
            cell = int(grid.cells(centre[None])[0])
            heat[batch.scan_P[point], cell // side, cell % side] = 20
    return PanopticOutput(logits, offsets, heat)


# Two cars, a cone that shares its number with the first car, road, and a point that nobody labelled.
XY = [(0.0, 0), (1, 0), (5, 5), (6, 5), (-4, 3), (2, -3), (-6, -6)]
LABELS, INSTANCES = [1, 1, 1, 1, 2, 3, 0], [1, 1, 2, 2, 1, 0, 0]


def test_a_network_without_fault_gets_every_point() -> None:
    task, batch = make_task(), batch_of(XY, LABELS, INSTANCES)
    output = perfect(batch, task)
    found = task.predict(output, batch)
    assert found.class_P[:6].tolist() == LABELS[:6]
    assert found.class_P[6] != IGNORE
    assert len(set(found.instance_P[:5].tolist())) == 3
    assert found.instance_P[0] == found.instance_P[1]
    assert found.instance_P[2] == found.instance_P[3]
    task.update(output, batch)
    values = {(row.metric, row.class_name): row.value for row in task.metrics()}
    assert next(iter(values)) == ("pq", "all")
    means = {f"{name}{part}" for name in ("pq", "sq", "rq") for part in ("", "_things", "_stuff")}
    assert {name for name, kind in values if kind == "all"} == means | {"pq_dagger", "miou"}
    assert {kind for _, kind in values} == {"all", "car", "cone", "road"}
    assert all(value == 100 for value in values.values())
    losses = task.losses(output, batch)
    assert losses["offset"].item() == pytest.approx(0, abs=1e-6)
    assert losses["heatmap"].item() < 5  # the hills' slopes, which a perfect peak has not


def test_metrics_take_things_and_stuff_apart() -> None:
    task, batch = make_task(), batch_of(XY, LABELS, INSTANCES)
    output = perfect(batch, task)
    output.class_VK[5] = torch.tensor([0.0, 0, 9, 0])  # the road is called a cone, and is nobody's
    task.update(output, batch)
    values = {(row.metric, row.class_name): row.value for row in task.metrics()}
    assert values["pq", "road"] == 0
    assert values["pq_stuff", "all"] == 0
    # One cone is found, and the road makes a second one that is not there.
    assert values["pq", "cone"] == pytest.approx(100 / 1.5)
    assert values["pq_things", "all"] == pytest.approx((100 + 100 / 1.5) / 2)
    assert values["pq", "all"] == pytest.approx((100 + 100 / 1.5) / 3)
    assert values["pq_dagger", "all"] == pytest.approx((100 + 100 / 1.5 + 0) / 3)


def test_losses_are_those_of_their_parts() -> None:
    task = make_task(OPTIONS.model_copy(update={"heatmap_weight": 3.0, "offset_weight": 0.5}))
    # The second point of the car lies in the first one's voxel: it moves the centre and has no offset of its own.
    batch = batch_of([(0.0, 0), (1, 0), (2, 0), (5, 5)], [1, 1, 1, 3], [4, 4, 4, 0], voxel_P=[0, 0, 1, 2])
    output = task(torch.randn(3, 3, generator=torch.Generator().manual_seed(0)), batch)
    losses = task.losses(output, batch)
    expected = segmentation_losses(output.class_VK, torch.tensor([1, 1, 3]))
    assert losses["cross_entropy"].item() == expected["cross_entropy"].item()
    assert losses["lovasz"].item() == expected["lovasz"].item()
    true_offset = torch.tensor([[1.0, 0], [-1, 0]])
    assert losses["offset"].item() == pytest.approx(0.5 * (output.offset_V2[:2] - true_offset).abs().sum().item() / 2)
    grid = OPTIONS.head.grid
    target = centre_heatmap(torch.tensor([[1.0, 0]]), torch.tensor([0]), 1, grid, OPTIONS.sigma_m)
    assert losses["heatmap"].item() == pytest.approx(
        3 * (output.heat_BSS.sigmoid() - target).square().sum().item(), rel=1e-5
    )


def test_numbers_are_shared_between_scans_and_classes_but_instances_are_not() -> None:
    task = make_task()
    batch = batch_of([(0.0, 0), (2, 0), (4, 4), (0, 6)], [1, 1, 2, 1], [7, 7, 7, 7], scan_P=[0, 0, 0, 1])
    instance_P, centre_N2, scan_N = task._true_centres(batch.labels_P, batch.instances_P, batch)
    assert instance_P.tolist() == [0, 0, 1, 2]
    assert centre_N2.tolist() == [[1, 0], [4, 4], [0, 6]]
    assert scan_N.tolist() == [0, 0, 1]
    found = task.predict(perfect(batch, task), batch)
    assert found.instance_P[3] == 1  # numbers begin anew in every scan
    task.update(perfect(batch, task), batch)
    assert task.counted.quality.pq[1] == 1


def test_what_the_panoptic_labels_leave_out_is_neither_learned_nor_counted() -> None:
    task = make_task()
    void = batch_of(XY, LABELS, [VOID, *INSTANCES[1:]])
    unlabelled = batch_of(XY, [IGNORE, *LABELS[1:]], [0, *INSTANCES[1:]])
    output = perfect(batch_of(XY, LABELS, INSTANCES), task)
    for name, loss in task.losses(output, void).items():
        assert loss.item() == task.losses(output, unlabelled)[name].item()
    metrics = []
    for batch in (void, unlabelled):
        task.reset()
        task.update(output, batch)
        metrics.append(task.metrics())
    assert metrics[0] == metrics[1]


def test_things_of_stuff_and_of_no_class_are_no_instances() -> None:
    """The road has no instances, whatever the labels number; and an instance without a class is nothing to learn."""
    task = make_task()
    batch = batch_of([(0.0, 0), (1, 1), (2, 2)], [3, 0, 1], [5, 6, 0])
    instance_P, centre_N2, _ = task._true_centres(batch.labels_P, batch.instances_P, batch)
    assert instance_P.tolist() == [-1, -1, -1]
    assert len(centre_N2) == 0
    losses = task.losses(task(torch.zeros(3, 3), batch), batch)
    assert losses["offset"].item() == 0
    assert all(torch.isfinite(loss) for loss in losses.values())


def test_every_parameter_learns_and_the_losses_fall() -> None:
    task, batch = make_task().train(), batch_of(XY, LABELS, INSTANCES)
    features = torch.randn(len(XY), 3, generator=torch.Generator().manual_seed(1))
    optimizer = torch.optim.Adam(task.parameters(), lr=1e-2)
    course = []
    for _ in range(60):
        loss = torch.stack(list(task.losses(task(features, batch), batch).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        course.append(loss.item())
        optimizer.step()
    assert all(weight.grad is not None for weight in task.parameters())
    assert course[-1] < 0.7 * course[0]


def test_a_batch_without_instances_is_refused() -> None:
    task = make_task()
    for labels, instances in ((LABELS, None), (None, INSTANCES)):
        batch = batch_of(XY, labels, instances)
        for use in (task.losses, task.update):
            with pytest.raises(ValueError, match="labels and instances"):
                use(perfect(batch_of(XY, LABELS, INSTANCES), task), batch)


def test_options_and_data_sets_that_do_not_fit() -> None:
    with pytest.raises(ValidationError, match="its side is odd"):
        PanopticOptions(nms_kernel=4)
    index = dataclasses.replace(invented_index(1), thing_classes=(2,))
    assert PanopticTask.build(make_backbone(TINY), index, OPTIONS).min_points == 15
    kitti = dataclasses.replace(index, reader="semantic_kitti")
    assert PanopticTask.build(make_backbone(TINY), kitti, OPTIONS).min_points == 50
    assert PanopticTask.build(make_backbone(TINY), kitti, OPTIONS.model_copy(update={"min_points": 7})).min_points == 7
    with pytest.raises(ConfigError, match=r"(?s)min_points.*only nuscenes, semantic_kitti.*format waymo"):
        PanopticTask.build(make_backbone(TINY), dataclasses.replace(index, reader="waymo"), OPTIONS)
    with pytest.raises(ConfigError, match="none of its classes has instances"):
        PanopticTask.build(make_backbone(TINY), dataclasses.replace(index, thing_classes=()), OPTIONS)


@pytest.mark.parametrize(
    ("field", "message"), [("panoptic", r"(?s)no panoptic labels.*panoptic\.json"), ("labels", "has no labels")]
)
def test_a_split_without_one_kind_of_labels_is_refused(toy_nuscenes: Path, field: str, message: str) -> None:
    index = make_index("toy", toy_nuscenes, "v1.0-mini", "mini_val")
    PanopticTask.check(index, range(len(index)))
    records = (dataclasses.replace(index.records[0], **{field: None}), *index.records[1:])  # type: ignore[arg-type]
    with pytest.raises(DataError, match=message):
        PanopticTask.check(dataclasses.replace(index, records=records), range(len(records)))


def test_instances_without_files_of_their_own_will_do() -> None:
    """As on SemanticKITTI, whose label words hold classes and instances."""
    index = dataclasses.replace(invented_index(2), thing_classes=(2,))
    assert all(record.panoptic is None for record in index.records)
    PanopticTask.check(index, range(len(index)))
    with pytest.raises(DataError, match="no panoptic labels"):
        PanopticTask.check(invented_index(2), [0, 1])


def ceiling(index: ScanIndex, options: PanopticOptions) -> PanopticQuality:
    """Quality of grouping alone, each scan's own classes, centres and heatmap given."""
    task = PanopticTask.build(make_backbone(TINY), index, options)
    assert isinstance(task, PanopticTask)
    for position in range(len(index)):
        batch = collate([ScanDataset(index, [position], VoxelGrid())[0]])
        assert batch.labels_P is not None
        assert batch.instances_P is not None
        instance_P, centre_N2, scan_N = task._true_centres(batch.labels_P, batch.instances_P, batch)
        votes = batch.points_P4[:, :2].clone()
        votes[instance_P >= 0] = centre_N2[instance_P[instance_P >= 0]]
        heat = centre_heatmap(centre_N2, scan_N, 1, options.head.grid, options.sigma_m)[0]
        labels, instances = batch.labels_P.numpy(), batch.instances_P.clamp(min=0).numpy()
        found = task.group(np.where(labels == IGNORE, len(index.class_names) - 1, labels), votes.numpy(), heat.numpy())
        task.counted.update(found.class_P, found.instance_P, labels, instances)
    return task.counted


@pytest.mark.parametrize("cell_m", [0.2, 0.4])
def test_with_the_truth_in_hand_grouping_is_nearly_perfect(toy_nuscenes: Path, cell_m: float) -> None:
    index = make_index("toy", toy_nuscenes, "v1.0-mini", "mini_val")
    options = PanopticOptions(head=PanopticHeadOptions(grid=BirdsEyeGrid(cell_m=cell_m)), nms_kernel=3)
    counted = ceiling(index, options)
    present = counted.quality.iou[1:] > 0
    assert present[:10].sum() > 5
    assert counted.quality.pq[1:][present].mean() > 0.95
    assert counted.quality.pq[counted.things & (counted.quality.iou > 0)].mean() > 0.95
