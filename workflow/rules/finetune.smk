"""Fine-tuning for every task, data set, share and seed."""


rule finetune:
    input:
        weights=lambda wildcards: get_backbone(
            wildcards.pretrain_dataset, get_run(wildcards).network, wildcards.method, wildcards.seed
        ),
        train_index=lambda wildcards: get_index(wildcards.dataset, "train"),
        subset=get_subset,
        validation_index=lambda wildcards: get_index(wildcards.dataset, "validation"),
        pretrain_index=get_pretrain_index,
    output:
        scores=f"{results}/finetune/{{dataset}}/{{task}}/{{pretrain_dataset}}/{{method}}/{{protocol}}/{{percent}}pct/seed{{seed}}/scores.json",
        model=f"{results}/finetune/{{dataset}}/{{task}}/{{pretrain_dataset}}/{{method}}/{{protocol}}/{{percent}}pct/seed{{seed}}/model.safetensors",
        frames=f"{results}/finetune/{{dataset}}/{{task}}/{{pretrain_dataset}}/{{method}}/{{protocol}}/{{percent}}pct/seed{{seed}}/frames.safetensors",
    log:
        f"{results}/logs/finetune/{{dataset}}/{{task}}/{{pretrain_dataset}}/{{method}}/{{protocol}}/{{percent}}pct/seed{{seed}}.log",
    benchmark:
        f"{results}/benchmarks/finetune/{{dataset}}/{{task}}/{{pretrain_dataset}}/{{method}}/{{protocol}}/{{percent}}pct/seed{{seed}}.tsv"
    wildcard_constraints:
        pretrain_dataset=any_of(map(plan.pretrain_dataset, cfg.methods)),
    group:
        get_finetune_group
    conda:
        "../../environment.yml"
    threads: lambda wildcards: get_finetune_demand(wildcards).threads
    resources:
        gpu=lambda wildcards: get_finetune_demand(wildcards).gpus,
        mem_mb=get_finetune_memory,
        runtime=get_finetune_minutes,
    params:
        job=lambda wildcards: plan.finetune_job(get_run(wildcards)).model_dump_json(),
        folder=subpath(output.scores, parent=True),
        pretrained_on=lambda wildcards: flags(pretrain_index=get_pretrain_index(wildcards)),
        code=lambda wildcards: get_code(
            "finetune", get_reader(wildcards.dataset), *get_counters(wildcards.dataset, wildcards.task)
        ),
    message:
        "{wildcards.task} on {wildcards.dataset}: {wildcards.method}, {wildcards.protocol} with {wildcards.percent} % of the labels, seed {wildcards.seed}"
    shell:
        "python -m cmcr finetune --job {params.job:q} --weights {input.weights} --train-index {input.train_index}"
        " --subset {input.subset} --validation-index {input.validation_index} {params.pretrained_on}"
        " --folder {params.folder} --model {output.model} --scores {output.scores} --frames {output.frames} > {log} 2>&1"
