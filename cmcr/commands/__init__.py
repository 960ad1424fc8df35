"""One module for each command of `cmcr.cli`: files in, files out. The rules of the workflow call nothing else."""
