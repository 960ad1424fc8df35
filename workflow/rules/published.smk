"""The run's numbers beside published ones."""

reference = os.path.relpath(f"{workflow.basedir}/results/reference")


rule compare_published:
    input:
        scores=f"{results}/scores.tsv",
        published=[f"{reference}/published.csv", f"{reference}/cmcr_paper.csv"],
        names=f"{reference}/names.csv",
        lineages=f"{reference}/lineages.csv",
        splits=f"{reference}/splits.csv",
        gaps=f"{reference}/gaps.csv",
    output:
        report(
            f"{results}/tables/published.csv",
            caption="../report/published_table.rst",
            category="Tables",
            labels={"table": "published"},
        ),
        multiext(f"{results}/tables/published", ".md", ".tex"),
    log:
        f"{results}/logs/tables/published.log",
    conda:
        "../../environment.yml"
    params:
        methods=as_is(json.dumps({row: vars(method) for row, method in looked_up(plan).items()})),
        networks=as_is(json.dumps({task: network_name(plan, task) for task in tasks})),
        detectors=as_is(flags(detectors=detectors(plan) and json.dumps(detectors(plan)))),
        folder=subpath(output[0], parent=True),
        code=get_code("published-table"),
    message:
        "Write the run's numbers beside published ones"
    shell:
        "python -m cmcr published-table --scores {input.scores} --methods {params.methods:q} --networks {params.networks:q} {params.detectors}"
        " --names {input.names:q} --lineages {input.lineages:q} --splits {input.splits:q} --gaps {input.gaps:q}"
        " --folder {params.folder} {input.published:q} > {log} 2>&1"
