"""How near the networks come to what the machine can compute, and where the time goes.

The limit is the measured rate of a large matrix product in the precision of the pass, in the same run and in turns with
it. The operations of a pass are counted by PyTorch's flop counter (convolutions and matrix products; two a
multiply-add), its time by operators by PyTorch's profiler.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from dualtask.inferers.precision import autocast
from figures import report
from parts import DEVICE, inference_parts, timed

_SHAPES = {"localiser": (35, 35, 28), "region": (80, 72, 56)}
_LISTED = 10


def matrix_product(side: int) -> Callable[[], torch.Tensor]:
    """A product of two square matrices in the precision that a pass has here."""
    with autocast(DEVICE, side) as precision:
        dtype = precision.fast_dtype if precision._enabled else torch.float32
    first, second = (torch.rand(side, side, device=DEVICE, dtype=dtype) for _ in range(2))
    return lambda: first @ second


def flops(step: Callable[[], Any]) -> int:
    """Operations of a step."""
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def main() -> None:
    """Measure, and report the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--side", type=int, default=3072, help="of the matrices")
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    arguments = parser.parse_args()
    part = inference_parts(datalist=[])
    networks = {"localiser": part("localiser").eval(), "region": part("network").eval()}
    images = {name: torch.rand(1, 1, *shape, device=DEVICE) for name, shape in _SHAPES.items()}
    training = part("network_def").to(DEVICE).train()
    product = matrix_product(arguments.side)

    def forward(name: str) -> None:
        with torch.no_grad(), autocast(DEVICE, images[name].shape[-1]):
            networks[name].heads(images[name])

    def forward_and_backward() -> None:
        with autocast(DEVICE, images["region"].shape[-1]):
            heads = training.heads(images["region"])
        sum(output.float().square().mean() for output in heads if output is not None).backward()

    steps: dict[str, Callable[[], Any]] = {
        f"localiser, {_sides('localiser')}": lambda: forward("localiser"),
        f"network, {_sides('region')}": lambda: forward("region"),
        f"network, {_sides('region')}, forward and backward": forward_and_backward,
        "matrix product": product,
    }
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(arguments.repeats + 1):
        for name, step in steps.items():
            seconds[name].append(timed(step)[1])
    rates = {name: flops(step) / statistics.median(seconds[name][1:]) / 1e9 for name, step in steps.items()}
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        forward("region")
    operators = sorted(profiler.key_averages(), key=lambda each: -each.self_cpu_time_total)
    total = sum(each.self_cpu_time_total for each in operators)
    shares = {each.key: each.self_cpu_time_total / total for each in operators[:_LISTED]}
    memory = torch.cuda.max_memory_allocated() / 2**30 if DEVICE.type == "cuda" else None
    result = {"GFLOP/s": rates, "shares of operators": shares, "GPU memory, GiB": memory}
    report("limit", result, _lines(result), arguments.output)


def _sides(name: str) -> str:
    return " x ".join(map(str, _SHAPES[name]))


def _lines(result: Mapping[str, Any]) -> list[str]:
    rates, shares = result["GFLOP/s"], result["shares of operators"]
    limit, network = rates["matrix product"], rates[f"network, {_sides('region')}"]
    convolutions = sum(share for name, share in shares.items() if "convolution" in name)
    return [
        "| pass | GFLOP/s | share of the matrix product's rate |",
        "|---|---|---|",
        *(f"| {name} | {rate:.0f} | {100 * rate / limit:.0f} % |" for name, rate in rates.items()),
        "",
        f"| operator (forward pass of the network, {_sides('region')}) | share of the time |",
        "|---|---|",
        *(f"| `{name}` | {100 * share:.1f} % |" for name, share in shares.items()),
        "",
        f"Convolutions are {100 * convolutions:.0f} % of the time, in which the network computes with "
        f"{100 * network / convolutions / limit:.0f} % of the matrix product's rate. The rest (normalisation, "
        "activation, joining of skips) computes next to nothing and moves the volume through memory.",
    ]


if __name__ == "__main__":
    main()
