"""What can be looked at: the course of a pre-training, what it makes of scans, and what fine-tuned networks find."""


rule draw_course:
    input:
        lambda wildcards: [
            get_backbone(wildcards.dataset, get_network(wildcards), wildcards.method, seed) for seed in cfg.seeds
        ],
    output:
        report(
            f"{results}/figures/{{kind}}{{of}}_{{dataset}}_{{method}}.svg",
            caption="../report/course_figure.rst",
            category="Pre-training",
            labels={"figure": "{kind}{of}", "method": "{method}", "dataset": "{dataset}"},
        ),
        f"{results}/figures/{{kind}}{{of}}_{{dataset}}_{{method}}.png",
    log:
        f"{results}/logs/figures/{{kind}}{{of}}_{{dataset}}_{{method}}.log",
    wildcard_constraints:
        kind="losses|codebook",
        of=f"|_{VOXELNET}",
    conda:
        "../../environment.yml"
    params:
        options=lambda wildcards: flags(
            method=wildcards.method,
            dataset=wildcards.dataset,
            network=get_network(wildcards),
            labels=json.dumps(titles(plan)),
            codes=plan.shows(wildcards.method).codes,
        ),
        folder=subpath(output[0], parent=True),
        code=get_code("draw-course"),
    message:
        "Draw the {wildcards.kind} of {wildcards.method} over the steps of its pre-training"
    shell:
        "python -m cmcr draw-course {wildcards.kind} {params.options} --folder {params.folder} {input} > {log} 2>&1"


rule measure_held_out:
    input:
        unpack(get_held_out_inputs),
    output:
        f"{results}/pretrain/{{dataset}}/{MINKUNET}/{{method}}/seed{{seed}}/held_out.json",
    log:
        f"{results}/logs/pretrain/{{dataset}}/{MINKUNET}/{{method}}/seed{{seed}}_held_out.log",
    conda:
        "../../environment.yml"
    threads: cfg.compute.threads
    resources:
        gpu=1 if cfg.compute.device == "cuda" else 0,
        mem_mb=get_pass_memory(),
        runtime=get_pass_minutes(),
    params:
        options=lambda wildcards, input: get_held_out_flags(wildcards, input, wildcards.seed),
        toy=lambda wildcards: "--toy" if cfg.datasets[get_measured(wildcards.dataset)].toy else "",
        dataset=lambda wildcards: get_measured(wildcards.dataset),
        code=lambda wildcards: get_code(
            "measure-held-out",
            plan.plugins[wildcards.method],
            get_reader(get_measured(wildcards.dataset)),
        ),
    message:
        "Measure {wildcards.method}, seed {wildcards.seed}, on scans that its pre-training never saw"
    shell:
        "python -m cmcr measure-held-out {params.options} --dataset {params.dataset} {params.toy}"
        " --output {output} > {log} 2>&1"


rule draw_held_out:
    input:
        unpack(get_held_out_inputs),
        measures=lambda wildcards: get_held_out(wildcards.dataset, wildcards.method, cfg.seeds[0]),
    output:
        report(
            f"{results}/figures/{{kind}}_{{dataset}}_{{method}}.png",
            caption="../report/held_out_figure.rst",
            category="Scans",
            labels={"figure": "{kind}", "method": "{method}", "dataset": "{dataset}"},
        ),
    log:
        f"{results}/logs/figures/{{kind}}_{{dataset}}_{{method}}.log",
    wildcard_constraints:
        kind="reconstruction|occupancy",
    conda:
        "../../environment.yml"
    threads: cfg.compute.threads
    resources:
        gpu=1 if cfg.compute.device == "cuda" else 0,
        mem_mb=get_pass_memory(),
        runtime=get_pass_minutes(),
    params:
        options=lambda wildcards, input: get_held_out_flags(wildcards, input, cfg.seeds[0]),
        title=lambda wildcards: f"{titles(plan)[wildcards.method]} on {wildcards.dataset}, seed {cfg.seeds[0]}: a held-out scan",
        code=lambda wildcards: get_code(
            "draw-held-out",
            plan.plugins[wildcards.method],
            get_reader(get_measured(wildcards.dataset)),
        ),
    message:
        "Draw the {wildcards.kind} of {wildcards.method} on a scan that its pre-training never saw"
    shell:
        "python -m cmcr draw-held-out {wildcards.kind} {params.options} --measures {input.measures}"
        " --title {params.title:q} --output {output} > {log} 2>&1"


