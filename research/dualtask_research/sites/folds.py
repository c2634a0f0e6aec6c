"""The patients of a data set dealt into folds, each a site of its own: cross-validation as sites that are left out."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from dualtask.errors import InputError
from dualtask.evaluation import case_name
from dualtask.files import write_atomically
from dualtask.scans import decathlon_datalist


def deal_folds(
    dataset_dir: str | os.PathLike[str],
    sites: Mapping[str, str],
    folds: int,
    output_dir: str | os.PathLike[str],
    dropped_sites: tuple[str, ...] = (),
) -> dict[str, int]:
    """Write a ``dataset.json`` whose sites are folds; the scans stay where they lie.

    The cases of a site, each another patient, are dealt in the order of their names: the i-th becomes one of the site
    ``<new name>_<1 + i modulo folds>``.

    Args:
        dataset_dir: Decathlon folder whose cases name their ``site``.
        sites: site to deal -> new name; cases of other sites keep theirs.
        folds: how many.
        output_dir: folder for ``dataset.json``.
        dropped_sites: sites that are in no fold and not in training.

    Returns:
        number of cases of each site that was written.

    Raises:
        InputError: see :func:`~dualtask.scans.decathlon_datalist`, or a site has fewer cases than folds.
    """
    cases = decathlon_datalist(dataset_dir, without_sites=dropped_sites)
    for site, name in sites.items():
        dealt = sorted((case for case in cases if case.get("site") == site), key=lambda case: case_name(case["image"]))
        if len(dealt) < folds:
            raise InputError(f"{dataset_dir} has {len(dealt)} cases of {site}: {folds} folds need that many at least.")
        for index, case in enumerate(dealt):
            case["site"] = f"{name}_{1 + index % folds}"
    content = json.loads((Path(dataset_dir) / "dataset.json").read_text())
    content |= {"training": cases, "numTraining": len(cases), "test": [], "numTest": 0}
    write_atomically(
        Path(output_dir) / "dataset.json", lambda temporary: temporary.write_text(json.dumps(content, indent=2) + "\n")
    )
    return dict(sorted(Counter(str(case.get("site", "")) for case in cases).items()))
