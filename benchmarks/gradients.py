"""How hard each term of the loss pulls the backbone that the two tasks share, as a training begins.

A term whose gradient outweighs the classification's decides what the shared features become. The training is that of
``train.json`` on the dataset that is named, with its own optimizer; each step takes the gradient of each term, times
its weight, over the parameters of the backbone.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch.nn import functional

from figures import report
from parts import DEVICE, training_parts

_REFERENCE = "classification"
_WINDOWS = 3


class Pull(NamedTuple):
    """The gradient of a term: its norm over the classification's, and its cosine with it."""

    norm: float
    cosine: float


def main() -> None:
    """Measure, and report the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset_dir", required=True, help="Decathlon folder of the training")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--width", type=int, default=16, help="of the backbone")
    parser.add_argument("--batch_size", type=int, default=4)
    parser.add_argument("--learning_rate", type=float, default=0.004)
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    part = training_parts(
        arguments.dataset_dir,
        scans_per_epoch=arguments.batch_size * arguments.steps,
        learning_rate=arguments.learning_rate,
        **{
            "network_def#backbone#width": arguments.width,
            "train#dataloader#batch_size": arguments.batch_size,
            "train#dataloader#num_workers": 0,
        },
    )
    network, loss, optimizer = part("train#trainer#network"), part("loss"), part("optimizer")
    prepare, infer = part("train#trainer#prepare_batch"), part("train#inferer")
    shared = list(part("network").backbone.parameters())
    steps: list[dict[str, Pull]] = []
    for batch in part("train#dataloader"):
        views, targets = prepare(batch, DEVICE, False)
        heads = infer(views, network).in_float32()
        terms = {name: loss.weights[name] * term(heads, targets) for name, term in loss.terms.items()}
        steps.append(_pulls(terms, shared))
        optimizer.zero_grad()
        sum(terms.values()).backward()
        optimizer.step()
    found = _medians(steps)
    report("gradients", found, _lines(found, loss.weights), arguments.output)


def _pulls(terms: Mapping[str, torch.Tensor], shared: Sequence[torch.nn.Parameter]) -> dict[str, Pull]:
    """Of each term over the shared parameters; those that it does not reach have a gradient of 0."""
    rows = {}
    for name, value in terms.items():
        gradients = torch.autograd.grad(value, shared, retain_graph=True, materialize_grads=True)
        rows[name] = torch.cat([gradient.flatten() for gradient in gradients]).double()
    reference = rows[_REFERENCE]
    return {
        name: Pull(float(row.norm() / reference.norm()), float(functional.cosine_similarity(row, reference, dim=0)))
        for name, row in rows.items()
    }


def _medians(steps: Sequence[Mapping[str, Pull]]) -> dict[str, dict[str, list[float]]]:
    """Norms and cosines of each term: medians of as many parts of the training."""
    length = max(len(steps) // _WINDOWS, 1)
    windows = [steps[start : start + length] for start in range(0, length * _WINDOWS, length)]
    return {
        name: {
            "norm": [statistics.median(step[name].norm for step in window) for window in windows],
            "cosine": [statistics.median(step[name].cosine for step in window) for window in windows],
        }
        for name in steps[0]
    }


def _lines(found: Mapping[str, Mapping[str, Sequence[float]]], weights: Mapping[str, float]) -> list[str]:
    thirds = " | ".join(f"{third} third" for third in ("first", "second", "last"))
    lines = [f"| term | weight | gradient over the classification's: {thirds} | cosine with it, last third |"]
    lines.append("|---|---|---|---|---|---|")
    for name, of_term in found.items():
        norms = " | ".join(f"{norm:.2f}" for norm in of_term["norm"])
        lines.append(f"| {name} | {weights[name]:g} | {norms} | {of_term['cosine'][-1]:.2f} |")
    return lines


if __name__ == "__main__":
    main()
