"""``python -m dualtask_research.sites check|combine|deal|contrast|fetch|assemble``: copies of sites."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from monai.apps import DecathlonDataset

from dualtask.errors import print_input_errors_as_one_sentence
from dualtask_research.sites.combination import combine_sites
from dualtask_research.sites.download import TASK, fetch_msd
from dualtask_research.sites.duplicates import find_duplicates
from dualtask_research.sites.folds import deal_folds
from dualtask_research.sites.inspection import add_duplicates, inspect_site
from dualtask_research.sites.lesion_contrast import write_lesion_contrasts
from dualtask_research.sites.msd_slices import assemble_msd_slices
from dualtask_research.sites.page import COLUMNS, counts, findings, table_rows, write_site_page
from dualtask_research.sites.records import read_fingerprints, write_fingerprints
from dualtask_research.sites.site import read_site


def main() -> None:
    """Run one of the commands."""
    parser = argparse.ArgumentParser(prog="python -m dualtask_research.sites", description=__doc__)
    commands = parser.add_subparsers(required=True)
    check = commands.add_parser("check", help="verify a copy; the exit code is 1 when it has a problem")
    check.add_argument("site", type=Path, help="a file of configs/sites")
    check.add_argument("data", type=Path, help="folder of the copy")
    check.add_argument("--output_dir", type=Path, required=True, help="for the page, and for comparing sites")
    check.set_defaults(run=_check)
    combine = commands.add_parser("combine", help="write a dataset.json of several sites, each scan once")
    combine.add_argument("--site", nargs=2, action="append", required=True, metavar=("SITE", "DATA"), dest="copies")
    combine.add_argument("--checks_dir", type=Path, required=True, help="output_dir of the checks")
    combine.add_argument("--output_dir", type=Path, required=True, help="then serves as dataset_dir")
    combine.set_defaults(run=_combine)
    deal = commands.add_parser("deal", help="write a dataset.json whose sites are folds of patients")
    deal.add_argument("dataset_dir", type=Path, help="Decathlon folder whose cases name their site")
    deal.add_argument("--site", nargs=2, action="append", required=True, metavar=("SITE", "NAME"), dest="sites")
    deal.add_argument("--folds", type=int, default=3)
    deal.add_argument("--without_sites", nargs="*", default=[], metavar="SITE", help="in no fold and not in training")
    deal.add_argument("--output_dir", type=Path, required=True, help="then serves as dataset_dir of a study")
    deal.set_defaults(run=_deal)
    contrast = commands.add_parser(
        "contrast", help="write a table of lesions darker, equal to or brighter than the organ"
    )
    contrast.add_argument("dataset_dir", type=Path, help="Decathlon folder")
    contrast.add_argument("--output", type=Path, required=True, help="CSV file, for --groups of a study's report")
    contrast.set_defaults(run=_contrast)
    fetch = commands.add_parser("fetch", help=f"download {TASK} (11 GB; TMPDIR must have room for it, too)")
    fetch.add_argument("output_dir", type=Path)
    fetch.add_argument("--url", default=DecathlonDataset.resource[TASK])
    fetch.add_argument("--md5", default=DecathlonDataset.md5[TASK])
    fetch.set_defaults(run=_fetch)
    assemble = commands.add_parser("assemble", help="put parts of MSD's scans together from two public repositories")
    assemble.add_argument("output_dir", type=Path)
    assemble.add_argument("--images", type=Path, required=True, help="git directory of elianastasio/MiniGPT-Pancreas")
    assemble.add_argument("--labels", type=Path, required=True, help="git directory of MrGiovanni/TextoMorph")
    assemble.add_argument("--without", nargs="*", default=[], metavar="NNN", help="patients to leave out")
    assemble.set_defaults(run=_assemble)
    arguments = parser.parse_args()
    print_input_errors_as_one_sentence()
    arguments.run(arguments)


def _check(arguments: argparse.Namespace) -> None:
    site = read_site(arguments.site)
    check = inspect_site(site, arguments.data)
    write_fingerprints(arguments.output_dir, check)
    add_duplicates(check, find_duplicates(read_fingerprints(arguments.output_dir)))
    page = arguments.output_dir / f"{site.name}.html"
    write_site_page(page, check, str(arguments.data))
    rows = [COLUMNS, *table_rows(check)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print(f"\n{site.name}: {counts(check)}")
    for heading, sentences in findings(check).items():
        print(f"{heading}: {len(sentences)}")
        for sentence in sentences:
            print(f"  - {sentence}")
    print(f"Pictures: {page}")
    sys.exit(0 if check.sound else 1)


def _combine(arguments: argparse.Namespace) -> None:
    copies = [(read_site(site), Path(data)) for site, data in arguments.copies]
    for scan in combine_sites(copies, arguments.output_dir, read_fingerprints(arguments.checks_dir)):
        print(f"left out, {scan}")
    print(f"wrote {arguments.output_dir / 'dataset.json'}")


def _deal(arguments: argparse.Namespace) -> None:
    dropped = tuple(arguments.without_sites)
    dealt = deal_folds(arguments.dataset_dir, dict(arguments.sites), arguments.folds, arguments.output_dir, dropped)
    for site, count in dealt.items():
        print(f"{site}: {count} cases")
    print(f"wrote {arguments.output_dir / 'dataset.json'}")


def _contrast(arguments: argparse.Namespace) -> None:
    counted = write_lesion_contrasts(arguments.dataset_dir, arguments.output)
    print(", ".join(f"{count} {group}" for group, count in counted.items()))
    print(f"wrote {arguments.output}")


def _fetch(arguments: argparse.Namespace) -> None:
    print(f"{fetch_msd(arguments.output_dir, arguments.url, arguments.md5)} is complete")


def _assemble(arguments: argparse.Namespace) -> None:
    known = assemble_msd_slices(arguments.images, arguments.labels, arguments.output_dir, arguments.without)
    print(f"{len(known)} patients, {sum(known.values())} slices: {arguments.output_dir}")


if __name__ == "__main__":
    main()
