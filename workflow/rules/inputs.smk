"""What rules read: functions of their wildcards."""


def get_collected(wildcards):
    """The scores of one task on one data set; all scores for the table that has no part."""
    where = get_part(wildcards)
    return [get_scores(run) for run in runs if where in ([], [run.task, run.dataset])]


def get_raw_tables(wildcards):
    """The tables an index is made from, those of labels that came later too. What is missing is the command's to explain."""
    options = cfg.datasets[wildcards.dataset]
    if options.format == "waymo":
        city = [f"{get_root(wildcards.dataset)}/{CITY}"] if options.toy else []
        return city + get_waymo_segments(wildcards.dataset, getattr(options.splits, wildcards.split))
    if options.format != "nuscenes":
        return [f"{get_root(wildcards.dataset)}/{CITY}"] if options.toy else []
    folder = f"{get_root(wildcards.dataset)}/{options.version}"
    tables = [f"{folder}/{table}.json" for table in (*TABLES, *LABEL_TABLES)]
    return [table for table in tables if options.toy or os.path.exists(table)]


def get_waymo_segments(dataset, split):
    """The converted segments of a split, where this run converts them."""
    options, folder = cfg.datasets[dataset], split.removesuffix(LABELLED)
    if options.toy:
        made = FORMATS["waymo"].train_scenes if folder == "training" else FORMATS["waymo"].validation_scenes
        names = [f"segment-{scene}" for scene in options.toy.scene_names("waymo") if scene in made]
    elif options.tfrecords:
        names = sorted(path.stem for path in (options.tfrecords / folder).glob("*.tfrecord"))
    else:
        names = []
    return [f"{get_root(dataset)}/{folder}/{name}.json" for name in names]


def get_tfrecord(wildcards):
    """The segment that a JSON is converted from."""
    dataset = waymo_roots[wildcards.root]
    options = cfg.datasets[dataset]
    where = f"{get_root(dataset)}/tfrecords" if options.toy else str(options.tfrecords)
    return f"{where}/{wildcards.folder}/{wildcards.segment}.tfrecord"


def get_toy_parts(wildcards):
    options = cfg.datasets[wildcards.dataset]
    return expand(
        f"{results}/data/{{dataset}}/parts/{{scene}}.json",
        dataset=wildcards.dataset,
        scene=options.toy.scene_names(options.format),
    )


def get_toy_datasets(tables):
    """Toy cities whose format has tables, or those that have none."""
    return [name for name, options in cfg.datasets.items() if options.toy and (options.format == "nuscenes") is tables]


def get_release(wildcards):
    """What a split in SemanticKITTI's format is made from: an edit of the description, or labels or images that come
    later, re-make its index. A toy city has an input for that."""
    options = cfg.datasets[wildcards.dataset]
    if options.format != "semantic_kitti":
        return ""
    release = load_release(options.version)
    if options.toy:
        return release.digest
    folders = release.folders(getattr(options.splits, wildcards.split))
    return [release.digest, *(folder for folder in folders if os.path.exists(f"{options.root}/{folder}"))]


def get_pretrain_inputs(wildcards):
    """A method without training reads nothing, one without images no teacher."""
    method = plan.classes[wildcards.method]
    if not method.pretrains:
        return {}
    inputs = {"index": [get_index(dataset, "train") for dataset in pretrained_on]}
    if method.needs_images:
        inputs |= {"teacher": teacher_files, "feature_bank": get_feature_banks()}
    if method.needs_superpixels:
        parts = [f"parts/{part}.json" for part in range(cfg.pretrain.superpixel_jobs)]
        inputs["superpixels"] = [
            get_superpixels(dataset, wildcards.network, part) for dataset in with_cameras for part in parts
        ]
    return inputs


def get_pretrain_flags(wildcards, input):
    method = plan.classes[wildcards.method]
    if not method.pretrains:
        return ""
    if not method.needs_images:
        return flags(index=input.index)
    return flags(
        index=input.index,
        teacher=cfg.teacher.model_dump_json(),
        teacher_weights=None if published else input.teacher,
        feature_bank=get_feature_banks(),
        superpixels=[
            get_superpixels(dataset, wildcards.network, "images")
            for dataset in with_cameras
            if method.needs_superpixels
        ],
    )


