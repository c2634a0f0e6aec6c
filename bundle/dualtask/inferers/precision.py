"""The precision of a forward pass."""

from __future__ import annotations

import torch

_CPU_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16")


def autocast(device: torch.device) -> torch.autocast:
    """bf16 autocast where the processor computes in bf16; elsewhere it would be emulated and slow, so fp32 stays.

    Read from the processor and not timed, so that a machine gives the same result however busy it is
    (``benchmarks/precision.py`` times both). bf16 keeps the range of fp32: no gradient scaler is needed.
    """
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=_computes_bf16(device))


def _computes_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(instruction, False) for instruction in _CPU_INSTRUCTIONS)