rule draw_features:
    input:
        weights=lambda wildcards: get_backbone(
            plan.pretrain_dataset(wildcards.method), MINKUNET, wildcards.method, cfg.seeds[0]
        ),
        index=lambda wildcards: get_index(get_measured(wildcards.dataset), "train"),
    output:
        report(
            f"{results}/figures/features_{{dataset}}_{{method}}.png",
            caption="../report/features_figure.rst",
            category="Scans",
            labels={"figure": "features", "method": "{method}", "dataset": "{dataset}"},
        ),
    log:
        f"{results}/logs/figures/features_{{dataset}}_{{method}}.log",
    conda:
        "../../environment.yml"
    params:
        job=lambda wildcards: plan.pretrain_job(wildcards.method, cfg.seeds[0]).model_dump_json(),
        title=lambda wildcards: f"{titles(plan)[wildcards.method]} on {wildcards.dataset}, seed {cfg.seeds[0]}",
        code=lambda wildcards: get_code("draw-features", get_reader(get_measured(wildcards.dataset))),
    message:
        "Draw what {wildcards.method} learned on {wildcards.dataset}"
    shell:
        "python -m cmcr draw-features --job {params.job:q} --weights {input.weights} --index {input.index}"
        " --title {params.title:q} --output {output} > {log} 2>&1"


rule draw_panoptic:
    input:
        model=lambda wildcards: get_finetuned(
            get_shown_run("panoptic", wildcards.dataset, wildcards.method), "model.safetensors"
        ),
        index=lambda wildcards: get_index(wildcards.dataset, "validation"),
    output:
        report(
            f"{results}/figures/panoptic_{{dataset}}_{{method}}.png",
            caption="../report/panoptic_figure.rst",
            category="Scans",
            labels={"figure": "instances", "method": "{method}", "dataset": "{dataset}"},
        ),
    log:
        f"{results}/logs/figures/panoptic_{{dataset}}_{{method}}.log",
    conda:
        "../../environment.yml"
    params:
        title=lambda wildcards: get_title("panoptic", wildcards),
        code=lambda wildcards: get_code("draw-panoptic", get_reader(wildcards.dataset)),
    message:
        "Draw the instances that {wildcards.method} finds on {wildcards.dataset}"
    shell:
        "python -m cmcr draw-panoptic --model {input.model} --index {input.index}"
        " --title {params.title:q} --output {output} > {log} 2>&1"


rule draw_boxes:
    input:
        model=lambda wildcards: get_finetuned(
            get_shown_run("detection", wildcards.dataset, wildcards.method), "model.safetensors"
        ),
        index=lambda wildcards: get_index(wildcards.dataset, "validation"),
    output:
        report(
            f"{results}/figures/boxes_{{dataset}}_{{method}}.png",
            caption="../report/boxes_figure.rst",
            category="Scans",
            labels={"figure": "boxes", "method": "{method}", "dataset": "{dataset}"},
        ),
    log:
        f"{results}/logs/figures/boxes_{{dataset}}_{{method}}.log",
    conda:
        "../../environment.yml"
    params:
        title=lambda wildcards: get_title("detection", wildcards),
        code=lambda wildcards: get_code("draw-boxes", get_reader(wildcards.dataset)),
    message:
        "Draw the boxes that {wildcards.method} finds on {wildcards.dataset}"
    shell:
        "python -m cmcr draw-boxes --model {input.model} --index {input.index}"
        " --title {params.title:q} --output {output} > {log} 2>&1"
