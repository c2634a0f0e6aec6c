"""A training step on the shipped crop: ours by part, against the reference recipe and a plain SegResNet.

The reference recipe is the same loss in fp32, with scipy's Euclidean distance transforms for the targets of each
sample; once with our network and once with the paper's. The plain step is MONAI's SegResNet of about the same size with
Dice + cross entropy on as many images and without a teacher. All have the same crops and augmentation, which are made
once and counted for each. The contestants take turns within one process. MONAI's Rand3DElasticd bends the same crops
beside our transform, counted for nobody.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from monai.losses import DiceCELoss
from monai.networks.nets import SegResNet
from monai.transforms import Compose, Rand3DElasticd
from scipy.ndimage import distance_transform_edt

from dualtask.engines import PrepareViews
from dualtask.inferers.precision import autocast
from dualtask.losses import DualTaskLoss
from dualtask.losses.targets import Targets
from dualtask.networks import AllHeads, DualTaskNet, ResidualUNet
from dualtask.phantom.decathlon import write_decathlon
from dualtask.phantom.sites import SITES
from dualtask.transforms import RandFreeFormd
from figures import report
from parts import DEVICE, timed, training_parts

_TARGETS = ("StructureMasksd", "SignedDistanced", "ContrastSitesd")
_BATCH = ("image", "label", "label_distance", "label_sites", "annotated", "known")
_PAPER_WIDTH = 32


class Clock:
    """Seconds by part, one list entry for each step."""

    def __init__(self) -> None:
        self.parts: dict[str, list[float]] = {}

    def __call__(self, part: str, step: Callable, *values: object) -> object:
        return for_each([self], part, step, *values)

    def medians(self) -> dict[str, float]:
        """Median of each part; the first step warms up."""
        return {part: statistics.median(times[1:]) for part, times in self.parts.items()}


def for_each(clocks: Iterable[Clock], part: str, step: Callable, *values: object) -> object:
    """Do once what several contestants need, and count it for each."""
    result, seconds = timed(step, *values)
    for clock in clocks:
        clock.parts.setdefault(part, []).append(seconds)
    return result


def scipy_targets(masks: np.ndarray, spacing: Sequence[float], truncation: Sequence[float]) -> np.ndarray:
    """Signed distance / truncation distance of masks [2, X, Y, Z], negative inside."""
    outside = [distance_transform_edt(mask == 0, sampling=spacing) for mask in masks]
    inside = [distance_transform_edt(mask, sampling=spacing) for mask in masks]
    limits = np.array(truncation)[:, None, None, None]
    return np.clip((np.array(outside) - np.array(inside)) / limits, -1, 1)


def main() -> None:
    """Measure, and report both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_decathlon(folder, [SITES["metro"]], cases_per_site=5, seed=4000, matrix=160)
        part = training_parts(folder)
        case = part("preprocessing")(part("cases")[0][0])
    draw = Compose(part("train#random")).flatten().transforms
    crops = part("train#dataloader#batch_size")
    network, loss, optimizer = part("train#trainer#network"), part("loss"), part("optimizer")
    prepare, prepare_plain = part("train#trainer#prepare_batch"), PrepareViews(part("views"), teacher=None)
    spacing, truncation = part("grid_spacing"), part("truncation")
    papers = AllHeads(DualTaskNet(ResidualUNet(width=_PAPER_WIDTH), part("sharpness"))).to(DEVICE)
    references = {
        "reference recipe, our network": (network, optimizer),
        "reference recipe, paper's network": (papers, torch.optim.Adam(papers.parameters())),
    }
    plain = SegResNet(init_filters=8, blocks_down=(1, 2, 2, 4), out_channels=3).to(DEVICE)
    plain_loss, plain_optimizer = DiceCELoss(to_onehot_y=True, softmax=True), torch.optim.AdamW(plain.parameters())
    clocks = {name: Clock() for name in ("ours", *references, "plain SegResNet")}
    bends = Clock()
    ours, simple = clocks["ours"], clocks["plain SegResNet"]
    for _ in range(arguments.steps + 1):
        samples = [dict(case) for _ in range(crops)]
        for transform in draw:
            name = type(transform).__name__
            if isinstance(transform, RandFreeFormd):
                for bend in (transform, _elastic(transform)):
                    bends(type(bend).__name__, _applied, bend, samples)
            if name in _TARGETS:
                samples = ours(f"targets: {name}", _applied, transform, samples)
            else:
                samples = for_each(clocks.values(), f"crop and augmentation: {name}", _applied, transform, samples)
        batch = {name: torch.stack([torch.as_tensor(sample[name]) for sample in samples]) for name in _BATCH}
        dual_task = [clock for clock in clocks.values() if clock is not simple]
        views, targets = for_each(dual_task, "views and teacher", prepare, batch, DEVICE, False)
        _step(ours, network, loss, optimizer, views, targets, low_precision=True)

        masks = [np.asarray(sample["label"]) for sample in samples]
        for name, (its_network, its_optimizer) in references.items():
            clocks[name]("targets: scipy", lambda masks=masks: [scipy_targets(m, spacing, truncation) for m in masks])
            _step(clocks[name], its_network, loss, its_optimizer, views, targets, low_precision=False)

        views, targets = simple("views", prepare_plain, batch, DEVICE, False)
        label = targets.masks.sum(1, keepdim=True)
        answer = simple("forward", plain, views)
        value = simple("loss", plain_loss, answer, label)
        plain_optimizer.zero_grad()
        simple("backward", value.backward)
        simple("optimiser", plain_optimizer.step)
    medians = {name: clock.medians() for name, clock in clocks.items()}
    bent = bends.medians()
    report("training step", {"seconds": medians, "bends": bent}, _lines(medians, bent), arguments.output)


