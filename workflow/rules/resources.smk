"""What jobs ask of a cluster (cmcr/demands.py); on one machine it has no effect. Other rules ask for the profile's default."""

from cmcr.demands import finetune_demand, index_demand, pass_demand, pretrain_demand

# Cutting one image into superpixels takes longer than a network does with it.
SUPERPIXEL_PASSES = 8


def get_pretrain_demand(wildcards):
    return pretrain_demand(cfg, plan.pretrain_job(wildcards.method, int(wildcards.seed), wildcards.network))


def get_pretrain_memory(wildcards, attempt):
    return get_pretrain_demand(wildcards).at(attempt).memory_mb


def get_pretrain_minutes(wildcards, attempt):
    return get_pretrain_demand(wildcards).at(attempt).minutes


def get_finetune_demand(wildcards):
    return finetune_demand(cfg, plan.finetune_job(get_run(wildcards)))


def get_finetune_memory(wildcards, attempt):
    return get_finetune_demand(wildcards).at(attempt).memory_mb


def get_finetune_minutes(wildcards, attempt):
    return get_finetune_demand(wildcards).at(attempt).minutes


def get_finetune_group(wildcards):
    """Short fine-tunings go to a cluster several at a time (`group-components` in profiles/slurm), long ones alone."""
    # On one machine groups do nothing but indent the plan.
    return "short_finetune" if not workflow.local_exec and get_finetune_demand(wildcards).short else None


def get_index_memory(wildcards, attempt):
    return index_demand(cfg.datasets[wildcards.dataset]).at(attempt).memory_mb


def get_index_minutes(wildcards, attempt):
    return index_demand(cfg.datasets[wildcards.dataset]).at(attempt).minutes


def get_pass_memory(passes=1):
    """Memory of a job that goes over the scans of pre-training ``passes`` times."""
    return lambda wildcards, attempt: pass_demand(cfg, passes).at(attempt).memory_mb


def get_pass_minutes(passes=1):
    """Minutes of such a job."""
    return lambda wildcards, attempt: pass_demand(cfg, passes).at(attempt).minutes
