"""The data set that training and inference use when none is given."""

from __future__ import annotations

from dualtask.phantom.decathlon import write_decathlon
from dualtask.phantom.generator import Case
from dualtask.phantom.sites import SITES, Site


def synthetic_dataset(output: str, cases_per_site: int = 5, seed: int = 0) -> str:
    """Write the embedded default data, scans of all four synthetic sites, unless it is there already.

    Returns:
        ``output``, a folder in the layout of the Medical Segmentation Decathlon.
    """

    def report(site: Site, number: int, case: Case | None) -> None:
        if case is not None:
            print(f"synthetic scan {site.name}_{number:03d} written", flush=True)

    write_decathlon(output, list(SITES.values()), cases_per_site, seed, report=report)
    return output
