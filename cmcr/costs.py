"""What a run will cost, said before it starts: jobs of each rule, steps, hours, memory, disk. It knows no output file.

Counts follow from the config alone and are those of ``snakemake all_tables`` in an empty folder (a test compares).
Steps follow from the sizes of the splits; hours also need measured times of a step, and are unknown without them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from torch import nn

from cmcr.config import DatasetOptions
from cmcr.data.subsets import evenly_spread
from cmcr.data.waymo_index import LABELLED
from cmcr.demands import Demand, finetune_demand, pretrain_demand
from cmcr.models.backbone import MINKUNET, VOXELNET, Grid, NetworkName, NetworkOptions, make_backbone
from cmcr.models.image_encoder import SmallTeacherOptions
from cmcr.models.second import Second
from cmcr.models.voxelnet import VoxelNet
from cmcr.plan import Plan, Run
from cmcr.split_sizes import SplitSize, split_size
from cmcr.step_times import StepTimes, Work, finetune_work, pretrain_work
from cmcr.tasks.detection import DetectionOptions
from cmcr.tasks.job import FinetuneJob

#: Size of a split by data set and role, ``train`` or ``validation``; None if it is unknown.
Sizes = Callable[[str, str], SplitSize | None]


#: Images of a scan, by format.
CAMERAS = {"nuscenes": 6, "waymo": 5, "semantic_kitti": 1, "kitti": 1}


class Training(NamedTuple):
    """Jobs that train alike: the seeds of one row, and other rows too where nothing here differs but the weights.

    Attributes:
        name: for print.
        jobs: how many.
        steps: of each, or None where the size of a split is unknown.
        scored: validation scans that each scores.
        seconds: that each takes, or None where no times were measured.
        demand: what each asks of a cluster.
        disk_mb: that each leaves behind.
    """

    name: str
    jobs: int
    steps: int | None
    scored: int | None
    seconds: float | None
    demand: Demand
    disk_mb: float


def config_sizes(plan: Plan) -> Sizes:
    """Return sizes as the config and the official splits tell them, without looking at any file."""

    def sizes(dataset: str, role: str) -> SplitSize | None:
        options = plan.config.datasets[dataset]
        return split_size(options, getattr(options.splits, role))

    return sizes


def count_jobs(plan: Plan) -> dict[str, int]:
    """Return how many jobs of each rule ``snakemake all_tables`` has to run when nothing is there yet."""
    config, rows, seeds = plan.config, plan.rows, len(plan.config.seeds)
    runs = list(plan.runs())
    trained = [(row, plan.classes[row]) for row in plan.trained_rows]
    imported = [row for row in rows if config.methods[row].weights is not None]
    ladders = {row for ladder in plan.ablations.values() for row in ladder}
    measured = {row for row in plan.trained_on(MINKUNET) if row in ladders and any(plan.shows(row))}
    diagnosed = [row for row in plan.rows_on(MINKUNET) if row in plan.compared] if config.diagnostics else []
    with_images = any(method.needs_images for _, method in trained)
    used = [(row, network) for network in plan.networks for row in plan.rows_on(network) if runs]
    used += [(row, MINKUNET) for row in {*measured, *diagnosed} if not runs]
    splits = {(run.dataset, role) for run in runs for role in ("train", "validation")}
    with_cameras = [name for name in config.pretrain.datasets if config.datasets[name].has_cameras]
    if trained:
        splits |= {(name, "train") for name in config.pretrain.datasets}
    if diagnosed:
        splits.add((config.pretrain.datasets[0], "train"))
    if measured or diagnosed:
        splits.add((config.pretrain.datasets[0], "validation"))
    small_teacher = isinstance(config.teacher, SmallTeacherOptions) and (with_images or bool(diagnosed))
    used_names = sorted({name for name, _ in splits})
    used_datasets = [config.datasets[name] for name in used_names]
    scenes = {id(found): found.toy.scene_names(found.format) for found in used_datasets if found.toy}
    segments = sum(len(scenes[id(found)]) for found in used_datasets if found.toy and found.format == "waymo")
    records = sum(_tfrecords(config.datasets[name], {role for of, role in splits if of == name}) for name in used_names)
    tasks = {run.task for run in runs}
    counts = Counter(
        make_toy_scene=sum(map(len, scenes.values())),
        make_toy_tables=sum(found.format == "nuscenes" for found in used_datasets if found.toy),
        join_toy_scenes=sum(found.format != "nuscenes" for found in used_datasets if found.toy),
        pack_toy_segment=segments,
        convert_waymo_segment=segments + records,
        index_split=len(splits),
        make_subset=len({(run.dataset, _counted(plan, run), run.percent) for run in runs}),
        train_teacher=int(small_teacher),
        encode_images=len(with_cameras) * (with_images and config.pretrain.cache_image_features),
        segment_images=len(with_cameras)
        * config.pretrain.superpixel_jobs
        * sum(any(plan.classes[row].needs_superpixels for row in plan.trained_on(net)) for net in plan.networks),
        pretrain=seeds * sum(row not in imported for row, _ in used),
        import_weights=seeds * sum(row in imported for row, _ in used),
        finetune=len(runs),
        diagnose=seeds * len(diagnosed),
        measure_held_out=seeds * len(measured),
        collect_scores=len({(run.task, run.dataset) for run in runs}) + int(bool(runs)),
        write_tables=len(tasks),
        write_gains=int(config.gains_over in {run.method for run in runs} and len(plan.compared_on()) > 1),
        write_transfer=int(any(run.dataset not in config.pretrain.datasets for run in runs)),
        write_ablation=int(bool(plan.ablations)),
        compare_published=int(any(config.datasets[run.dataset].toy is None for run in runs)),
        write_costs=int(bool(runs)),
        write_diagnostics=int(config.diagnostics is not None),
    )
    return {rule: number for rule, number in counts.items() if number}


def trainings(plan: Plan, sizes: Sizes, times: StepTimes) -> Iterator[Training]:
    """Yield every pre-training and fine-tuning of a run, those that are alike together."""
    alike: dict[Training, int] = {}
    for training in _every_row(plan, sizes, times):
        key = training._replace(jobs=0)
        alike[key] = alike.get(key, 0) + training.jobs
    return (training._replace(jobs=jobs) for training, jobs in alike.items())


def _every_row(plan: Plan, sizes: Sizes, times: StepTimes) -> Iterator[Training]:
    config, seeds = plan.config, len(plan.config.seeds)
    splits = [sizes(dataset, "train") for dataset in config.pretrain.datasets]
    scans = None if None in splits else sum(size.scans for size in splits if size)
    for network in plan.networks:
        for row in plan.trained_on(network):
            job = plan.pretrain_job(row, config.seeds[0], network)
            steps = job.recipe.steps(scans) if scans is not None else None
            work = pretrain_work(config, plan.plugins[row].stem, job)
            seconds, size_mb = _seconds(times, work, steps, 0), backbone_mb(job.backbone, job.voxels)
            name = f"pretrain {row}{_with(network)}"
            yield Training(name, seeds, steps, 0, seconds, pretrain_demand(config, job), size_mb)
    for run in plan.runs():
        if run.seed != config.seeds[0]:
            continue
        finetuning = plan.finetune_job(run)
        variants = len(finetuning.batch_norm) if run.protocol == "linear_probe" else 1
        labelled = labelled_scans(plan, run, sizes(run.dataset, "train"))
        validation = sizes(run.dataset, "validation")
        steps = variants * finetuning.recipe.steps(labelled) if labelled is not None else None
        scored = variants * validation.scans if validation else None
        seconds = _seconds(times, finetune_work(config, finetuning), steps, scored)
        name = f"{run.task} {run.dataset} {run.protocol} {run.percent:g} %"
        size_mb = model_mb(finetuning)
        yield Training(name, seeds, steps, scored, seconds, finetune_demand(config, finetuning), size_mb)


def labelled_scans(plan: Plan, run: Run, size: SplitSize | None) -> int | None:
    """Return how many labelled scans a fine-tuning sees; by scenes, as if all had equally many."""
    if size is None:
        return None
    if _counted(plan, run) == "scan":
        return len(evenly_spread(size.scans, run.percent, first=True))
    return round(len(evenly_spread(size.scenes, run.percent, first=False)) * size.scans / size.scenes)


def backbone_mb(options: NetworkOptions, grid: Grid) -> float:
    """Return the size of a backbone's weights in MB; counted without making them."""
    with torch.device("meta"):
        return _weights_mb(make_backbone(options, grid))


