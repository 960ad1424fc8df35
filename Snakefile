from snakemake.utils import min_version

min_version("9.0")


# A config file named on the command line replaces the default; Snakemake alone would merge the two.
if not workflow.overwrite_configfiles:

    configfile: f"{workflow.basedir}/config/toy.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/inputs.smk"
include: "workflow/rules/resources.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/waymo.smk"
include: "workflow/rules/pretrain.smk"
include: "workflow/rules/pictures.smk"
include: "workflow/rules/finetune.smk"
include: "workflow/rules/diagnostics.smk"
include: "workflow/rules/results.smk"
include: "workflow/rules/published.smk"
include: "workflow/rules/cost.smk"
include: "workflow/rules/report.smk"


report: "workflow/report/run.rst"


rule all_tables:
    default_target: True
    input:
        get_tables(),


rule all_figures:
    input:
        get_figures(),


rule report:
    input:
        f"{results}/report.html",
