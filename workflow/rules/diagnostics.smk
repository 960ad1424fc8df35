"""What the frozen features of every method hold."""


rule diagnose:
    input:
        weights=get_diagnose_backbone,
        teacher=teacher_files,
        train_index=get_index(pretrained_on[0], "train"),
        validation_index=get_index(pretrained_on[0], "validation"),
    output:
        f"{results}/diagnostics/{{method}}/seed{{seed}}.json",
    log:
        f"{results}/logs/diagnostics/{{method}}/seed{{seed}}.log",
    conda:
        "../../environment.yml"
    threads: cfg.compute.threads
    resources:
        gpu=1 if cfg.compute.device == "cuda" else 0,
        mem_mb=get_pass_memory(),
        runtime=get_pass_minutes(),
    params:
        job=lambda wildcards: plan.diagnose_job(wildcards.method, int(wildcards.seed)).model_dump_json(),
        options=lambda wildcards: flags(
            plugin=os.path.relpath(plan.plugins[wildcards.method]) if wildcards.method in plan.trained_rows else None,
            teacher_weights=None if published else teacher_files,
        ),
        code=lambda wildcards: get_code(
            "diagnose",
            plan.plugins[wildcards.method],
            get_reader(pretrained_on[0]),
        ),
    message:
        "Diagnose what {wildcards.method} learned, seed {wildcards.seed}"
    shell:
        "python -m cmcr diagnose --job {params.job:q} --weights {input.weights} {params.options}"
        " --train-index {input.train_index} --validation-index {input.validation_index} --output {output} > {log} 2>&1"


rule write_diagnostics:
    input:
        get_diagnoses(),
    output:
        report(
            f"{results}/tables/diagnostics.csv",
            caption="../report/diagnostics_table.rst",
            category="Tables",
            labels={"table": "diagnostics"},
        ),
        multiext(f"{results}/tables/diagnostics", ".md", ".tex"),
    log:
        f"{results}/logs/tables/diagnostics.log",
    conda:
        "../../environment.yml"
    params:
        labels=as_is(json.dumps(plan.compared)),
        folder=subpath(output[0], parent=True),
        code=get_code("diagnostics-table"),
    message:
        "Write the table of diagnostics"
    shell:
        "python -m cmcr diagnostics-table --labels {params.labels:q} --folder {params.folder} {input} > {log} 2>&1"
