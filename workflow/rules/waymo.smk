"""Waymo's segments: of the toy city packed as TFRecords, and all of them converted, by Waymo's own package."""

from cmcr.data.toy.formats import FORMATS
from cmcr.data.waymo_index import LABELLED
from cmcr.data.waymo_names import FOLDERS

waymo_roots = {get_root(dataset): dataset for dataset in converted}


rule pack_toy_segment:
    input:
        f"{results}/data/{{dataset}}/parts/{{scene}}.json",
    output:
        f"{results}/data/{{dataset}}/tfrecords/{{folder}}/segment-{{scene}}.tfrecord",
    log:
        f"{results}/logs/data/{{dataset}}/{{folder}}/pack-{{scene}}.log",
    wildcard_constraints:
        dataset=any_of(converted),
        folder=any_of(FOLDERS),
    conda:
        "../envs/waymo.yaml"
    params:
        python=waymo_python,
        script=f"{workflow.basedir}/workflow/waymo/pack.py",
        root=lambda wildcards: get_root(wildcards.dataset),
        code=code_digest(CODE_ROOT / "workflow" / "waymo" / "pack.py"),
    message:
        "Pack {wildcards.scene} of the toy city as a Waymo segment"
    shell:
        "{params.python:q} {params.script:q} --drive {input} --root {params.root:q} --output {output} > {log} 2>&1"


rule convert_waymo_segment:
    input:
        get_tfrecord,
    output:
        "{root}/{folder}/{segment}.json",
    log:
        f"{results}/logs/data/{{root}}/{{folder}}/{{segment}}.log",
    wildcard_constraints:
        root=any_of(waymo_roots),
        folder=any_of(FOLDERS),
        segment="[^/]+",
    conda:
        "../envs/waymo.yaml"
    resources:
        # TensorFlow, and a segment of a gigabyte; chosen here, of real segments nobody has measured it.
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
    params:
        python=waymo_python,
        script=f"{workflow.basedir}/workflow/waymo/convert.py",
        second=lambda wildcards: "--second-return" if cfg.datasets[waymo_roots[wildcards.root]].second_return else "",
        code=code_digest(CODE_ROOT / "workflow" / "waymo" / "convert.py"),
    message:
        "Convert {wildcards.segment} of Waymo's {wildcards.folder} segments"
    shell:
        "{params.python:q} {params.script:q} --segment {input:q} --root {wildcards.root:q} --split {wildcards.folder}"
        " {params.second} --output {output:q} > {log:q} 2>&1"
