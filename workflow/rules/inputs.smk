"""What rules read: functions of their wildcards."""


def get_raw_tables(wildcards):
    """What an index is made from: a table that changes whenever the data do. A folder that is not there is the command's to explain."""
    options = cfg.datasets[wildcards.dataset]
    table = f"{get_root(wildcards.dataset)}/{options.version}/sample_data.json"
    return [table] if options.toy or os.path.exists(table) else []


def get_pretrain_inputs(wildcards):
    """A method without training reads nothing, one without images no teacher."""
    method = plan.classes[wildcards.method]
    if not method.pretrains:
        return {}
    index = {"index": get_index(wildcards.dataset, "train")}
    return {**index, "teacher_weights": teacher_weights, "feature_bank": feature_bank} if method.needs_images else index


def get_pretrain_flags(wildcards, input):
    needs_teacher = plan.classes[wildcards.method].pretrains and plan.classes[wildcards.method].needs_images
    teacher = cfg.teacher.model_dump_json() if needs_teacher else None
    return flags(teacher=teacher, **dict(input.items()))


def get_subset(wildcards):
    finetune = getattr(cfg.tasks, wildcards.task)[wildcards.dataset].finetune
    # All labels are all labels, whatever is counted.
    counted = finetune.subset_rule if finetune else "scan"
    return f"{results}/subsets/{wildcards.dataset}/{counted}_{wildcards.percent}pct.txt"


def get_run(wildcards):
    named = dict(wildcards.items())
    return Run(**{**named, "percent": float(wildcards.percent), "seed": int(wildcards.seed)})


def get_tables():
    names = [name for task in tasks for name in (task, f"{task}_per_class")]
    return expand(f"{results}/tables/{{name}}.{{format}}", name=names, format=["csv", "md", "tex"])


def get_figures():
    compared = sorted({(run.task, run.dataset) for run in runs})
    names = [f"{task}_{dataset}_{kind}" for task, dataset in compared for kind in ("label_efficiency", "per_class")]
    drawn = [f"features_{cfg.pretrain.dataset}_{method}" for method in cfg.methods if plan.classes[method].pretrains]
    return [
        *expand(f"{results}/figures/{{name}}.{{format}}", name=names, format=["svg", "png"]),
        *expand(f"{results}/figures/{{name}}.png", name=drawn),
    ]
