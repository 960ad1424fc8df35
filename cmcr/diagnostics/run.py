"""Looking into one pre-trained backbone: everything the table of diagnostics says about one method and seed."""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from cmcr.compute import prepare
from cmcr.data.index import ScanIndex
from cmcr.data.scan import IGNORE
from cmcr.diagnostics.gather import BACKBONE, SHARED, FrozenNetworks, Gathered, gather, spread_positions, whole_scans
from cmcr.diagnostics.job import DiagnoseJob
from cmcr.errors import DataError
from cmcr.evaluation.linear_probe import probe_class, probe_value
from cmcr.evaluation.representation import effective_rank, linear_cka, shuffled_channels
from cmcr.evaluation.shared_information import CriticOptions, fit_critic, information_bound
from cmcr.files import sha256_of_json
from cmcr.models.backbone import load_backbone
from cmcr.models.image_encoder import make_image_encoder
from cmcr.pretrain.learned import METHOD_FILE, load_method
from cmcr.pretrain.method import PretrainMethod
from cmcr.results.diagnostics import FEATURES, QUANTITIES, Diagnosis, Measured
from cmcr.results.provenance import collect_provenance, git_state
from cmcr.results.records import write_record

logger = logging.getLogger(__name__)

#: Value, control and number of points, or the reason why there are none.
Outcome = tuple[float, float, int] | str


def diagnose(
    job: DiagnoseJob,
    method_class: type[PretrainMethod] | None,
    weights: Path,
    teacher_weights: Path | None,
    train_index: ScanIndex,
    validation_index: ScanIndex,
    output: Path,
) -> Diagnosis:
    """Fit to points of the training split, measure on points of the validation split, write the record.

    The backbone runs with its BatchNorm statistics as stored, one that was not pre-trained too.

    Args:
        job: what to do.
        method_class: the plug-in's class, whose own weights lie beside the backbone's; None for a backbone alone.
        weights: backbone weights of the pre-training.
        teacher_weights: weights of a small teacher.
        train_index: the training split.
        validation_index: the split to measure on.
        output: the record (JSON).

    Raises:
        CMCRError: the weights do not fit the job, or there are too few pairs.
    """
    started, code = time.monotonic(), git_state()
    prepare(job.compute, job.seed)
    backbone, record = load_backbone(weights, job.backbone, job.voxels)
    record.check(weights, method=job.method, dataset=job.pretrain_dataset, seed=job.seed)
    train_index.check_apart(validation_index)
    method = load_method(weights.with_name(METHOD_FILE), method_class) if method_class else None
    encoder = make_image_encoder(job.teacher, teacher_weights)
    networks = FrozenNetworks(backbone, method, encoder, job.compute.device)
    fit_scans, scans = (
        whole_scans(index, spread_positions(len(index), number), job.voxels, job.images)
        for index, number in ((train_index, job.options.fit_scans), (validation_index, job.options.scans))
    )
    fit, held_out = (gather(part, job.options.points_per_scan, networks) for part in (fit_scans, scans))
    for index, gathered in ((train_index, fit), (validation_index, held_out)):
        _check_seen(index, gathered, job.options.critic.candidates)
    diagnosis = Diagnosis(
        **{name: getattr(job, name) for name in ("dataset", "pretrain_dataset", "method", "seed", "toy")},
        fit_split=train_index.split,
        fit_scans=len(fit_scans),
        split=validation_index.split,
        scans=len(scans),
        candidates=job.options.critic.candidates,
        rows=measure(fit, held_out, job.options.critic, job.seed),
        provenance=collect_provenance(
            config_hash=sha256_of_json([job.model_dump(mode="json"), record.config_hash, _hash_of(teacher_weights)]),
            data_checksum=sha256_of_json([record.data_checksum, train_index.checksum, validation_index.checksum]),
            code=code,
            started=started,
            threads=job.compute.threads,
        ),
    )
    write_record(output, diagnosis)
    logger.info("wrote %s", output)
    return diagnosis


def _check_seen(index: ScanIndex, gathered: Gathered, candidates: int) -> None:
    """Refuse fewer points with a pixel than the bound on shared information chooses among."""
    if len(gathered.seen) < candidates:
        raise DataError(
            f"{index.dataset}, split {index.split}: too few points that a camera sees\n"
            f"  expected: {candidates} (diagnostics.critic.candidates)\n"
            f"  found:    {len(gathered.seen)}\n  way out:  more scans, more points of each, or fewer candidates"
        )


def _hash_of(path: Path | None) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path else ""


