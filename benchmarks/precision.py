"""A forward pass in fp32 and bf16, with PyTorch's instance normalisation and with ours, side by side in one run.

What it shows decides ``dualtask.inferers.precision`` (bf16 where the processor computes in it) and
``dualtask.networks.instance_norm`` (a normalisation that keeps the memory format of fast convolutions).
"""

from __future__ import annotations

import argparse
import copy
import statistics
from pathlib import Path

import torch
from torch import nn

from dualtask.networks.instance_norm import ChannelsLastInstanceNorm3d
from figures import report
from parts import DEVICE, inference_parts, timed

SHAPES = {"localiser": (35, 35, 28), "training crop": (64, 48, 40), "region": (80, 72, 56)}

REFERENCE = "fp32, PyTorch's"


def with_pytorchs_normalisation(network: nn.Module) -> nn.Module:
    """A copy of the network as PyTorch and MONAI would have it, with the same parameters."""
    plain = copy.deepcopy(network).to(memory_format=torch.contiguous_format)
    ours = [name for name, layer in plain.named_modules() if isinstance(layer, ChannelsLastInstanceNorm3d)]
    for name in ours:
        layer = plain.get_submodule(name)
        replacement = nn.InstanceNorm3d(layer.num_features, eps=layer.eps, affine=layer.affine).eval().to(DEVICE)
        replacement.load_state_dict(layer.state_dict())
        plain.set_submodule(name, replacement)
    return plain


def main() -> None:
    """Measure, and report the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    ours = inference_parts(datalist=[])("network").eval()
    pytorchs = with_pytorchs_normalisation(ours)
    contestants = {
        REFERENCE: (pytorchs, False),
        "fp32, ours": (ours, False),
        "bf16, PyTorch's": (pytorchs, True),
        "bf16, ours": (ours, True),
    }
    lines = [
        f"| time relative to the first, by normalisation | {' | '.join(contestants)} |",
        "|---" * (len(contestants) + 1) + "|",
    ]
    ratios: dict[str, dict[str, float]] = {}
    for name, shape in SHAPES.items():
        image = torch.rand(1, 1, *shape, device=DEVICE)
        seconds: dict[str, list[float]] = {label: [] for label in contestants}
        # The first round warms up; the contestants take turns, so that a busy moment meets them all.
        for _ in range(arguments.repeats + 1):
            for label, (network, low) in contestants.items():
                with torch.no_grad(), torch.autocast(DEVICE.type, torch.bfloat16, enabled=low):
                    seconds[label].append(timed(network.heads, image)[1])
        median = {label: statistics.median(times[1:]) for label, times in seconds.items()}
        ratios[name] = {label: value / median[REFERENCE] for label, value in median.items()}
        cells = " | ".join(f"{value:.2f}" for value in ratios[name].values())
        lines.append(f"| {name}, {' x '.join(map(str, shape))} | {cells} |")
    report("precision", {"time relative to the first": ratios}, lines, arguments.output)


if __name__ == "__main__":
    main()
