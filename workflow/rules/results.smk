"""Scores, tables, figures."""


rule collect_scores:
    input:
        get_collected,
    output:
        f"{results}/scores{{part}}.tsv",
    log:
        f"{results}/logs/collect_scores{{part}}.log",
    wildcard_constraints:
        part=f"(/({'|'.join(tasks)})/({any_of(cfg.datasets)}))?",
    conda:
        "../../environment.yml"
    params:
        what=lambda wildcards: " of {} on {}".format(*get_part(wildcards)) if wildcards.part else "",
        code=get_code("collect"),
    message:
        "Gather all scores{params.what}"
    script:
        "../scripts/collect_scores.py"


rule write_tables:
    input:
        lambda wildcards: get_parts(task=wildcards.task),
    output:
        report(
            f"{results}/tables/{{task}}.csv",
            caption="../report/task_table.rst",
            category="Tables",
            labels={"table": "{task}"},
        ),
        report(
            f"{results}/tables/{{task}}_per_class.csv",
            caption="../report/per_class_table.rst",
            category="Tables",
            labels={"table": "{task} by class"},
        ),
        expand(f"{results}/tables/{{{{task}}}}{{kind}}.{{format}}", kind=["", "_per_class"], format=["md", "tex"]),
    log:
        f"{results}/logs/tables/{{task}}.log",
    conda:
        "../../environment.yml"
    params:
        labels=lambda wildcards: json.dumps(plan.compared_on(wildcards.task)),
        reasons=get_reasons,
        recipes=lambda wildcards: flags(recipes=json.dumps(recipes(plan, wildcards.task))),
        absent=lambda wildcards: flags(absent=plan.absent and json.dumps(plan.absent_columns(wildcards.task))),
        folder=subpath(output[0], parent=True),
        code=get_code("tables"),
    message:
        "Write the tables of {wildcards.task}"
    shell:
        "python -m cmcr tables --scores {input} --task {wildcards.task} --labels {params.labels:q} {params.reasons}"
        " {params.absent} {params.recipes} --folder {params.folder} > {log} 2>&1"


rule write_transfer:
    input:
        [path for dataset in cfg.datasets if dataset not in pretrained_on for path in get_parts(dataset=dataset)],
    output:
        report(
            f"{results}/tables/transfer.csv",
            caption="../report/transfer_table.rst",
            category="Tables",
            labels={"table": "transfer"},
        ),
        multiext(f"{results}/tables/transfer", ".md", ".tex"),
    log:
        f"{results}/logs/tables/transfer.log",
    conda:
        "../../environment.yml"
    params:
        pretrained_on=pretrained_on,
        labels=as_is(json.dumps(get_transferred())),
        reasons=as_is(
            flags(reasons=any(plan.reasons.values()) and json.dumps({task: plan.reasons_for(task) for task in tasks}))
        ),
        absent=as_is(flags(absent=plan.absent and json.dumps({task: plan.absent_columns(task) for task in tasks}))),
        folder=subpath(output[0], parent=True),
        code=get_code("transfer-table"),
    message:
        "Write the table of transfer to other data sets"
    shell:
        "python -m cmcr transfer-table --scores {input} --pretrained-on {params.pretrained_on} --labels {params.labels:q}"
        " {params.reasons} {params.absent} --folder {params.folder} > {log} 2>&1"


rule write_gains:
    input:
        [get_finetuned(run, "frames.safetensors") for run in runs],
    output:
        report(
            f"{results}/tables/gains.csv",
            caption="../report/gains_table.rst",
            category="Tables",
            labels={"table": "gains"},
        ),
        multiext(f"{results}/tables/gains", ".md", ".tex"),
        report(
            f"{results}/figures/gains.svg",
            caption="../report/gains_table.rst",
            category="Comparison",
            labels={"figure": "gains"},
        ),
        figure=f"{results}/figures/gains.png",
    log:
        f"{results}/logs/tables/gains.log",
    conda:
        "../../environment.yml"
    params:
        baseline=cfg.gains_over,
        labels=as_is(plan.compared_on()),
        reasons=as_is({task: plan.reasons_for(task) for task in tasks}),
        folder=subpath(output[0], parent=True),
        figures=subpath(output.figure, parent=True),
        code=get_code("gains-table"),
    message:
        "Write the table of gains over {params.baseline}"
    script:
        "../scripts/write_gains.py"


rule write_ablation:
    input:
        scores=sorted({part for ladder in plan.ablations.values() for row in ladder for part in get_parts(method=row)}),
        held_out=[path for ladder in plan.ablations.values() for row in ladder for path in get_all_held_out(row)],
    output:
        report(
            f"{results}/tables/ablation.csv",
            caption="../report/ablation_table.rst",
            category="Tables",
            labels={"table": "ablation"},
        ),
        multiext(f"{results}/tables/ablation", ".md", ".tex"),
        report(
            f"{results}/figures/ablation.svg",
            caption="../report/ablation_table.rst",
            category="Comparison",
            labels={"figure": "ablation"},
        ),
        figure=f"{results}/figures/ablation.png",
    log:
        f"{results}/logs/tables/ablation.log",
    conda:
        "../../environment.yml"
    params:
        rows=json.dumps(plan.ablations),
        labels=as_is(json.dumps(plan.labels)),
        folder=subpath(output[0], parent=True),
        figures=subpath(output.figure, parent=True),
        code=get_code("ablation-table"),
    message:
        "Write the table of ablations"
    shell:
        "python -m cmcr ablation-table --scores {input.scores} --rows {params.rows:q} --labels {params.labels:q}"
        " --folder {params.folder} --figures {params.figures} {input.held_out} > {log} 2>&1"


rule draw_figure:
    input:
        f"{results}/scores/{{task}}/{{dataset}}.tsv",
    output:
        report(
            f"{results}/figures/{{task}}_{{dataset}}_{{kind}}.svg",
            caption="../report/comparison_figure.rst",
            category="Comparison",
            labels={"figure": "{kind}", "task": "{task}", "dataset": "{dataset}"},
        ),
        f"{results}/figures/{{task}}_{{dataset}}_{{kind}}.png",
    log:
        f"{results}/logs/figures/{{task}}_{{dataset}}_{{kind}}.log",
    wildcard_constraints:
        kind="label_efficiency|per_class",
    conda:
        "../../environment.yml"
    params:
        labels=lambda wildcards: json.dumps(plan.compared_on(wildcards.task, wildcards.dataset)),
        reasons=get_reasons,
        folder=subpath(output[0], parent=True),
        code=get_code("figure"),
    message:
        "Draw the figure {wildcards.kind} of {wildcards.task} on {wildcards.dataset}"
    shell:
        "python -m cmcr figure {wildcards.kind} --scores {input} --task {wildcards.task} --dataset {wildcards.dataset}"
        " --labels {params.labels:q} {params.reasons} --folder {params.folder} > {log} 2>&1"
