"""Command line: write synthetic sites to disk."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path

from dualtask.errors import InputError
from dualtask.phantom.decathlon import write_decathlon
from dualtask.phantom.generator import Case, generate_case
from dualtask.phantom.sites import SITES, Site


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m dualtask.phantom", description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder for imagesTr/, labelsTr/ and dataset.json")
    parser.add_argument("--sites", nargs="+", choices=list(SITES), default=list(SITES))
    parser.add_argument("--cases-per-site", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first-case", type=int, default=0)
    parser.add_argument("--matrix", type=int, help="pixels per side, 512 for clinical size; default: the site's own")
    parser.add_argument("--dicom", action="store_true", help="also write each case as a DICOM series under dicom/")
    return parser.parse_args()


def _write(arguments: argparse.Namespace) -> None:
    if arguments.cases_per_site < 1 or arguments.seed < 0 or arguments.first_case < 0:
        raise InputError("--cases-per-site must be at least 1, --seed and --first-case at least 0: give such numbers.")
    if arguments.matrix is not None and not 32 <= arguments.matrix <= 1024:
        raise InputError(f"--matrix {arguments.matrix} is outside 32 to 1024: choose a number in that range.")
    sites = [SITES[name] for name in dict.fromkeys(arguments.sites)]
    total, started, done = len(sites) * arguments.cases_per_site, time.monotonic(), 0

    def report(site: Site, number: int, case: Case | None) -> None:
        nonlocal done
        done += 1
        if case is None:
            what = "exists, kept"
        else:
            what = f"{'x'.join(map(str, case.image.shape))}, {case.phase}, {case.lesion or 'no lesion'}"
        name = f"{site.name}_{number:03d}"
        if arguments.dicom:
            _write_dicom(arguments.output / "dicom" / name, site, number, case, arguments)
        print(f"[{done}/{total}] {name}: {what} ({time.monotonic() - started:.0f} s)", flush=True)

    description = write_decathlon(
        arguments.output,
        sites,
        arguments.cases_per_site,
        arguments.seed,
        arguments.first_case,
        arguments.matrix,
        report,
    )
    print(f"wrote {description}")


def _write_dicom(folder: Path, site: Site, number: int, case: Case | None, arguments: argparse.Namespace) -> None:
    """Write the series unless it is there; the folder gets its name when it is complete."""
    from dualtask.phantom.dicom import write_dicom_series  # pydicom is needed for this option only

    if folder.exists():
        return
    scratch = folder.with_name(f".{folder.name}")
    shutil.rmtree(scratch, ignore_errors=True)
    write_dicom_series(scratch, case or generate_case(site, arguments.seed, number, arguments.matrix))
    scratch.rename(folder)


if __name__ == "__main__":
    try:
        _write(_arguments())
    except InputError as error:
        sys.exit(f"error: {error}")
