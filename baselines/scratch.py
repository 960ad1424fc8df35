"""Scratch: no pre-training at all, the floor that every method has to leave below."""

from __future__ import annotations

from cmcr.pretrain.method import PretrainMethod, Source


class Scratch(PretrainMethod):
    """The backbone as it was initialised.

    A linear probe of random features depends on the BatchNorm statistics: those of initialisation (mean 0, variance
    1), or recalibrated on the training scans, which is what a fair reader would try too. Both are probed and the
    stronger one is the row.
    """

    id, label = "scratch", "Scratch"
    source = Source(paper="random initialisation")
    needs_images = False
    pretrains = False
    probe_batch_norm = ("stored", "recalibrated")
