"""docs/reference/performance.md from the figures that the benchmarks left: targets, tables, a picture.

PYTHONPATH=bundle python benchmarks/performance_page.py docs/results/performance docs/reference/performance.md

Figures of a machine with a GPU (``make bench GPU=1``) get a column of their own beside the targets.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from dualtask.files import write_atomically
from dualtask.structures import STRUCTURES
from figures import bundle_metadata, sentence

SECTIONS = {
    "inference": "Inference of a large scan",
    "inference_thin": "Inference of 20 slices",
    "real_scans": "Scans of patients, stage by stage",
    "storage": "Reading and writing, way by way",
    "imports": "What the command imports before it reads a scan",
    "training_step": "A training step",
    "scaling": "Scaling",
    "responsiveness": "The server",
    "limit": "The limit of the machine, and where the time goes",
    "precision": "Precision and memory format",
    "engines": "Other engines than PyTorch as it is",
}
_LOADED = ("crop and augmentation", "targets")
_NETWORKS = ("localise", "segment")
_PICTURE = "performance.png"
_FULL_RESOLUTION = "DynUNet as in nnU-Net, sliding window, fp32"

_INTRODUCTION = """\
# Performance

Written by `make bench`; each section says on what it was measured. Within a table all contestants ran in turns on one
machine, so that their ratios mean something and the seconds little. Scans are synthetic where a section does not name
files of patients. `benchmarks/` says at the head of each file what is timed and what is not.
"""

Figures = Mapping[str, Mapping[str, Any]]
Records = Mapping[str, Mapping[str, Any]]


def targets(found: Figures) -> Iterator[tuple[str, str, str, bool]]:
    """What was to be reached: what, target, measured, whether reached."""
    large, thin = found["inference"], found["inference_thin"]
    for result in (large, thin):
        rows, shape = result["contestants"], " x ".join(map(str, result["shape"]))
        ratio = rows["ours"]["seconds"] / rows[_FULL_RESOLUTION]["seconds"]
        if result is large:
            name = f"inference of {shape} voxels, of the time of a full-resolution sliding window"
            yield name, "at most 1/100", f"1/{1 / ratio:.0f}", ratio <= 1 / 100
        peak = rows["ours"]["peak"]
        yield f"peak memory of inference, {shape} voxels", "below 2 GiB", f"{peak:.1f} GiB", peak < 2
    for name, row in found["real_scans"]["scans"].items():
        ratio, peak = row["chain"]["cpu"] / row["read once"]["cpu"], max(row["peaks"].values())
        yield f"inference of {name}, of the CPU time of reading the file once", "at most 2", f"{ratio:.1f}", ratio <= 2
        yield f"peak memory of inference, {name}", "below 2 GiB", f"{peak:.1f} GiB", peak < 2
    *passes, product = found["limit"]["GFLOP/s"]
    for name in passes:
        share = found["limit"]["GFLOP/s"][name] / found["limit"]["GFLOP/s"][product]
        yield f"{name}, of the rate of a matrix product", "at least 50 %", f"{100 * share:.0f} %", share >= 0.5
    command = found["real_scans"]["command"]
    share = command["start"]["cpu"] / command["whole"]["cpu"]
    name = f"start of the command, of its CPU time on {command['scan']}"
    yield name, "below 40 %", f"{100 * share:.0f} %", share < 0.4
    server = found["responsiveness"]
    first, start, longest = server["thin"]["first"], server["start"], server["meanwhile"]["longest"]
    yield "first proposal of the server for 20 slices", "within 5 s", f"{first:.1f} s", first <= 5
    yield "start of the server", "below 10 s", f"{start:.1f} s", start < 10
    yield "any other request meanwhile", "below 0.2 s", f"{longest:.2f} s at the longest", longest < 0.2
    steps = {name: sum(parts.values()) for name, parts in found["training_step"]["seconds"].items()}
    for name in (name for name in steps if name.startswith("reference recipe")):
        ratio = steps["ours"] / steps[name]
        yield f"training step, of the time of the {name}", "at most 1/2", f"{ratio:.2f}", ratio <= 0.5
    ours = found["training_step"]["seconds"]["ours"]
    share = sum(seconds for part, seconds in ours.items() if part.startswith("targets")) / steps["ours"]
    yield "targets, of a training step", "below 5 %", f"{100 * share:.1f} %", share < 0.05
    loader = sum(seconds for part, seconds in ours.items() if part.startswith(_LOADED))
    share = loader / (steps["ours"] - loader)
    name = "crops and targets by one loader process, of the rest of a training step"
    yield name, "below 100 %", f"{100 * share:.0f} %", share < 1


def reasons(found: Figures) -> Iterator[str]:
    """What stands between the command and two of its targets, by the same figures."""
    rows, start = found["real_scans"]["scans"].values(), found["real_scans"]["command"]["start"]["cpu"]
    networks = [sum(row["stages"].get(name, 0.0) for name in _NETWORKS) / row["read once"]["seconds"] for row in rows]
    yield (
        f"The networks alone take {min(networks):.1f} to {max(networks):.1f} times as long as reading these files "
        "once; what other ways of reading and writing would give is [below](#reading-and-writing-way-by-way)."
    )
    whole, without = (seconds for name, seconds in found["imports"]["cpu"].items() if "monai" in name)
    yield (
        f"Of the command's start {100 * whole / start:.0f} % is the import of MONAI, before any code of the bundle "
        f"runs; with packages left out that inference does not need it takes {without / whole:.2f} of that "
        "([below](#what-the-command-imports-before-it-reads-a-scan)). A server or a list of scans starts once."
    )


def draw(found: Figures, path: Path) -> None:
    """Bars of the contestants, and time and memory over the size of a scan."""
    figure = Figure(figsize=(12, 4), layout="constrained")
    bars, curves = figure.subplots(1, 2, width_ratios=(3, 2))
    rows = found["inference"]["contestants"]
    ours = rows["ours"]["seconds"]
    ratios = [row["seconds"] / ours for row in rows.values()]
    bars.barh(list(rows), ratios, color=["tab:blue" if name.startswith("ours") else "tab:gray" for name in rows])
    for place, ratio in enumerate(ratios):
        bars.text(ratio, place, f" {ratio:.1f}", va="center")
    bars.set(
        xscale="log", xlabel="time relative to ours", title="Inference, synthetic scan", xlim=(0.5, 8 * max(ratios))
    )
    bars.invert_yaxis()
    scans = found["scaling"]["inference"]
    for threads in sorted({row["threads"] for row in scans}):
        chosen = [row for row in scans if row["threads"] == threads]
        millions = [row["shape"][0] * row["shape"][1] * row["shape"][2] / 1e6 for row in chosen]
        curves.plot(millions, [row["seconds"] for row in chosen], "o-", label=f"s, {threads} thread(s)")
    curves.plot(millions, [row["peak"] for row in chosen], "s--", color="tab:gray", label="peak memory, GiB")
    curves.set(xlabel="million voxels", title="Ours by the size of the scan", ylim=(0, None))
    curves.legend()
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=110))


def accuracy(metadata: Mapping[str, Any]) -> list[str]:
    """What the timed weights are worth, as the bundle's metadata says it: fast and wrong is no record."""
    lines = [
        f"The Dice that goes with these times, bundle version {metadata['version']}:",
        "",
        "| scans | pancreas | lesion, cases with one |",
        "|---|---|---|",
    ]
    for scans, found in metadata["eval_metrics"].items():
        cells = (f"{found[structure]['mean_dice']:.2f} (n = {found[structure]['cases']})" for structure in STRUCTURES)
        lines.append(f"| {scans} | {' | '.join(cells)} |")
    return lines