def get_held_out_inputs(wildcards):
    """The backbone of a picture is that of the first seed; what else the method learned lies beside it."""
    seed = getattr(wildcards, "seed", cfg.seeds[0])
    inputs = {
        "weights": get_backbone(wildcards.dataset, MINKUNET, wildcards.method, seed),
        "index": get_index(get_measured(wildcards.dataset), "validation"),
    }
    return {**inputs, "teacher": teacher_files} if plan.classes[wildcards.method].needs_images else inputs


def get_held_out_flags(wildcards, input, seed):
    with_images = plan.classes[wildcards.method].needs_images
    return flags(
        job=plan.pretrain_job(wildcards.method, int(seed)).model_dump_json(),
        plugin=os.path.relpath(plan.plugins[wildcards.method]),
        weights=input.weights,
        index=input.index,
        teacher=cfg.teacher.model_dump_json() if with_images else None,
        teacher_weights=input.teacher if with_images and not published else None,
    )


def get_network(wildcards):
    """The 3D network of a figure, whose name says so unless it is the first."""
    return wildcards.of.removeprefix("_") or MINKUNET


def get_reasons(wildcards):
    """Why rows have no numbers of a task, as a flag."""
    reasons = plan.reasons_for(wildcards.task)
    return flags(reasons=reasons and json.dumps(reasons))


def get_subset(wildcards):
    finetune = getattr(cfg.tasks, wildcards.task)[wildcards.dataset].finetune
    # All labels are all labels, whatever is counted.
    counted = finetune.subset_rule if finetune else "scan"
    return f"{results}/subsets/{wildcards.dataset}/{counted}_{wildcards.percent}pct.txt"


def get_pretrain_index(wildcards):
    """The scans that a row was pre-trained on here, so that none of them is scored; of published weights none is known."""
    return [get_index(dataset, "train") for dataset in pretrained_on if wildcards.method in plan.trained_rows]


def get_run(wildcards):
    named = dict(wildcards.items())
    return Run(**{**named, "percent": float(wildcards.percent), "seed": int(wildcards.seed)})


def get_diagnose_backbone(wildcards):
    return get_backbone(plan.pretrain_dataset(wildcards.method), MINKUNET, wildcards.method, wildcards.seed)


def get_diagnoses():
    rows = [row for row in plan.rows_on(MINKUNET) if row in plan.compared]
    return [get_diagnosis(row, seed) for row in rows for seed in cfg.seeds]


def get_all_held_out(row):
    """What every seed of a row measures on held-out scans; nothing where its method has nothing to show."""
    if row not in plan.trained_on(MINKUNET) or not any(plan.shows(row)):
        return []
    return [get_held_out(cfg.pretrain.dataset, row, seed) for seed in cfg.seeds]


def get_benchmark(of):
    """The benchmark that lies beside a log of the same name."""
    return f"{results}/benchmarks/{os.path.relpath(of, results)}.tsv"


def get_pretrained():
    """Every row with every 3D network that it is run with."""
    return [(network, row) for network in plan.networks for row in plan.rows_on(network)]


def get_cost_files():
    """Where jobs left what they cost, by the keys of the table's rows."""
    return {
        row if network == MINKUNET else f"{row}+{network}": get_costs_of(network, row)
        for network, row in get_pretrained()
    }


def get_costs_of(network, row):
    """Where a row's jobs left what they cost. Benchmarks are no inputs: an absent one must not start a training again."""
    where = {seed: get_backbone(plan.pretrain_dataset(row), network, row, seed) for seed in cfg.seeds}
    mine = [run for run in runs if (run.network, run.method) == (network, row)]
    return {
        "method": row,
        "network": network,
        "label": plan.labels[row],
        "compared": row in plan.compared,
        "plugin": os.path.relpath(plan.plugins[row]),
        "trained": row in plan.trained_rows,
        "batch_size": plan.pretrain_job(row, cfg.seeds[0], network).recipe.batch_size,
        "weights": where,
        "pretrain": {seed: get_benchmark(os.path.dirname(path)) for seed, path in where.items()},
        "finetune": {
            seed: {get_scores(run): get_benchmark(os.path.dirname(get_scores(run))) for run in mine if run.seed == seed}
            for seed in cfg.seeds
        },
    }