def model_mb(job: FinetuneJob) -> float:
    """Return the size of a fine-tuned network in MB: its backbone, and of a detector what is most of it, all above.

    The heads of the other tasks are left out; they are small beside their backbone.
    """
    with torch.device("meta"):
        backbone = make_backbone(job.backbone, job.voxels)
        found = _weights_mb(backbone)
        if isinstance(backbone, VoxelNet):
            options = DetectionOptions.model_validate(job.options)
            found += _weights_mb(Second(backbone, options.bev, options.head))
    return found


def _weights_mb(network: nn.Module) -> float:
    return sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values()) / 1e6


def feature_bank_mb(plan: Plan, sizes: Sizes) -> float | None:
    """Return the size of the cached features of all images in MB (float16); 0 without a cache, None if unknown."""
    if "encode_images" not in count_jobs(plan):
        return 0.0
    teacher, (height, width) = plan.config.teacher, plan.config.pretrain.images.size
    if not isinstance(teacher, SmallTeacherOptions):
        return None
    images = 0
    for dataset in plan.config.pretrain.datasets:
        options, size = plan.config.datasets[dataset], sizes(dataset, "train")
        if size is None:
            return None
        images += size.scans * CAMERAS[options.format] * options.has_cameras
    # A small teacher gives a quarter of each side.
    return images * teacher.out_channels * -(-height // 4) * -(-width // 4) * 2 / 1e6


def _tfrecords(options: DatasetOptions, roles: Iterable[str]) -> int:
    """Number of segments that splits are converted from: those that are there, else those of the official splits."""
    if options.tfrecords is None:
        return 0
    number = 0
    for folder in {getattr(options.splits, role).removesuffix(LABELLED) for role in roles}:
        here = sum(1 for _ in (options.tfrecords / folder).glob("*.tfrecord"))
        known = split_size(options, folder)
        number += here or (known.scenes if known else 0)
    return number


def _with(network: NetworkName) -> str:
    """What tells a pre-training of the second network from that of the first."""
    return " (VoxelNet)" if network == VOXELNET else ""


def _counted(plan: Plan, run: Run) -> str:
    finetune = getattr(plan.config.tasks, run.task)[run.dataset].finetune
    return finetune.subset_rule if finetune else "scan"


def _seconds(times: StepTimes, work: Work, steps: int | None, scored: int | None) -> float | None:
    step, score = times.step(work), times.score(work) if scored else 0.0
    if step is None or score is None or steps is None or scored is None:
        return None
    return step * steps + score * scored
