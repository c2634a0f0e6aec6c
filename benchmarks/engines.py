"""Both networks in other engines than PyTorch as it is: what would pay on a processor, at equal masks.

The images are those that the cascade gives to its networks on a scan, brought to the sides that the networks were
trained on; the fine network is run with its mirror images. The engines take turns within one process, each with one
thread: its CPU time is then what it takes on a quiet machine, however busy this one is. Getting ready (export,
compilation, quantisation, first pass; nothing is kept from another run) is counted apart. Masks are compared with those
of the default by Dice.

Engines that are not installed are left out, and named: ``pip install openvino nncf`` in an environment of its own.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from monai.transforms import ResizeWithPadOrCrop
from torch import nn

from dualtask.inferers.evidence import overlap
from dualtask.inferers.heads import head_outputs
from dualtask.maps import MAPS, fuse_heads
from dualtask.networks.heads import Heads
from dualtask.structures import STRUCTURES
from figures import report
from inference import write_scan
from parts import inference_parts, timed

DEFAULT = "PyTorch, as it is"
EQUAL_MASKS = 0.995
WORTH_AN_EXTRA = 1.5

_SYNTHETIC = (256, 256, 60)

Pass = Callable[[torch.Tensor], Heads]
Build = Callable[[nn.Module, Sequence[torch.Tensor]], Pass]


class _Exported(nn.Module):
    """The heads that inference asks for, as a network that exporters understand."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        heads = self.network.heads(image)
        return heads.logits, heads.distance, heads.embedding


def _in_fp32(network: nn.Module, images: Sequence[torch.Tensor]) -> Pass:
    return torch.autocast("cpu", enabled=False)(network.heads)


def _compiled(network: nn.Module, images: Sequence[torch.Tensor]) -> Pass:
    # One thread compiles, too; the processes of more would not count in the CPU time.
    return torch.compile(network.heads, dynamic=False, options={"compile_threads": 1})


def _onnx_runtime(network: nn.Module, images: Sequence[torch.Tensor]) -> Pass:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/network.onnx"
        torch.onnx.export(_Exported(network).eval(), (images[0],), path, dynamo=True, verbose=False)
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda image: Heads(*map(torch.from_numpy, session.run(None, {name: image.numpy()})))


def _openvino(network: nn.Module, images: Sequence[torch.Tensor], precision: str, quantised: bool = False) -> Pass:
    import openvino

    model = openvino.convert_model(_Exported(network).eval(), example_input=images[0], input=[tuple(images[0].shape)])
    if quantised:
        import nncf

        # Mixed: what leaves a leaky ReLU is not symmetric.
        data, preset = nncf.Dataset([image.numpy() for image in images]), nncf.QuantizationPreset.MIXED
        model = nncf.quantize(model, data, preset=preset, subset_size=len(images))
    settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    compiled = openvino.compile_model(model, "CPU", settings)
    return lambda image: Heads(*(torch.from_numpy(compiled(image.numpy())[place].copy()) for place in range(3)))


@dataclass(frozen=True)
class Engine:
    """What it needs beside the runtime dependencies (modules, programs), and how it takes a network.

    It is built for a network and the images to calibrate it with, all of one shape, which may be the only one that it
    takes then.
    """

    build: Build
    needs: tuple[str, ...] = ()

    def missing(self) -> list[str]:
        """What it needs and this machine does not have."""
        return [name for name in self.needs if not (importlib.util.find_spec(name) or shutil.which(name))]


ENGINES = {
    DEFAULT: Engine(lambda network, images: network.heads),
    "PyTorch, fp32": Engine(_in_fp32),
    "torch.compile (inductor)": Engine(_compiled, ("g++",)),
    "ONNX Runtime, fp32": Engine(_onnx_runtime, ("onnx", "onnxscript", "onnxruntime")),
    "OpenVINO, fp32": Engine(partial(_openvino, precision="f32"), ("openvino",)),
    "OpenVINO, bf16": Engine(partial(_openvino, precision="bf16"), ("openvino",)),
    "OpenVINO, int8": Engine(partial(_openvino, precision="bf16", quantised=True), ("openvino", "nncf")),
}


