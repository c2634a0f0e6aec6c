"""A forward pass in fp32 and bf16, with weights in either memory format, side by side in one run.

What it shows decides ``dualtask.inferers.precision``: bf16 where the processor computes in it, weights as they are.
"""

from __future__ import annotations

import argparse
import copy
import platform
import statistics
import time

import torch

from dualtask.networks import DualTaskNet, ResidualUNet

SHAPES = {"localiser": (35, 35, 22), "training crop": (80, 64, 48), "region": (120, 104, 64)}
_SHARPNESS = 15.0


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    plain = DualTaskNet(ResidualUNet(width=8, weight_standardisation=False), _SHARPNESS).eval()
    last = copy.deepcopy(plain).to(memory_format=torch.channels_last_3d)
    contestants = {
        "fp32": (plain, False),
        "fp32, channels last": (last, False),
        "bf16": (plain, True),
        "bf16, channels last": (last, True),
    }
    capabilities = torch.cpu.get_capabilities()
    known = [name for name in ("avx512_bf16", "amx_bf16", "bf16") if capabilities.get(name)]
    processor = capabilities.get("cpu_name", platform.machine())
    print(f"{processor}, {arguments.threads} thread(s), PyTorch {torch.__version__}")
    print("bf16 instructions:", ", ".join(known) or "none")
    print(f"| time relative to fp32 | {' | '.join(contestants)} |")
    print("|---" * (len(contestants) + 1) + "|")
    for name, shape in SHAPES.items():
        image = torch.rand(1, 1, *shape)
        seconds: dict[str, list[float]] = {label: [] for label in contestants}
        # The first round warms up; the contestants take turns, so that a busy moment meets them all.
        for _ in range(arguments.repeats + 1):
            for label, (network, low) in contestants.items():
                started = time.perf_counter()
                with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=low):
                    network.heads(image)
                seconds[label].append(time.perf_counter() - started)
        median = {label: statistics.median(times[1:]) for label, times in seconds.items()}
        cells = [f"{median[label] / median['fp32']:.2f}" for label in contestants]
        print(f"| {name}, {' x '.join(map(str, shape))} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
