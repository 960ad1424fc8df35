"""Gather scores files; a script, because the list of inputs may be longer than a shell command may be."""

from cmcr.results.collect import collect_scores, write_scores_table

write_scores_table(snakemake.output[0], collect_scores(snakemake.input))  # noqa: F821 (given by Snakemake)