def get_table_names():
    names = [name for task in tasks for name in (task, f"{task}_per_class")]
    names += ["gains"] if has_gains() else []
    names += ["transfer"] if any(run.dataset not in pretrained_on for run in runs) else []
    names += ["ablation"] if plan.ablations else []
    names += ["diagnostics"] if cfg.diagnostics else []
    names += ["published"] if on_real_data() else []
    names += ["cost"] if runs else []
    return names


def get_tables():
    """All tables in every format, and the one of all scores."""
    tables = expand(f"{results}/tables/{{name}}.{{format}}", name=get_table_names(), format=["csv", "md", "tex"])
    return [*tables, *([f"{results}/scores.tsv"] if runs else [])]


def has_gains():
    """Gains need a baseline that is run, and another method."""
    return (
        cfg.gains_over in plan.rows
        and len(plan.compared_on()) > 1
        and any(run.method == cfg.gains_over for run in runs)
    )


def get_transferred():
    """Names for print of the methods that are fine-tuned on other data sets than that of pre-training."""
    others = {dataset for _, dataset, _ in cfg.tasks.items()} - set(pretrained_on)
    asked = [plan.compared_on(dataset=dataset) for dataset in others]
    return {row: label for row, label in plan.compared.items() if any(row in found for found in asked)}


def on_real_data():
    """Toy numbers are not compared with published ones."""
    return any(cfg.datasets[run.dataset].toy is None for run in runs)


def get_figures():
    compared = sorted({(run.task, run.dataset) for run in runs})
    names = [f"{task}_{dataset}_label_efficiency" for task, dataset in compared]
    names += [f"{task}_{dataset}_per_class" for task, dataset in compared if has_probe(task, dataset)]
    names += [name for name in ("gains", "ablation", "cost") if name in get_table_names()]
    drawn, measured = [], []
    for network in plan.networks:
        for row in plan.trained_on(network):
            of_row = f"{'' if network == MINKUNET else f'{network}_'}{cfg.pretrain.dataset}_{row}"
            names += [f"losses_{of_row}"] + [f"codebook_{of_row}"] * (plan.shows(row).codes > 0)
    for row in plan.trained_on(MINKUNET):
        of_row, shows = f"{cfg.pretrain.dataset}_{row}", plan.shows(row)
        drawn += [f"{kind}_{of_row}" for kind in ("reconstruction", "occupancy") if getattr(shows, kind)]
        measured += get_all_held_out(row)
    drawn += [
        f"features_{cfg.pretrain.dataset}_{row}"
        for row in plan.rows_on(MINKUNET)
        if row in [*plan.trained_rows, *imported]
    ]
    drawn += sorted({f"panoptic_{run.dataset}_{run.method}" for run in runs if run.task == "panoptic"})
    drawn += sorted({f"boxes_{run.dataset}_{run.method}" for run in runs if run.task == "detection"})
    return [
        *expand(f"{results}/figures/{{name}}.{{format}}", name=names, format=["svg", "png"]),
        *expand(f"{results}/figures/{{name}}.png", name=drawn),
        *measured,
    ]


def get_shown_run(task, dataset, method):
    """The run that a picture shows: fine-tuned rather than probed, the largest share of the labels, the first seed."""
    found = [run for run in runs if (run.task, run.dataset, run.method) == (task, dataset, method)]
    return max(found, key=lambda run: (run.protocol == "finetune", run.percent, run.seed == cfg.seeds[0]))


def get_title(task, wildcards):
    run = get_shown_run(task, wildcards.dataset, wildcards.method)
    how = "fine-tuned on" if run.protocol == "finetune" else "linear probe with"
    return f"{plan.labels[run.method]} on {run.dataset}, {how} {run.percent:g} % of the labels, seed {run.seed}"


def has_probe(task, dataset):
    """The per-class figure shows the linear probe."""
    return getattr(cfg.tasks, task)[dataset].linear_probe is not None