def page(records: Records, picture: str, metadata: Mapping[str, Any], with_gpu: Records | None = None) -> str:
    """The page in Markdown.

    Args:
        records: of the benchmarks, by their file names.
        picture: its path from the page.
        metadata: of the bundle.
        with_gpu: records of a machine with a GPU.
    """
    columns = {"measured": records, **({_machine(with_gpu): with_gpu} if with_gpu else {})}
    reached = [
        {name: (wanted, f"{got}, {'yes' if met else '**no**'}") for name, wanted, got, met in targets(_figures(column))}
        for column in columns.values()
    ]
    lines = [
        _INTRODUCTION,
        *accuracy(metadata),
        "",
        f"| target | wanted | {', reached | '.join(columns)}, reached |",
        "|---" * (2 + len(columns)) + "|",
        # Another machine may have been given other scans.
        *(
            f"| {name} | {wanted} | {' | '.join(column.get(name, ('', '-'))[1] for column in reached)} |"
            for name, (wanted, _) in reached[0].items()
        ),
        "",
        *(f"- {reason}" for reason in reasons(_figures(records))),
        "",
        f"![contestants and scaling]({picture})",
        "",
    ]
    for name, title in SECTIONS.items():
        record = records[name]
        lines += [f"## {title}", "", *record["markdown"], "", f"Measured on {sentence(record['surroundings'])}.", ""]
    return "\n".join(lines)


def _figures(records: Records) -> Figures:
    return {name: record["figures"] for name, record in records.items()}


def _machine(records: Records) -> str:
    surroundings = records["inference"]["surroundings"]
    return surroundings["gpu"] or surroundings["processor"]


def read(folder: Path) -> Records:
    """The records in a folder."""
    return {name: json.loads((folder / f"{name}.json").read_text()) for name in SECTIONS}


def main() -> None:
    """Write the page and its picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="folder of the JSON files")
    parser.add_argument("page", type=Path)
    parser.add_argument("--gpu", type=Path, help="folder of the JSON files of a machine with a GPU")
    arguments = parser.parse_args()
    records = read(arguments.results)
    picture = arguments.results / _PICTURE
    draw(_figures(records), picture)
    with_gpu = read(arguments.gpu) if arguments.gpu else None
    text = page(records, os.path.relpath(picture, arguments.page.parent), bundle_metadata(), with_gpu)
    write_atomically(arguments.page, lambda temporary: temporary.write_text(text))


if __name__ == "__main__":
    main()
