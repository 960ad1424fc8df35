"""From raw data, or from nothing, to indexed splits and label subsets."""

from cmcr.data.nuscenes_tables import LABEL_TABLES, TABLES
from cmcr.data.toy.formats import CITY


rule make_toy_scene:
    output:
        f"{results}/data/{{dataset}}/parts/{{scene}}.json",
    log:
        f"{results}/logs/data/{{dataset}}/{{scene}}.log",
    conda:
        "../../environment.yml"
    params:
        options=lambda wildcards: cfg.datasets[wildcards.dataset].toy.model_dump_json(),
        format=lambda wildcards: cfg.datasets[wildcards.dataset].format,
        root=lambda wildcards: get_root(wildcards.dataset),
        code=get_code("make-toy-scene"),
    message:
        "Render {wildcards.scene} of the toy city"
    shell:
        "python -m cmcr make-toy-scene --options {params.options:q} --format {params.format} --scene {wildcards.scene} --root {params.root:q}"
        " --part {output} > {log} 2>&1"


rule make_toy_tables:
    input:
        get_toy_parts,
    output:
        expand(
            f"{results}/data/{{{{dataset}}}}/v1.0-mini/{{table}}.json",
            table=[*TABLES, *LABEL_TABLES],
        ),
    log:
        f"{results}/logs/data/{{dataset}}/tables.log",
    wildcard_constraints:
        dataset=any_of(get_toy_datasets(tables=True)),
    conda:
        "../../environment.yml"
    params:
        root=lambda wildcards: get_root(wildcards.dataset),
        code=get_code("make-toy-tables"),
    message:
        "Put the toy city's scenes together as a nuScenes folder"
    shell:
        "python -m cmcr make-toy-tables --root {params.root:q} {input} > {log} 2>&1"


rule join_toy_scenes:
    input:
        get_toy_parts,
    output:
        f"{results}/data/{{dataset}}/{CITY}",
    log:
        f"{results}/logs/data/{{dataset}}/scenes.log",
    wildcard_constraints:
        dataset=any_of(get_toy_datasets(tables=False)),
    conda:
        "../../environment.yml"
    params:
        format=lambda wildcards: cfg.datasets[wildcards.dataset].format,
        root=lambda wildcards: get_root(wildcards.dataset),
        code=get_code("make-toy-tables"),
    message:
        "Put the toy city's scenes together as {wildcards.dataset}"
    shell:
        "python -m cmcr make-toy-tables --format {params.format} --root {params.root:q} {input} > {log} 2>&1"


rule index_split:
    input:
        get_raw_tables,
    output:
        f"{results}/index/{{dataset}}/{{split}}.jsonl",
    log:
        f"{results}/logs/index/{{dataset}}/{{split}}.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=get_index_memory,
        runtime=get_index_minutes,
    params:
        options=lambda wildcards: flags(
            dataset=wildcards.dataset,
            format=cfg.datasets[wildcards.dataset].format,
            root=get_root(wildcards.dataset),
            version=cfg.datasets[wildcards.dataset].version,
            split=getattr(cfg.datasets[wildcards.dataset].splits, wildcards.split),
        ),
        release=get_release,
        code=lambda wildcards: get_code(
            "index",
            CODE_ROOT / "cmcr" / "data" / f"{cfg.datasets[wildcards.dataset].format}_index.py",
        ),
    message:
        "List the {wildcards.split} scans of {wildcards.dataset} and check their files"
    shell:
        "python -m cmcr index {params.options} --output {output} > {log} 2>&1"


rule make_subset:
    input:
        lambda wildcards: get_index(wildcards.dataset, "train"),
    output:
        f"{results}/subsets/{{dataset}}/{{counted}}_{{percent}}pct.txt",
    log:
        f"{results}/logs/subsets/{{dataset}}/{{counted}}_{{percent}}pct.log",
    wildcard_constraints:
        counted="scene|scan",
    conda:
        "../../environment.yml"
    params:
        code=get_code("subset"),
    message:
        "Choose {wildcards.percent} % of the labels of {wildcards.dataset}, by {wildcards.counted}"
    shell:
        "python -m cmcr subset --index {input} --percent {wildcards.percent} --rule {wildcards.counted} --output {output} > {log} 2>&1"
