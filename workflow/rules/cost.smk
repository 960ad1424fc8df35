"""What the run's jobs cost."""


rule write_costs:
    input:
        [
            get_backbone(plan.pretrain_dataset(row), net, row, seed)
            for net, row in get_pretrained()
            for seed in cfg.seeds
        ],
        [get_scores(run) for run in runs],
    output:
        report(
            f"{results}/tables/cost.csv",
            caption="../report/cost_table.rst",
            category="Tables",
            labels={"table": "cost"},
        ),
        multiext(f"{results}/tables/cost", ".md", ".tex"),
        report(
            f"{results}/figures/cost.svg",
            caption="../report/cost_table.rst",
            category="Comparison",
            labels={"figure": "cost"},
        ),
        figure=f"{results}/figures/cost.png",
    log:
        f"{results}/logs/tables/cost.log",
    conda:
        "../../environment.yml"
    params:
        methods=as_is(json.dumps(get_cost_files())),
        device=cfg.compute.device,
        devices=cfg.compute.devices,
        folder=subpath(output[0], parent=True),
        figures=subpath(output.figure, parent=True),
        code=get_code("cost-table", *(plan.plugins[row] for row in plan.rows)),
    message:
        "Write the table of costs"
    script:
        "../scripts/write_costs.py"
