"""The image teacher, and every method's pre-trained backbone."""


rule train_teacher:
    input:
        [get_index(dataset, "train") for dataset in with_cameras],
    output:
        f"{results}/teacher/encoder.safetensors",
    log:
        f"{results}/logs/teacher/train.log",
    conda:
        "../../environment.yml"
    threads: cfg.compute.threads
    resources:
        mem_mb=get_pass_memory(),
        runtime=get_pass_minutes(),
    params:
        options=cfg.teacher.model_dump_json(),
        recipe=cfg.teacher_recipe.model_dump_json(),
        images=cfg.pretrain.images.model_dump_json(),
        compute=cfg.compute.model_dump_json(),
        code=get_code("train-teacher", *get_readers(with_cameras)),
    message:
        "Pre-train the small image teacher without labels"
    shell:
        "python -m cmcr train-teacher --options {params.options:q} --recipe {params.recipe:q} --images {params.images:q}"
        " --index {input} --compute {params.compute:q} --output {output} > {log} 2>&1"


rule encode_images:
    input:
        index=lambda wildcards: get_index(wildcards.dataset, "train"),
        weights=teacher_files,
    output:
        f"{results}/teacher/features/{{dataset}}.npy",
    log:
        f"{results}/logs/teacher/encode/{{dataset}}.log",
    conda:
        "../../environment.yml"
    threads: cfg.compute.threads
    resources:
        gpu=1 if cfg.compute.device == "cuda" else 0,
        mem_mb=get_pass_memory(),
        runtime=get_pass_minutes(),
    params:
        options=as_is(
            flags(
                teacher=cfg.teacher.model_dump_json(),
                weights=None if published else teacher_files,
                images=cfg.pretrain.images.model_dump_json(),
            )
        ),
        compute=cfg.compute.model_dump_json(),
        code=lambda wildcards: get_code("encode-images", get_reader(wildcards.dataset)),
    message:
        "Run the image teacher once over all training images of {wildcards.dataset}"
    shell:
        "python -m cmcr encode-images {params.options} --compute {params.compute:q} --index {input.index} --output {output} > {log} 2>&1"


rule segment_images:
    input:
        lambda wildcards: get_index(wildcards.dataset, "train"),
    output:
        get_superpixels("{dataset}", "{network}", "parts/{part}.json"),
    log:
        f"{results}/logs/superpixels/{{dataset}}/{{network}}/{{part}}.log",
    wildcard_constraints:
        part=r"\d+",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=get_pass_memory(),
        runtime=get_pass_minutes(SUPERPIXEL_PASSES / cfg.pretrain.superpixel_jobs),
    params:
        options=lambda wildcards: plan.superpixels(wildcards.network).model_dump_json(),
        parts=cfg.pretrain.superpixel_jobs,
        folder=lambda wildcards: get_superpixels(wildcards.dataset, wildcards.network, "images"),
        code=lambda wildcards: get_code("segment-images", get_reader(wildcards.dataset)),
    message:
        "Cut the training images of {wildcards.dataset} into superpixels for {wildcards.network}, share {wildcards.part} of {params.parts}, counted from 0"
    shell:
        "python -m cmcr segment-images --options {params.options:q} --index {input} --part {wildcards.part}"
        " --parts {params.parts} --folder {params.folder} --output {output} > {log} 2>&1"


rule pretrain:
    input:
        unpack(get_pretrain_inputs),
    output:
        f"{results}/pretrain/{{dataset}}/{{network}}/{{method}}/seed{{seed}}/backbone.safetensors",
    log:
        f"{results}/logs/pretrain/{{dataset}}/{{network}}/{{method}}/seed{{seed}}.log",
    benchmark:
        f"{results}/benchmarks/pretrain/{{dataset}}/{{network}}/{{method}}/seed{{seed}}.tsv"
    wildcard_constraints:
        method=any_of(row for row in cfg.methods if row not in imported),
    conda:
        "../../environment.yml"
    threads: lambda wildcards: get_pretrain_demand(wildcards).threads
    resources:
        gpu=lambda wildcards: get_pretrain_demand(wildcards).gpus,
        mem_mb=get_pretrain_memory,
        runtime=get_pretrain_minutes,
    params:
        job=lambda wildcards: plan.pretrain_job(
            wildcards.method, int(wildcards.seed), wildcards.network
        ).model_dump_json(),
        plugin=lambda wildcards: os.path.relpath(plan.plugins[wildcards.method]),
        inputs=get_pretrain_flags,
        folder=subpath(output[0], parent=True),
        code=lambda wildcards: get_code(
            "pretrain",
            plan.plugins[wildcards.method],
            *get_readers(pretrained_on),
        ),
    message:
        "Pre-train {wildcards.method}, {wildcards.network}, seed {wildcards.seed}"
    shell:
        "python -m cmcr pretrain --job {params.job:q} --plugin {params.plugin:q} {params.inputs}"
        " --folder {params.folder} --output {output} > {log} 2>&1"


rule import_weights:
    input:
        lambda wildcards: imported[wildcards.method],
    output:
        f"{results}/pretrain/{{dataset}}/{MINKUNET}/{{method}}/seed{{seed}}/backbone.safetensors",
    log:
        f"{results}/logs/pretrain/{{dataset}}/{MINKUNET}/{{method}}/seed{{seed}}.log",
    wildcard_constraints:
        dataset=any_of(map(plan.pretrain_dataset, imported)),
        method=any_of(imported),
    conda:
        "../../environment.yml"
    params:
        job=lambda wildcards: plan.import_job(wildcards.method, int(wildcards.seed)).model_dump_json(),
        code=get_code("import-weights"),
    message:
        "Import the published weights of {wildcards.method} for seed {wildcards.seed}"
    shell:
        "python -m cmcr import-weights {input:q} --job {params.job:q} --output {output} > {log} 2>&1"
