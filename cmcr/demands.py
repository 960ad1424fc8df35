"""What a job asks of a cluster: memory and time, derived from the config where there is something to derive from.

These are allowances to ask for, no predictions. They are chosen here and generous: a job that runs into its limit is
killed, goes on from its last checkpoint and gets more, while one that asked for too much only waits longer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cmcr.compute import ComputeOptions
from cmcr.config import Config, DatasetOptions
from cmcr.models.minkunet import MinkUNetOptions
from cmcr.pretrain.job import PretrainJob
from cmcr.split_sizes import split_size
from cmcr.tasks.job import FinetuneJob

#: Of each process of any job, in MB: on the toy city, jobs of the default config peak at 1,000 (``max_rss`` of their
#: benchmarks).
BASE_MB = {"cpu": 3000, "cuda": 12000}
#: Of each process that loads data, in MB. It shares most of its memory with the job; this counts it as if not.
WORKER_MB = 2000
#: Of a job that lists a split, in MB, by format where it is more than of any: nuscenes-devkit holds all tables as
#: Python's objects (chosen here; of the full release nobody has measured it).
INDEX_MB = {"nuscenes": 24000}
#: Minutes of any job, its start and its share of bad luck among them.
BASE_MINUTES = 60
#: Minutes of one pass over a training split: of the toy city, and of a real data set.
PASS_MINUTES = {True: 1, False: 30}
#: No job asks for more minutes; partitions seldom grant more than a day.
MAX_MINUTES = 24 * 60
#: A fine-tuning that asks for no more minutes than this shares a submission with others.
SHORT_MINUTES = 4 * 60
#: Beams of a sweep, and at most so many columns of a real one, by format; no voxel is without a return. nuScenes has
#: about 1,085 columns, an HDL-64E at 10 Hz 2,083; of Waymo, 2,650, and a share for its four small sensors.
SWEEPS = {"nuscenes": (32, 1100), "semantic_kitti": (64, 2200), "kitti": (64, 2200), "waymo": (64, 3000)}


class Demand(NamedTuple):
    """What one job asks for, all its processes together.

    Attributes:
        memory_mb: main memory in MB, not the GPU's.
        minutes: of wall time.
        threads: of the CPU.
        gpus: their number.
    """

    memory_mb: int
    minutes: int
    threads: int = 1
    gpus: int = 0

    def at(self, attempt: int) -> Demand:
        """Return what the job asks for at its ``attempt``-th start: as much again each time, at most a day."""
        return self._replace(memory_mb=self.memory_mb * attempt, minutes=min(self.minutes * attempt, MAX_MINUTES))

    @property
    def short(self) -> bool:
        """Whether the job is too short for a submission of its own."""
        return self.minutes <= SHORT_MINUTES


def pretrain_demand(config: Config, job: PretrainJob) -> Demand:
    """Return the demand of one pre-training: a pass over the split for each epoch."""
    demand = _demand(_pretraining(config), job.compute, job.recipe.epochs, job.recipe.workers)
    kept = job.images.cache_mb * max(1, job.recipe.workers)
    return demand._replace(memory_mb=demand.memory_mb + job.compute.devices * kept)


def finetune_demand(config: Config, job: FinetuneJob) -> Demand:
    """Return the demand of one fine-tuning: its share of a pass for each epoch, and as many passes that score."""
    dataset = config.datasets[job.dataset]
    variants = len(job.batch_norm) if job.protocol == "linear_probe" else 1
    passes = variants * (job.recipe.epochs * job.label_percent / 100 + 1)
    demand = _demand([dataset], job.compute, passes, job.recipe.workers)
    if job.protocol == "linear_probe" and job.augmentation is None and isinstance(job.backbone, MinkUNetOptions):
        kept = frozen_features_mb(dataset, job.backbone.planes[-1])
        demand = demand._replace(memory_mb=demand.memory_mb + job.compute.devices * kept)
    return demand


def pass_demand(config: Config, passes: float = 1) -> Demand:
    """Return the demand of a job that goes ``passes`` times over the scans of pre-training."""
    return _demand(_pretraining(config), config.compute.model_copy(update={"devices": 1}), passes, 0)


def index_demand(dataset: DatasetOptions) -> Demand:
    """Return the demand of a job that lists a split and looks at all its files."""
    real = dataset.toy is None
    memory_mb = INDEX_MB.get(dataset.format, BASE_MB["cpu"]) if real else BASE_MB["cpu"]
    return Demand(memory_mb, BASE_MINUTES + PASS_MINUTES[not real])


def frozen_features_mb(dataset: DatasetOptions, channels: int) -> int:
    """Return the most that a frozen backbone's features of the training split may take, in MB; 0 if it is unknown."""
    size = split_size(dataset, dataset.splits.train)
    if size is None:
        return 0
    beams, columns = SWEEPS[dataset.format]
    voxels = beams * (dataset.toy.azimuth_steps if dataset.toy else columns)
    return -(-size.scans * voxels * channels * 4 // 10**6)


def _pretraining(config: Config) -> list[DatasetOptions]:
    return [config.datasets[dataset] for dataset in config.pretrain.datasets]


def _demand(datasets: Sequence[DatasetOptions], compute: ComputeOptions, passes: float, workers: int) -> Demand:
    one_pass = sum(PASS_MINUTES[dataset.toy is not None] for dataset in datasets)
    minutes = BASE_MINUTES + round(passes * one_pass)
    return Demand(
        memory_mb=compute.devices * (BASE_MB[compute.device] + workers * WORKER_MB),
        # As if one device did all: how much faster several are, nobody has measured.
        minutes=min(minutes, MAX_MINUTES),
        threads=compute.devices * compute.threads,
        gpus=compute.devices * (compute.device == "cuda"),
    )
