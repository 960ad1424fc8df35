"""What tables, figures and captions say of a run: names of its rows and networks, and how these are trained."""

from __future__ import annotations

from cmcr.config_tasks import DetectionTaskOptions, TaskOptions
from cmcr.plan import Plan
from cmcr.results.published import ComparedMethod
from cmcr.tasks.detection import DETECTORS, SCORES
from cmcr.tasks.registry import network_of


def titles(plan: Plan) -> dict[str, str]:
    """Name of each row where it stands alone: an ablation's begins with that of the row it varies."""
    found = dict(plan.labels)
    for row, options in plan.config.methods.items():
        if options.ablation_of is not None:
            found[row] = f"{plan.labels[options.ablation_of]}: {plan.labels[row]}"
    return found


def network_name(plan: Plan, task: str) -> str:
    """What the table of published names calls the 3D network of a task: its id and its size."""
    options = plan.network(network_of(task)).backbone
    sizes = options.model_dump(mode="json", exclude={"kind", "batch_norm_momentum"})
    parts = (f"{name}={','.join(map(str, v)) if isinstance(v, list) else v}" for name, v in sizes.items())
    return " ".join([options.kind, *parts])


def looked_up(plan: Plan) -> dict[str, ComparedMethod]:
    """By each row that tables compare, how it is looked up in published ones."""
    found = {}
    for row, label in plan.compared.items():
        options, method = plan.config.methods[row], plan.classes[row]
        teacher = plan.config.teacher.kind if method.needs_images else "none"
        # Of weights without a plug-in nothing is known.
        known = options.weights is None or options.plugin is not None
        found[row] = ComparedMethod(label, options.published_as, teacher if known else None)
    return found


def detectors(plan: Plan) -> dict[str, str]:
    """By data set of detection, the detector's name, which is also its published one."""
    return {dataset: DETECTORS[options.options.head.kind] for dataset, options in plan.config.tasks.detection.items()}


def recipes(plan: Plan, task: str) -> dict[str, str]:
    """By data set of a task, how its networks are trained, in words for captions."""
    return {
        dataset: "; ".join(filter(None, [_detector_words(plan, dataset, options), _recipe_words(options)]))
        for of_task, dataset, options in plan.config.tasks.items()
        if of_task == task
    }


def _detector_words(plan: Plan, dataset: str, options: TaskOptions) -> str:
    """What the caption of a table of detection says of a data set besides."""
    if not isinstance(options, DetectionTaskOptions):
        return ""
    count = SCORES.get(plan.config.datasets[dataset].format)
    return f"{count.words}; {DETECTORS[options.options.head.kind]}" if count else ""


def _recipe_words(options: TaskOptions) -> str:
    words = [] if options.linear_probe is None else [f"linear probe {options.linear_probe.recipe}"]
    finetune = options.finetune
    if finetune is not None:
        changes = {f"{percent:g} %": fields for percent, fields in finetune.recipe_by_percent.items()}
        changes |= {"without pre-training": finetune.recipe_without_pretraining}
        words.append(f"fine-tuning {finetune.recipe}")
        words += [
            f"{when}: " + ", ".join(f"{name} {value}" for name, value in fields.items())
            for when, fields in changes.items()
            if fields
        ]
    return "; ".join(words)
