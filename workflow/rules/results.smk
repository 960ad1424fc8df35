"""Scores, tables, figures."""


rule collect_scores:
    input:
        [get_scores(run) for run in runs],
    output:
        f"{results}/scores.tsv",
    log:
        f"{results}/logs/collect_scores.log",
    conda:
        "../../environment.yml"
    params:
        code=get_code("collect"),
    message:
        "Gather all scores"
    script:
        "../scripts/collect_scores.py"


rule write_tables:
    input:
        f"{results}/scores.tsv",
    output:
        expand(
            f"{results}/tables/{{{{task}}}}{{kind}}.{{format}}",
            kind=["", "_per_class"],
            format=["csv", "md", "tex"],
        ),
    log:
        f"{results}/logs/tables/{{task}}.log",
    conda:
        "../../environment.yml"
    params:
        labels=json.dumps(plan.labels),
        folder=subpath(output[0], parent=True),
        code=get_code("tables"),
    message:
        "Write the tables of {wildcards.task}"
    shell:
        "python -m cmcr tables --scores {input} --task {wildcards.task} --labels {params.labels:q} --folder {params.folder} > {log} 2>&1"


rule draw_figure:
    input:
        f"{results}/scores.tsv",
    output:
        multiext(f"{results}/figures/{{task}}_{{dataset}}_{{kind}}", ".svg", ".png"),
    log:
        f"{results}/logs/figures/{{task}}_{{dataset}}_{{kind}}.log",
    wildcard_constraints:
        kind="label_efficiency|per_class",
    conda:
        "../../environment.yml"
    params:
        labels=json.dumps(plan.labels),
        folder=subpath(output[0], parent=True),
        code=get_code("figure"),
    message:
        "Draw the figure {wildcards.kind} of {wildcards.task} on {wildcards.dataset}"
    shell:
        "python -m cmcr figure {wildcards.kind} --scores {input} --task {wildcards.task} --dataset {wildcards.dataset}"
        " --labels {params.labels:q} --folder {params.folder} > {log} 2>&1"


rule draw_features:
    input:
        weights=lambda wildcards: get_backbone(wildcards.dataset, wildcards.method, cfg.seeds[0]),
        index=lambda wildcards: get_index(wildcards.dataset, "train"),
    output:
        f"{results}/figures/features_{{dataset}}_{{method}}.png",
    log:
        f"{results}/logs/figures/features_{{dataset}}_{{method}}.log",
    conda:
        "../../environment.yml"
    params:
        job=lambda wildcards: plan.pretrain_job(wildcards.method, cfg.seeds[0]).model_dump_json(),
        title=lambda wildcards: f"{plan.labels[wildcards.method]} on {wildcards.dataset}, seed {cfg.seeds[0]}",
        code=lambda wildcards: get_code("draw-features", get_reader(wildcards.dataset)),
    message:
        "Draw what {wildcards.method} learned on {wildcards.dataset}"
    shell:
        "python -m cmcr draw-features --job {params.job:q} --weights {input.weights} --index {input.index}"
        " --title {params.title:q} --output {output} > {log} 2>&1"