@dataclass(frozen=True)
class Stage:
    """A network of the cascade with images that the cascade gives to it.

    Attributes:
        network: dual-task network.
        truncation: truncation distance of each structure in mm.
        image: [1, 1, X, Y, Z], of the scan.
        calibration: images of other scans, same shape.
        flips: mirror images that it is averaged over beside the image.
    """

    network: nn.Module
    truncation: torch.Tensor
    image: torch.Tensor
    calibration: Sequence[torch.Tensor]
    flips: Sequence[Sequence[int]] = ()

    def outputs(self, forward: Pass) -> torch.Tensor:
        """Averaged outputs of an engine on the image."""
        return head_outputs(self.image, SimpleNamespace(heads=forward), self.flips)

    def masks(self, outputs: torch.Tensor) -> np.ndarray:
        """Masks of all structures, [2, X, Y, Z]."""
        maps = fuse_heads(outputs, self.network.sharpness, self.truncation, self.network.regression_share)
        return (maps[0, MAPS["probability"]] > 0.5).numpy()


def compare(stage: Stage, engines: Mapping[str, Engine], rounds: int) -> dict[str, dict[str, Any]]:
    """Seconds (wall, CPU, CPU to get ready) and Dice to the default of each engine on a stage."""
    passes, rows = {}, {}
    with torch.no_grad():
        for name, engine in engines.items():
            started = _cpu_with_programs()
            passes[name] = engine.build(stage.network, stage.calibration)
            masks = stage.masks(stage.outputs(passes[name]))
            rows[name] = {"ready": _cpu_with_programs() - started, "seconds": [], "cpu": []}
            if name == DEFAULT:
                expected = masks
            rows[name]["dice"] = {
                structure: overlap(mine, its)
                for structure, mine, its in zip(STRUCTURES, masks, expected, strict=True)
                if its.any() or mine.any()
            }
        for _ in range(rounds):
            for name, forward in passes.items():
                started = time.process_time()
                rows[name]["seconds"].append(timed(stage.outputs, forward)[1])
                rows[name]["cpu"].append(time.process_time() - started)
    return {
        name: {**row, "seconds": statistics.median(row["seconds"]), "cpu": statistics.median(row["cpu"])}
        for name, row in rows.items()
    }


def _cpu_with_programs() -> float:
    """CPU seconds of this process and of the programs that it waited for, a compiler for instance."""
    return sum(os.times()[:4])


def stages_of(scan: Path, calibration: Sequence[Path]) -> dict[str, Stage]:
    """Both networks with the images that the cascade gives to them on these scans."""
    part = inference_parts(datalist=[])
    inferer, network, contract = part("inferer"), part("network"), part("image_format")
    networks = {"localiser": inferer.localiser, "network": network}
    shapes = {"localiser": contract["localiser_shape"], "network": contract["spatial_shape"]}
    seen: dict[str, list[list[torch.Tensor]]] = {name: [] for name in networks}

    def recorded(name: str, heads: Pass, image: torch.Tensor) -> Heads:
        seen[name][-1].append(ResizeWithPadOrCrop(shapes[name], mode="edge")(image[0])[None].as_tensor().contiguous())
        return heads(image)

    for name, each in networks.items():
        each.heads = partial(recorded, name, each.heads)
    for path in (scan, *calibration):
        for images in seen.values():
            images.append([])
        inferer(part("preprocessing")({"image": str(path)})["image"][None], network)
    for each in networks.values():
        del each.heads
    flips = {"localiser": (), "network": inferer.flips}
    return {
        name: Stage(
            each,
            inferer.truncation,
            # Of the last round; its mirror images come behind it.
            seen[name][0][-1 - len(flips[name])],
            [image for images in seen[name][1:] for image in images],
            flips[name],
        )
        for name, each in networks.items()
    }


