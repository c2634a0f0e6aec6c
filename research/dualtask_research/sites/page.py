"""Table and page of the check of a site."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import monai

from dualtask.report.colours import STRUCTURE_COLOURS
from dualtask.report.rendering import number, render_page
from dualtask.structures import STRUCTURES
from dualtask_research.sites.inspection import CaseCheck, SiteCheck
from dualtask_research.sites.plausibility import AS_STATED, mean_contrasts, mirroring_words

COLUMNS = ("case", "voxels", "spacing mm", "pancreas ml", "lesion ml", "organ HU", "contrast HU", "state")

_TEMPLATE = Path(__file__).with_name("site.html.jinja")


def table_rows(check: SiteCheck) -> list[tuple[str, ...]]:
    """One row of ``COLUMNS`` a case."""
    return [_row(case) for case in check.cases]


def findings(check: SiteCheck) -> dict[str, list[str]]:
    """Problems and remarks, those of the copy as a whole first."""
    return {
        "Problems": [*check.problems, *(sentence for case in check.cases for sentence in case.problems)],
        "Remarks": [*check.remarks, *(sentence for case in check.cases for sentence in case.remarks)],
    }


def counts(check: SiteCheck) -> str:
    """How many cases there are, in words."""
    labelled = sum(bool(case.volumes_ml) for case in check.cases)
    with_lesion = sum(case.volumes_ml.get("lesion", 0) > 0 for case in check.cases)
    lesions = f"{with_lesion} with a lesion" if "lesion" in check.site.annotates else "lesions are not annotated"
    return f"{len(check.cases)} scans, {labelled} with a label that can be read, {lesions}."


def write_site_page(output_path: str | os.PathLike[str], check: SiteCheck, data: str) -> None:
    """Write one HTML page that needs no other file and no network."""
    means = mean_contrasts([case.contrasts for case in check.cases if case.contrasts])
    render_page(
        output_path,
        _TEMPLATE,
        title=f"Check of the site {check.site.name}",
        synthetic=check.site.synthetic,
        site=check.site,
        counts=counts(check),
        findings=findings(check),
        contrasts={mirroring_words(mirroring): mean for mirroring, mean in means.items()},
        columns=COLUMNS,
        rows=table_rows(check),
        colours={name: colour for name, colour in STRUCTURE_COLOURS.items() if name in check.site.annotates},
        scans=[{"name": case.name, "uri": _uri(case)} for case in check.cases],
        provenance=_provenance(check, data),
    )


def _row(case: CaseCheck) -> tuple[str, ...]:
    return (
        case.name,
        " x ".join(map(str, case.shape)),
        " x ".join(f"{side:.2f}" for side in case.spacing),
        *(number(case.volumes_ml.get(structure), 1) for structure in STRUCTURES),
        number(case.organ_hu, 0),
        number(case.contrasts.get(AS_STATED), 0),
        "problem" if case.problems else "look" if case.remarks else "good",
    )


def _uri(case: CaseCheck) -> str | None:
    return "data:image/png;base64," + base64.b64encode(case.thumbnail).decode("ascii") if case.thumbnail else None


def _provenance(check: SiteCheck, data: str) -> Mapping[str, str]:
    site = check.site
    labels: Sequence[str] = [f"{value} {name}" for value, name in site.label_map.items()]
    return {
        "data": data,
        "source": site.source,
        "licence": site.licence,
        "label map": ", ".join(labels),
        "annotates": ", ".join(site.annotates),
        "label axes": site.label_axes or "by their affine",
        "MONAI": monai.__version__,
    }
