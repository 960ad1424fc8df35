"""The checked config, and the names of files; every other rule file uses these."""

import json
import os
import re
import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.settings.types import DeploymentMethod

# The package is taken from this checkout, by this process and by its jobs, whether it is installed or not.
sys.path.insert(0, workflow.basedir)
# What lies in the working folder is not imported in place of what it is called like.
package_folder = shlex.quote(workflow.basedir).replace("{", "{{").replace("}", "}}")
shell.prefix(f"export PYTHONSAFEPATH=1 PYTHONPATH={package_folder}${{{{PYTHONPATH:+:$PYTHONPATH}}}}; ")

from cmcr.config import parse_config, read_values
from cmcr.data.releases import load_release
from cmcr.errors import CMCRError
from cmcr.missing import absent_without_waymo, refuse_missing
from cmcr.models.backbone import MINKUNET, NETWORKS, NO_DATASET, VOXELNET
from cmcr.models.image_encoder import published_files
from cmcr.plan import Plan, Run
from cmcr.plan_words import detectors, looked_up, network_name, recipes, titles
from cmcr.sources import ROOT as CODE_ROOT
from cmcr.sources import code_digest
from cmcr.waymo_environment import waymo_python as find_waymo_python

# Waymo's TFRecords are read by its own package, in an environment of its own, or in one that Snakemake makes.
makes_environments = DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method
waymo_python = "python" if makes_environments else str(find_waymo_python())
has_waymo = makes_environments or os.path.exists(waymo_python)
source_of_config = ", ".join(map(os.path.relpath, workflow.configfiles)) or "the command line"
try:
    # Snakemake has read them, but takes the last of a key that stands twice, and other things that nobody meant.
    for path in workflow.configfiles:
        read_values(Path(path))
    checked = parse_config(config, source_of_config)
    plan = Plan.of(checked, source_of_config, {} if has_waymo else absent_without_waymo(checked))
    refuse_missing(plan, source_of_config)
    published = [str(path) for path in published_files(plan.config.teacher)]
    imported = {row: str(path) for row, path in plan.weight_files().items()}
except CMCRError as error:
    raise WorkflowError(str(error))
cfg = plan.config
results = f"results/{cfg.run_name}"
runs = list(plan.runs())
tasks = sorted({run.task for run in runs})
# A published teacher is read from files that are there; a small one is trained by the run.
teacher_files = published or f"{results}/teacher/encoder.safetensors"
# What the report is made of besides the run.
FIDELITY = f"{workflow.basedir}/docs/fidelity.md"
REPORT_PARTS = [f"{workflow.basedir}/cmcr/report/page/report.{part}" for part in ("html.j2", "css", "js")]
# Data sets of pre-training; what is measured on held-out scans is measured on the first.
pretrained_on = cfg.pretrain.datasets
with_cameras = [name for name in pretrained_on if cfg.datasets[name].has_cameras]


wildcard_constraints:
    dataset="|".join(map(re.escape, [*cfg.datasets, cfg.pretrain.dataset, NO_DATASET])),
    method="|".join(cfg.methods),
    network="|".join(NETWORKS),
    task="|".join(tasks) or "none",
    protocol="linear_probe|finetune",
    percent=r"[0-9.e-]+",
    seed=r"\d+",
    split="train|validation",
    scene=r"[A-Za-z0-9_-]+",


# Data sets that are made of Waymo's TFRecords.
converted = [
    name
    for name, options in cfg.datasets.items()
    if options.format == "waymo" and (options.toy or options.tfrecords) and name not in plan.absent
]
if converted and not has_waymo:
    raise WorkflowError(
        f"{source_of_config}: datasets.{converted[0]} is made of Waymo's TFRecords, and there is no {waymo_python}\n"
        "  way out:  make waymo-env, or take the data set out of datasets and tasks (docs/waymo.md)"
    )


def any_of(names):
    """Wildcard constraint that lets these names through; nothing where there are none."""
    return "|".join(map(re.escape, sorted(set(names)))) or r"(?!)"


def get_code(command, *others):
    """Digest of the code behind a command: as a parameter of its rule it re-runs the rule when the code changes."""
    return code_digest(CODE_ROOT / "cmcr" / "commands" / f"{command.replace('-', '_')}.py", *others)


def get_reader(dataset):
    """The module that reads a data set's scans; it is imported by its name, so its users name it to `get_code`."""
    return CODE_ROOT / "cmcr" / "data" / f"{cfg.datasets[dataset].format}.py"


def get_counters(dataset, task):
    """Scripts of another environment that count a task's predictions; no import leads to them."""
    counted_elsewhere = (cfg.datasets[dataset].format, task) == ("waymo", "detection")
    return [CODE_ROOT / "workflow" / "waymo" / "detection_metrics.py"] if counted_elsewhere else []


def get_readers(datasets):
    return sorted({get_reader(dataset) for dataset in datasets})


def get_measured(dataset):
    """The data set on which a pre-training is measured and drawn: the first, where its scans are those of several."""
    return pretrained_on[0] if dataset == cfg.pretrain.dataset else dataset


def as_is(value):
    """A parameter that holds free text, such as labels: as a plain text, ``{x}`` in it would be taken for a wildcard."""
    return lambda wildcards: value


def flags(**values):
    """Command-line flags for the values that are not empty."""
    lists = {name: value if isinstance(value, list) else [value] for name, value in values.items() if value}
    return " ".join(shlex.join([f"--{name.replace('_', '-')}", *map(str, value)]) for name, value in lists.items())


def get_root(dataset):
    """Folder of a data set; the toy city's lies among the results."""
    options = cfg.datasets[dataset]
    return f"{results}/data/{dataset}" if options.toy else str(options.root)


def get_index(dataset, split):
    return f"{results}/index/{dataset}/{split}.jsonl"


def get_superpixels(dataset, network, what):
    return f"{results}/superpixels/{dataset}/{network}/{what}"


def get_feature_banks():
    """The images' features of each data set of pre-training, where they are computed beforehand."""
    cached = with_cameras if cfg.pretrain.cache_image_features else []
    return [f"{results}/teacher/features/{dataset}.npy" for dataset in cached]


def get_backbone(pretrain_dataset, network, method, seed):
    return f"{results}/pretrain/{pretrain_dataset}/{network}/{method}/seed{seed}/backbone.safetensors"


def get_held_out(pretrain_dataset, method, seed):
    return f"{results}/pretrain/{pretrain_dataset}/{MINKUNET}/{method}/seed{seed}/held_out.json"


def get_diagnosis(method, seed):
    return f"{results}/diagnostics/{method}/seed{seed}.json"


def get_finetuned(run, file):
    where = f"{run.dataset}/{run.task}/{run.pretrain_dataset}/{run.method}/{run.protocol}/{run.percent:g}pct"
    return f"{results}/finetune/{where}/seed{run.seed}/{file}"


def get_scores(run):
    return get_finetuned(run, "scores.json")


def get_part(wildcards):
    """Task and data set of a table of scores; neither for the one that holds all."""
    return wildcards.part.split(os.sep)[1:]


def get_parts(**wanted):
    """The tables of scores that hold all runs of a task, a data set or a method; a table is made from these alone."""
    found = {(run.task, run.dataset) for run in runs if wanted.items() <= run._asdict().items()}
    return [f"{results}/scores/{task}/{dataset}.tsv" for task, dataset in sorted(found)]
