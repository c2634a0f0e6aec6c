"""Runs the cascade on cases and spoilt versions of them, and looks at scans of the training."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from monai.utils import convert_to_tensor

from dualtask.doubt import scan_indicators
from dualtask.doubt.model import Familiar
from dualtask.inferers import CascadeInferer
from dualtask.inferers.cascade import mean_over
from dualtask.inferers.evidence import Evidence, overlap
from dualtask.inferers.heads import embedded_outputs
from dualtask.inferers.region import enlarged, largest_component
from dualtask.scans.datalists import Case
from dualtask.scans.writing import case_name
from dualtask_research.chain import Chain, Scan, preprocessed
from dualtask_research.doubt.results import Result
from dualtask_research.doubt.versions import VERSIONS, misled


def training_embeddings(
    cases: Sequence[Case], chain: Chain, cache_dir: str | os.PathLike[str], per_site: int
) -> list[tuple[float, ...]]:
    """Mean embedding over the reference's organ of some training cases of each site."""
    seen: Counter[str] = Counter()
    chosen = []
    for case in cases:
        site = str(case.get("site", ""))
        if "label" in case and seen[site] < per_site:
            seen[site] += 1
            chosen.append(case)
    embeddings = []
    for _, scan in preprocessed(chosen, chain, cache_dir):
        organ = scan["label"][0].numpy() > 0
        if organ.any():
            region = chain.inferer.region_around(organ)
            crop, _ = enlarged(scan["image"][:, *region][None], chain.inferer.region_size)
            with torch.no_grad():
                _, embedding = embedded_outputs(crop, chain.network)
            embeddings.append(mean_over(organ[region], chain.inferer.region_size, embedding))
    return [embedding for embedding in embeddings if embedding is not None]


def results_of_versions(
    cases: Sequence[Case], chain: Chain, cache_dir: str | os.PathLike[str], familiar: Familiar
) -> Iterator[Result]:
    """Results of all versions of cases that their scans allow for."""
    for case, scan in preprocessed(cases, chain, cache_dir):
        name, site = case_name(case["image"]), str(case.get("site", ""))
        for title, version in VERSIONS.items():
            spoilt = version.change(scan)
            if spoilt is not None:
                inferer = misled(chain.inferer) if version.misled else chain.inferer
                yield replace(_result(spoilt, chain, inferer, familiar), case=name, site=site, version=title)


def _result(scan: Scan, chain: Chain, inferer: CascadeInferer, familiar: Familiar) -> Result:
    maps = inferer(scan["image"][None], chain.network)[0]
    evidence = Evidence.of(maps)
    plain = convert_to_tensor(maps, track_meta=False)
    values = scan_indicators(plain, scan["image"], scan["known"], chain.voxel_mm3, evidence)
    values["embedding_distance"] = familiar.distance(evidence.embedding)
    known = scan["known"][0].numpy() > 0.5
    organ, reference = largest_component(plain[0].numpy() > 0.5), scan["label"][0].numpy() > 0
    return Result("", "", "", overlap(organ & known, reference & known), values)
