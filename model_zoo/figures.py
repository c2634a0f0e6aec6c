"""Measured figures for the metadata: ``python -m model_zoo.figures NAME=SUMMARY ...``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dualtask.errors import InputError, print_input_errors_as_one_sentence
from dualtask.files import write_atomically

_METRICS = {"mean_dice": "dice", "mean_nsd_2mm": "surface_dice", "mean_hd95_mm": "hausdorff95_mm"}


def eval_metrics(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Figures for each structure, from the ``summary.json`` of an evaluation.

    ``cases`` is what the mean Dice is taken over, see :func:`dualtask.evaluation.summarise`.
    """
    figures = {}
    for structure, metrics in summary["overall"].items():
        means = {name: _rounded(metrics[metric]["mean"]) for name, metric in _METRICS.items()}
        detection = {
            "sensitivity": _rounded(metrics["detection"]["sensitivity"]),
            "false_positives_per_scan": _rounded(metrics["detection"]["false_positives_per_scan"]),
        }
        figures[structure] = {"cases": metrics["dice"]["n"], **means, **detection}
    return figures


def write_eval_metrics(metadata: Path, summaries: Mapping[str, Path]) -> dict[str, Any]:
    """Replace ``eval_metrics`` of the metadata, so that no figure of other weights stays.

    Args:
        metadata: the bundle's ``metadata.json``.
        summaries: what was evaluated, as readers shall see it -> its ``summary.json``.

    Raises:
        InputError: a summary is absent or none.
    """
    figures = {}
    for name, path in summaries.items():
        try:
            figures[name] = eval_metrics(json.loads(path.read_text()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{path} is no summary of an evaluation: give the summary.json that evaluating wrote."
            ) from error
    content = {**json.loads(metadata.read_text()), "eval_metrics": figures}
    write_atomically(metadata, lambda temporary: temporary.write_text(json.dumps(content, indent=4) + "\n"))
    return figures


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _named(argument: str) -> tuple[str, Path]:
    name, separator, path = argument.rpartition("=")
    if not separator or not name:
        raise argparse.ArgumentTypeError(f"{argument!r} is not NAME=SUMMARY")
    return name, Path(path)


def main() -> None:
    """Write the figures into the bundle's metadata."""
    print_input_errors_as_one_sentence()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("summaries", nargs="+", type=_named, metavar="NAME=SUMMARY", help="data and its summary.json")
    parser.add_argument("--bundle", type=Path, default=Path("bundle"))
    arguments = parser.parse_args()
    metadata = arguments.bundle / "configs" / "metadata.json"
    print(json.dumps(write_eval_metrics(metadata, dict(arguments.summaries)), indent=1))
    print(f"Written to {metadata}: run `make manifest`.")


if __name__ == "__main__":
    main()
