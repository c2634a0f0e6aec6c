"""Runs the cascade on cases and spoilt versions of them, and looks at scans of the training."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.utils import convert_to_tensor
from torch import nn

import dualtask
from dualtask.doubt import scan_indicators
from dualtask.doubt.model import Familiar
from dualtask.inferers import CascadeInferer
from dualtask.inferers.cascade import mean_over
from dualtask.inferers.evidence import Evidence, overlap
from dualtask.inferers.heads import embedded_outputs
from dualtask.inferers.region import enlarged, largest_component, region_of_interest
from dualtask.scans import DiskCache
from dualtask.scans.datalists import Case
from dualtask.scans.writing import case_name
from dualtask_research.doubt.results import Result
from dualtask_research.doubt.versions import VERSIONS, Scan, misled


@dataclass(frozen=True)
class Chain:
    """The cascade of the bundle, and the preprocessing of labelled cases.

    Attributes:
        inferer, network: as ``configs/inference.json`` makes them.
        preprocessing: of ``configs/train.json``: cases with paths become tensors on the network's grid.
        voxel_mm3: volume of a voxel of that grid.
    """

    inferer: CascadeInferer
    network: nn.Module
    preprocessing: Any
    voxel_mm3: float


def read_chain(weights: str, localiser_weights: str) -> Chain:
    """The bundle's cascade with given weights.

    Raises:
        RuntimeError: the weights cannot be used; an InputError is its cause.
    """
    configs = Path(dualtask.bundle_root()) / "configs"
    inference, training = ConfigParser(), ConfigParser()
    inference.read_config(str(configs / "inference.json"))
    inference.update({"weights": weights, "localiser_weights": localiser_weights, "datalist": []})
    training.read_config(str(configs / "train.json"))
    spacing = inference.get_parsed_content("image_format")["spacing"]
    return Chain(
        inference.get_parsed_content("inferer"),
        inference.get_parsed_content("network"),
        training.get_parsed_content("preprocessing"),
        math.prod(spacing),
    )


def preprocessed(cases: Sequence[Case], chain: Chain, cache_dir: str | os.PathLike[str]) -> Iterator[tuple[Case, Scan]]:
    """Cases with their scans on the network's grid, kept in a folder as trainings keep them."""
    scans = DiskCache(cases, chain.preprocessing, cache_dir)
    for case, scan in zip(cases, scans, strict=True):
        yield case, {key: convert_to_tensor(scan[key], track_meta=False) for key in ("image", "label", "known")}


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
            region = region_of_interest(organ, chain.inferer.region_size, chain.inferer.margin)
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
