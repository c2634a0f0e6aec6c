"""A forward pass in fp32 and bf16, with weights in either memory format, side by side in one run.

What it shows decides ``dualtask.inferers.precision``: bf16 where the processor computes in it, weights as they are.
"""

from __future__ import annotations

import argparse
import copy
import statistics
from pathlib import Path

import torch

from figures import report
from parts import DEVICE, inference_parts, timed

SHAPES = {"localiser": (35, 35, 28), "training crop": (64, 48, 40), "region": (80, 72, 56)}


def main() -> None:
    """Measure, and report the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    plain = inference_parts(datalist=[])("network").eval()
    last = copy.deepcopy(plain).to(memory_format=torch.channels_last_3d)
    contestants = {
        "fp32": (plain, False),
        "fp32, channels last": (last, False),
        "bf16": (plain, True),
        "bf16, channels last": (last, True),
    }
    lines = [f"| time relative to fp32 | {' | '.join(contestants)} |", "|---" * (len(contestants) + 1) + "|"]
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
        ratios[name] = {label: value / median["fp32"] for label, value in median.items()}
        cells = " | ".join(f"{value:.2f}" for value in ratios[name].values())
        lines.append(f"| {name}, {' x '.join(map(str, shape))} | {cells} |")
    report("precision", {"time relative to fp32": ratios}, lines, arguments.output)


if __name__ == "__main__":
    main()