def measure(fit: Gathered, held_out: Gathered, critic: CriticOptions, seed: int) -> list[Measured]:
    """Measure every quantity of every kind of features.

    Args:
        fit: what linear maps and critics are fitted to.
        held_out: what everything is measured on.
        critic: of the bound on shared information.
        seed: of the critic and the permutations; each quantity starts from it, so that none depends on the others.
    """
    rows = []
    for features in FEATURES:
        for name, outcome in _outcomes(features, fit, held_out, critic, seed):
            if not isinstance(outcome, str) and not all(map(math.isfinite, outcome)):
                outcome = "the values do not vary"
            value, control, number = (None, None, 0) if isinstance(outcome, str) else outcome
            quantity = QUANTITIES[name]
            rows.append(
                Measured(
                    features=features,  # type: ignore[arg-type]  # the keys of FEATURES
                    quantity=name,
                    value=value,
                    control=control,
                    higher_is_better=quantity.higher_is_better,
                    unit=quantity.unit,
                    num_points=number,
                    reason=outcome if isinstance(outcome, str) else None,
                )
            )
    return rows


def _outcomes(
    features: str, fit: Gathered, held_out: Gathered, critic: CriticOptions, seed: int
) -> Iterator[tuple[str, Outcome]]:
    if features not in held_out.points:
        yield from ((name, f"no {FEATURES[features]}") for name in QUANTITIES)
        return
    points = (fit.points[features], held_out.points[features])
    has_class = tuple(part.labels != IGNORE for part in (fit, held_out))
    labels = tuple(part.labels for part in (fit, held_out))
    accuracy = _probed(probe_class, points, labels, has_class, seed)
    yield "class", accuracy if isinstance(accuracy, str) else (100 * accuracy[0], 100 * accuracy[1], accuracy[2])
    for name in held_out.targets:
        targets = tuple(part.targets[name] for part in (fit, held_out))
        defined = tuple(~torch.isnan(target).any(dim=1) for target in targets)
        yield name, _probed(probe_value, points, targets, defined, seed)

    x, generator = points[1], torch.Generator().manual_seed(seed)
    yield "effective_rank", (effective_rank(x), effective_rank(shuffled_channels(x, generator)), len(x))
    if features in (BACKBONE, SHARED):
        yield "cka_shared", "of the specific head alone"
    elif SHARED not in held_out.points:
        yield "cka_shared", f"no {FEATURES[SHARED]}"
    else:
        yield "cka_shared", _aligned(x, held_out.points[SHARED], seed)
    if features in held_out.pixels:
        yield "cka_pixels", _aligned(x[held_out.seen], held_out.pixels[features], seed)
    else:
        yield "cka_pixels", f"no {FEATURES[features]} on pixels"
    yield "information", _information(features, fit, held_out, critic, seed)


def _probed(
    probe: Callable[[tuple[Tensor, Tensor], tuple[Tensor, Tensor]], float],
    points: tuple[Tensor, ...],
    targets: tuple[Tensor, ...],
    defined: tuple[Tensor, ...],
    seed: int,
) -> Outcome:
    """Probe the points that have a target; in the control each has that of another point of its split."""
    features = [part[rows] for part, rows in zip(points, defined, strict=True)]
    answers = [part[rows] for part, rows in zip(targets, defined, strict=True)]
    if min(map(len, answers)) < 2:
        return "no points with it"
    generator = torch.Generator().manual_seed(seed)
    shuffled = [part[torch.randperm(len(part), generator=generator)] for part in answers]
    fit, held_out = features
    value, control = (probe((fit, held_out), (given[0], given[1])) for given in (answers, shuffled))
    return value, control, len(held_out)


def _aligned(x: Tensor, y: Tensor, seed: int) -> Outcome:
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
    return linear_cka(x, y), linear_cka(x, y[order]), len(x)


def _information(features: str, fit: Gathered, held_out: Gathered, options: CriticOptions, seed: int) -> Outcome:
    """Bound the information that points share with the teacher's pixels; the control learns from permuted pairs."""
    points = [part.points[features][part.seen] for part in (fit, held_out)]
    bounds = []
    for is_control in (False, True):
        generator = torch.Generator().manual_seed(seed)
        pixels = [part.pixels[BACKBONE] for part in (fit, held_out)]
        if is_control:
            pixels = [part[torch.randperm(len(part), generator=generator)] for part in pixels]
        critic = fit_critic(points[0], pixels[0], options, generator)
        bounds.append(information_bound(critic, points[1], pixels[1], options.candidates, generator))
    return bounds[0], bounds[1], len(points[1])
