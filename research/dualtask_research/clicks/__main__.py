"""``python -m dualtask_research.clicks --synthetic <folder> --real <folder> --page docs/reference/clicks.md ...``."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import astuple, fields
from pathlib import Path

import torch

from dualtask.errors import print_input_errors_as_one_sentence
from dualtask.files import write_table
from dualtask.scans import decathlon_datalist
from dualtask.scans.datalists import Case
from dualtask.scans.writing import case_name
from dualtask_research.clicks.cases import reader_of_cases
from dualtask_research.clicks.page import draw, write_page
from dualtask_research.clicks.study import Corrected, corrections


def main() -> None:
    """Let a simulated annotator click on cases that the network was not trained on, and write what it is worth."""
    parser = argparse.ArgumentParser(prog="python -m dualtask_research.clicks", description=main.__doc__)
    parser.add_argument("--synthetic", type=Path, help="Decathlon folder of computed scans, all of which take part")
    parser.add_argument("--real", type=Path, help="Decathlon folder of real scans")
    parser.add_argument("--real_cases", type=Path, help="config whose `case_names` are the real scans that take part")
    parser.add_argument("--answers", type=Path, required=True, help="JSON file that benchmarks/clicks.py wrote")
    parser.add_argument("--table", type=Path, required=True, help="CSV file to write")
    parser.add_argument("--page", type=Path, required=True, help="Markdown file to write")
    parser.add_argument("--picture", type=Path, required=True, help="PNG file to write")
    arguments = parser.parse_args()
    print_input_errors_as_one_sentence()
    torch.set_num_threads(1)
    answers = json.loads(arguments.answers.read_text())
    read = reader_of_cases()
    rows: list[Corrected] = []
    for kind, case in _cases(arguments):
        began = time.monotonic()
        rows += corrections(read(case), kind)
        print(f"{case_name(case['image'])} ({kind}): {time.monotonic() - began:.0f} s", flush=True)
    write_table(arguments.table, [field.name for field in fields(Corrected)], map(_cells, rows))
    draw(rows, arguments.picture)
    write_page(rows, answers, arguments.page, Path(__file__).with_name("page.md.template"), arguments.picture)


def _cases(arguments: argparse.Namespace) -> Iterator[tuple[str, Case]]:
    if arguments.synthetic:
        yield from (("synthetic", case) for case in decathlon_datalist(arguments.synthetic))
    if arguments.real:
        named = json.loads(arguments.real_cases.read_text())["case_names"] if arguments.real_cases else None
        for case in decathlon_datalist(arguments.real):
            if named is None or case_name(case["image"]) in named:
                yield "real", case


def _cells(row: Corrected) -> list[object]:
    return [f"{cell:.4f}" if isinstance(cell, float) else cell for cell in astuple(row)]


if __name__ == "__main__":
    main()
