"""The precision of a forward pass."""

from __future__ import annotations

import torch

_CPU_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16")

_THIN = 8
"""Slices that the networks halve to two before their last stride. Of two, oneDNN's strided convolution in bf16 makes
values of memory that nobody wrote (seen with PyTorch 2.14 and 2.15): up to 1e37, other ones each time."""


def autocast(device: torch.device, slices: int) -> torch.autocast:
    """bf16 autocast where the processor computes in bf16; elsewhere it would be emulated and slow, so fp32 stays.

    Read from the processor and not timed, so that a machine gives the same result however busy it is
    (``benchmarks/precision.py`` times both). bf16 keeps the range of fp32: no gradient scaler is needed.

    Args:
        device: what computes.
        slices: last side of the image; a processor computes thin ones in fp32, which they are small enough for.
    """
    wrong = device.type == "cpu" and slices <= _THIN
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=_computes_bf16(device) and not wrong)


def _computes_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(instruction, False) for instruction in _CPU_INSTRUCTIONS)
