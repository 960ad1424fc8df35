"""The page of a run, and the file that says what the run was asked to do."""


rule describe_run:
    output:
        f"{results}/run.json",
    log:
        f"{results}/logs/describe_run.log",
    conda:
        "../../environment.yml"
    params:
        config=as_is(json.dumps(config)),
        code=get_code("describe-run", *plan.plugins.values()),
    message:
        "Write down what this run was asked to do"
    shell:
        "python -m cmcr describe-run --config {params.config:q} --output {output} > {log} 2>&1"


rule write_report:
    input:
        f"{results}/run.json",
        get_tables(),
        get_figures(),
        [get_scores(run) for run in runs],
        get_diagnoses() if cfg.diagnostics else [],
        fidelity=FIDELITY,
        parts=REPORT_PARTS,
    output:
        f"{results}/report.html",
    log:
        f"{results}/logs/report.log",
    conda:
        "../../environment.yml"
    params:
        folder=subpath(output[0], parent=True),
        code=get_code("report"),
    message:
        "Write the report"
    script:
        "../scripts/write_report.py"
