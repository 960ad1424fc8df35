"""One file per competing method; `cmcr.pretrain.plugins` finds them by their names."""
