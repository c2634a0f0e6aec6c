"""What every benchmark does with its figures: prints its table, and keeps them with hardware and versions."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import monai
import torch

from dualtask import bundle_root
from dualtask.files import write_atomically


def bundle_metadata() -> dict[str, Any]:
    """What the bundle says of itself: version and accuracy, among other things."""
    return json.loads((Path(bundle_root()) / "configs" / "metadata.json").read_text())


def surroundings() -> dict[str, Any]:
    """What the figures were measured on and with."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    capabilities = torch.cpu.get_capabilities()
    known = [name for name in ("avx512_bf16", "amx_bf16", "bf16") if capabilities.get(name)]
    return {
        "processor": capabilities.get("cpu_name", platform.machine()),
        "bf16 instructions": known,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": os.getloadavg()[0],
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "monai": monai.__version__,
        "bundle": bundle_metadata()["version"],
        "commit": commit.stdout.strip() or None,
    }


def sentence(found: Mapping[str, Any]) -> str:
    """The surroundings in words."""
    low = f", {', '.join(found['bf16 instructions'])}" if found["bf16 instructions"] else ", no bf16 instructions"
    gpu = f"; {found['gpu']}" if found["gpu"] else ""
    return (
        f"{found['processor']}, {found['cores']} cores{low}{gpu}; {found['threads']} thread(s), "
        f"load {found['load']:.0f}; bundle {found['bundle']}, "
        f"Python {found['python']}, PyTorch {found['torch']}, MONAI {found['monai']}; commit {found['commit']}"
    )


def report(name: str, result: Mapping[str, Any], lines: Sequence[str], output: Path | None) -> None:
    """Print a table, and keep it.

    Args:
        name: of the benchmark.
        result: its figures.
        lines: its table in Markdown.
        output: JSON file that takes both, or None.
    """
    found = surroundings()
    print(sentence(found), "", *lines, sep="\n")
    if output:
        content = {"benchmark": name, "surroundings": found, "figures": result, "markdown": list(lines)}
        output.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(output, lambda temporary: temporary.write_text(json.dumps(content, indent=1) + "\n"))
