"""The image teacher, and every method's pre-trained backbone."""


rule train_teacher:
    input:
        get_index(cfg.pretrain.dataset, "train"),
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
        code=get_code("train-teacher", get_reader(cfg.pretrain.dataset)),
    message:
        "Pre-train the small image teacher without labels"
    shell:
        "python -m cmcr train-teacher --options {params.options:q} --recipe {params.recipe:q} --images {params.images:q}"
        " --index {input} --compute {params.compute:q} --output {output} > {log} 2>&1"


rule encode_images:
    input:
        index=get_index(cfg.pretrain.dataset, "train"),
        weights=teacher_files,
    output:
        f"{results}/teacher/features.npy",
    log:
        f"{results}/logs/teacher/encode.log",
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
        code=get_code("encode-images", get_reader(cfg.pretrain.dataset)),
    message:
        "Run the image teacher once over all training images"
    shell:
        "python -m cmcr encode-images {params.options} --compute {params.compute:q} --index {input.index} --output {output} > {log} 2>&1"


rule segment_images:
    input:
        get_index(cfg.pretrain.dataset, "train"),
    output:
        get_superpixels("parts/{part}.json"),
    log:
        f"{results}/logs/superpixels/{{part}}.log",
    wildcard_constraints:
        part=r"\d+",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=get_pass_memory(),
        runtime=get_pass_minutes(SUPERPIXEL_PASSES / cfg.pretrain.superpixel_jobs),
    params:
        options=cfg.pretrain.superpixels.model_dump_json(),
        parts=cfg.pretrain.superpixel_jobs,
        folder=get_superpixels("images"),
        code=get_code("segment-images", get_reader(cfg.pretrain.dataset)),
    message:
        "Cut the training images into superpixels, share {wildcards.part} of {params.parts}, counted from 0"
    shell:
        "python -m cmcr segment-images --options {params.options:q} --index {input} --part {wildcards.part}"
        " --parts {params.parts} --folder {params.folder} --output {output} > {log} 2>&1"


rule pretrain:
    input:
        unpack(get_pretrain_inputs),
    output:
        f"{results}/pretrain/{{dataset}}/{{method}}/seed{{seed}}/backbone.safetensors",
    log:
        f"{results}/logs/pretrain/{{dataset}}/{{method}}/seed{{seed}}.log",
    benchmark:
        f"{results}/benchmarks/pretrain/{{dataset}}/{{method}}/seed{{seed}}.tsv"
    wildcard_constraints:
        method=any_of(row for row in cfg.methods if row not in imported),
    conda:
        "../../environment.yml"
    threads: cfg.compute.threads
    resources:
        gpu=1 if cfg.compute.device == "cuda" else 0,
        mem_mb=get_pretrain_memory,
        runtime=get_pretrain_minutes,
    params:
        job=lambda wildcards: plan.pretrain_job(wildcards.method, int(wildcards.seed)).model_dump_json(),
        plugin=lambda wildcards: os.path.relpath(plan.plugins[wildcards.method]),
        inputs=get_pretrain_flags,
        folder=subpath(output[0], parent=True),
        code=lambda wildcards: get_code(
            "pretrain",
            plan.plugins[wildcards.method],
            get_reader(cfg.pretrain.dataset),
        ),
    message:
        "Pre-train {wildcards.method}, seed {wildcards.seed}"
    shell:
        "python -m cmcr pretrain --job {params.job:q} --plugin {params.plugin:q} {params.inputs}"
        " --folder {params.folder} --output {output} > {log} 2>&1"


rule import_weights:
    input:
        lambda wildcards: imported[wildcards.method],
    output:
        f"{results}/pretrain/{{dataset}}/{{method}}/seed{{seed}}/backbone.safetensors",
    log:
        f"{results}/logs/pretrain/{{dataset}}/{{method}}/seed{{seed}}.log",
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