def verdict(stages: Mapping[str, Mapping[str, Mapping[str, Any]]], engines: Mapping[str, Engine]) -> list[str]:
    """What should be used, in sentences, by the CPU time of one pass of every network and the worst Dice.

    Args:
        stages: results of :func:`compare` by the name of the network.
        engines: those that took part.
    """
    seconds = {name: sum(rows[name]["cpu"] for rows in stages.values()) for name in engines}
    dice = {name: min(min(rows[name]["dice"].values(), default=1.0) for rows in stages.values()) for name in engines}
    equal = [name for name in engines if dice[name] >= EQUAL_MASKS]
    best = min((name for name in equal if not engines[name].needs), key=seconds.__getitem__)
    extras = [name for name in equal if engines[name].needs and seconds[best] / seconds[name] >= WORTH_AN_EXTRA]
    unequal = [f"{name} ({dice[name]:.3f})" for name in engines if name not in equal]
    found = [f"Of what needs no further dependency the fastest at equal masks (Dice {EQUAL_MASKS} and more): {best}."]
    found += [
        f"Worth an extra, {WORTH_AN_EXTRA} times as fast as that and more: "
        + (", ".join(f"{name} ({seconds[best] / seconds[name]:.2f})" for name in extras) or "none")
        + "."
    ]
    return found + ([f"Other masks, whatever the speed: {', '.join(unequal)}."] if unequal else [])


def _lines(result: Mapping[str, Any]) -> list[str]:
    lines = [
        f"Scan {result['scan']}, int8 quantised with {', '.join(result['calibration'])}; median of {result['rounds']} "
        "rounds, each engine with one thread.",
    ]
    for name, stage in result["stages"].items():
        rows = stage["engines"]
        default = rows[DEFAULT]
        structures = list(default["dice"])
        lines += [
            "",
            f"| {name}, {' x '.join(map(str, stage['shape']))}, passes: {stage['passes']} | CPU time relative to the "
            "default | wall time relative to the default | CPU s to get ready "
            f"| {' | '.join(f'Dice to the default, {structure}' for structure in structures)} |",
            "|---" * (4 + len(structures)) + "|",
        ]
        for engine, row in rows.items():
            cells = [row["cpu"] / default["cpu"], row["seconds"] / default["seconds"]]
            dice = [row["dice"].get(structure, 0.0) for structure in structures]
            lines.append(
                f"| {engine} | {' | '.join(f'{cell:.2f}' for cell in cells)} | {row['ready']:.1f} "
                f"| {' | '.join(f'{value:.4f}' for value in dice)} |"
            )
    left_out = [f"{name} (no {', '.join(missing)})" for name, missing in result["left out"].items()]
    if left_out:
        lines += ["", f"Left out, not installed: {'; '.join(left_out)}."]
    return [*lines, "", *result["verdict"]]


def main() -> None:
    """Measure, and report the tables and the verdict."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scan", type=Path, help="to compare the masks on; a synthetic one if none is named")
    parser.add_argument("--calibration", type=Path, nargs="*", help="other scans, to quantise with; likewise")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    missing = {name: engine.missing() for name, engine in ENGINES.items()}
    engines = {name: engine for name, engine in ENGINES.items() if not missing[name]}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        synthetic = Path(folder) / "synthetic.nii.gz"
        if not (arguments.scan and arguments.calibration):
            write_scan(synthetic, _SYNTHETIC)
        scan, calibration = arguments.scan or synthetic, arguments.calibration or [synthetic]
        stages = stages_of(scan, calibration)
        tables = {name: compare(stage, engines, arguments.rounds) for name, stage in stages.items()}
    result = {
        "scan": scan.name,
        "calibration": [path.name for path in calibration],
        "rounds": arguments.rounds,
        "stages": {
            name: {"shape": list(stage.image.shape[2:]), "passes": 1 + len(stage.flips), "engines": tables[name]}
            for name, stage in stages.items()
        },
        "left out": {name: absent for name, absent in missing.items() if absent},
        "verdict": verdict(tables, engines),
    }
    report("engines", result, _lines(result), arguments.output)


if __name__ == "__main__":
    main()