def _elastic(ours: RandFreeFormd) -> Rand3DElasticd:
    """MONAI's transform with the ranges that training had before ours."""
    return Rand3DElasticd(
        ours.keys,
        sigma_range=(4, 6),
        magnitude_range=(50, 200),
        spatial_size=ours.spatial_size,
        prob=ours.prob,
        rotate_range=0.1,
        scale_range=0.25,
        mode=ours.mode,
        padding_mode=ours.padding_mode,
    )


def _applied(transform: Callable, samples: list[dict]) -> list[dict]:
    """Each sample behind a transform; those that draw several give lists of one."""
    drawn = [transform(sample) for sample in samples]
    return [sample[0] if isinstance(sample, list) else sample for sample in drawn]


def _step(
    clock: Clock,
    network: torch.nn.Module,
    loss: DualTaskLoss,
    optimizer: torch.optim.Optimizer,
    views: torch.Tensor,
    targets: Targets,
    low_precision: bool,
) -> None:
    with autocast(DEVICE, views.shape[-1]) if low_precision else torch.autocast(DEVICE.type, enabled=False):
        heads = clock("forward", network, views)
    heads = heads.in_float32()
    values: Mapping[str, torch.Tensor] = {
        name: clock(f"loss: {name}", term, heads, targets) for name, term in loss.terms.items()
    }
    optimizer.zero_grad()
    clock("backward", sum(loss.weights[name] * value for name, value in values.items()).backward)
    clock("optimiser", optimizer.step)


def _lines(medians: Mapping[str, Mapping[str, float]], bends: Mapping[str, float]) -> list[str]:
    totals = {name: sum(parts.values()) for name, parts in medians.items()}
    ours = totals["ours"]
    return [
        "| step | time relative to ours |",
        "|---|---|",
        *(f"| {name} | {total / ours:.2f} |" for name, total in totals.items()),
        "",
        "| part of ours | share of the step |",
        "|---|---|",
        *(f"| {part} | {100 * seconds / ours:.1f} % |" for part, seconds in medians["ours"].items()),
        "",
        "| bending a batch of crops | time relative to ours |",
        "|---|---|",
        *(f"| {name} | {seconds / bends['RandFreeFormd']:.2f} |" for name, seconds in bends.items()),
    ]


if __name__ == "__main__":
    main()
