"""What the Model Zoo asks of a bundle, by our own reading of its CONTRIBUTING.md and of what its CI looks at."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from model_zoo.folder import LARGEST_FILE, described_values, pretty_json

_FILES = (
    "LICENSE",
    "configs/metadata.json",
    "configs/inference.json",
    "models/model.pt",
    "docs/README.md",
    "docs/data_license.txt",
)

_METADATA: dict[str, type | tuple[type, ...]] = {
    "schema": str,
    "version": str,
    "changelog": dict,
    "monai_version": str,
    "pytorch_version": str,
    "numpy_version": str,
    "required_packages_version": dict,
    "name": str,
    "task": str,
    "description": str,
    "authors": str,
    "copyright": str,
    "data_source": str,
    "data_type": str,
    "eval_metrics": dict,
    "intended_use": str,
    "references": list,
    "network_data_format": dict,
}

_IDS = {
    "inference.json": ("bundle_root", "device", "network_def", "inferer", "output_dir", "preprocessing"),
    "train.json": (
        "bundle_root",
        "device",
        "dataset_dir",
        "output_dir",
        "val_interval",
        "train#trainer#max_epochs",
        "train#dataset#data",
        "train#handlers",
        "train#inferer",
        "validate#evaluator",
        "validate#handlers",
        "validate#dataset#data",
        "validate#inferer",
        "validate#postprocessing",
        "validate#key_metric",
    ),
}

_SECTIONS = (
    "Authors",
    "Tags",
    "Model Description",
    "Data",
    "Preprocessing",
    "Performance",
    "System Configuration",
    "Limitations",
    "Citation Info",
    "References",
)

_LARGEST_OF_PRE_COMMIT = 1024 * 1024  # bytes

_OF_A_MACHINE = re.compile(r"/(home|root|Users|work)/\w")


def problems(folder: Path) -> list[str]:
    """What the Model Zoo would refuse of a bundle's folder, one sentence each."""
    return [*_missing(folder), *_of_files(folder), *_of_metadata(folder), *_of_configs(folder), *_of_readme(folder)]


def left_to_do(folder: Path) -> list[str]:
    """What only a person can do before and when the folder is submitted."""
    metadata = _json(folder / "configs" / "metadata.json")
    steps = []
    if not metadata.get("eval_metrics"):
        steps.append(
            "Measure the weights and fill in eval_metrics: "
            '`python -m model_zoo.figures "<data>=<output_dir>/summary.json" ...`, then `make manifest zoo`.'
        )
    if (folder / "large_files.yml").is_file():
        steps.append("Upload the files that large_files.yml names, and put their public addresses into it.")
    commit = "Open a ticket there, a branch [ticket]-[task], and a pull request to dev with signed-off commits."
    if any(path.stat().st_size > _LARGEST_OF_PRE_COMMIT for path in folder.rglob("*") if path.is_file()):
        commit += (
            " Where its pre-commit is installed, it stops at files of more than 1 MB, which the CI takes:"
            " commit with SKIP=check-added-large-files."
        )
    return [
        *steps,
        "Agree on authors and copyright holder (docs/README.md and configs/metadata.json), and on the citation.",
        "Check that docs/data_license.txt names the data of these weights, and that licences let them be published.",
        "With internet, in the bundle's folder: `python -m monai.bundle verify_metadata --meta_file "
        "configs/metadata.json --filepath eval/schema.json` (the official schema is downloaded).",
        f"In a checkout of the Model Zoo with this over it: `python ci/verify_bundle.py -b {folder.name}`, "
        f"`python ci/unit_tests/runner.py --b {folder.name}`, `./runtests.sh --codeformat`.",
        commit,
    ]


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def _missing(folder: Path) -> Iterator[str]:
    linked = (folder / "large_files.yml").read_text() if (folder / "large_files.yml").is_file() else ""
    for name in _FILES:
        if not (folder / name).is_file() and f'"{name}"' not in linked:
            yield f"{name} is missing."


def _of_files(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        name = path.relative_to(folder).as_posix()
        if path.stat().st_size > LARGEST_FILE:
            yield f"{name} is larger than {LARGEST_FILE // 10**6} MB."
        if path.suffix in (".json", ".md", ".txt", ".py", ".conf") and _OF_A_MACHINE.search(path.read_text()):
            yield f"{name} names the path of a machine."
        if path.suffix == ".json" and path.read_text() != pretty_json(path.read_text()):
            yield f"{name} is not indented as the Model Zoo's are."
        if path.suffix == ".py" and described_values(path.read_text()):
            yield f"{name} has a docstring that is not at its beginning."


def _of_metadata(folder: Path) -> Iterator[str]:
    metadata = _json(folder / "configs" / "metadata.json")
    for name, kind in _METADATA.items():
        if not isinstance(metadata.get(name), kind):
            yield f"metadata.json: {name} is missing or no {kind.__name__}."
    if metadata.get("version") not in metadata.get("changelog", {}):
        yield "metadata.json: the changelog does not have the version."
    if metadata.get("name") != folder.name:
        yield "metadata.json: the name is not that of the folder."
    for group in ("inputs", "outputs"):
        for name, form in metadata.get("network_data_format", {}).get(group, {}).items():
            if absent := {"type", "format", "num_channels", "spatial_shape", "dtype", "value_range"} - form.keys():
                yield f"metadata.json: {name} of {group} does not state {', '.join(sorted(absent))}."


def _of_configs(folder: Path) -> Iterator[str]:
    for name, ids in _IDS.items():
        config = _json(folder / "configs" / name)
        for id_ in ids:
            content: Any = config
            for part in id_.split("#"):
                content = content.get(part) if isinstance(content, dict) else None
            if content is None:
                yield f"{name}: there is no {id_}."


def _of_readme(folder: Path) -> Iterator[str]:
    headings = re.findall(r"^#+ \**(.+?)\**$", (folder / "docs" / "README.md").read_text(), re.MULTILINE)
    for section in _SECTIONS:
        if section not in headings:
            yield f"docs/README.md: the section {section} is missing."
