"""Cases with the network's maps on them, cut to where an annotator may click."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.transforms import Compose
from monai.utils import convert_to_tensor
from scipy import ndimage

import dualtask
from dualtask.evaluation.known import read_known
from dualtask.refinement import ScanMaps, keeping_maps
from dualtask.scans.datalists import Case
from dualtask.scans.labels import read_case_label
from dualtask.scans.reading import read_volume
from dualtask.scans.writing import case_name

_MARGIN_MM = 40.0


@dataclass(frozen=True)
class ClickCase:
    """A case around its organ.

    Attributes:
        name, site: of the case.
        maps: of the part of the scan around what the reference or the network takes for the organ.
        reference: uint8 [X, Y, Z], 0 background, 1 pancreas, 2 lesion; 0 where nothing is known.
        known: bool [X, Y, Z].
    """

    name: str
    site: str
    maps: ScanMaps
    reference: np.ndarray
    known: np.ndarray


def reader_of_cases() -> Callable[[Case], ClickCase]:
    """A function that runs the network of ``configs/inference.json`` on a case and reads its reference."""
    parser = ConfigParser()
    parser.read_config(str(Path(dualtask.bundle_root()) / "configs" / "inference.json"))
    parser.update({"datalist": []})
    preprocessing, inferer, network = map(parser.get_parsed_content, ("preprocessing", "inferer", "network"))
    postprocessing = Compose(keeping_maps(parser.get_parsed_content("postprocessing").transforms))

    def read(case: Case) -> ClickCase:
        data = preprocessing({"image": case["image"], "unknown": case.get("unknown")})
        with torch.no_grad():
            data["pred"] = inferer(data["image"][None], network)[0]
        data = postprocessing(data)
        scan = read_volume(case["image"])
        label = read_case_label(case, scan)
        known = read_known(case, scan)
        known = torch.ones_like(convert_to_tensor(scan, track_meta=False), dtype=torch.bool) if known is None else known
        reference = (convert_to_tensor(label, track_meta=False) * known)[0].numpy().astype(np.uint8)
        name, site = case_name(case["image"]), str(case.get("site", ""))
        return cut(ClickCase(name, site, ScanMaps.of(scan, data), reference, known[0].numpy()))

    return read


def cut(case: ClickCase) -> ClickCase:
    """The case without what lies more than 4 cm from the organ, in the reference and as the network sees it."""
    seen = (case.reference > 0) | (case.maps.label > 0)
    if not seen.any():
        return case
    (box,) = ndimage.find_objects(seen.astype(np.uint8))
    region = tuple(
        slice(max(side.start - int(_MARGIN_MM / mm), 0), side.stop + int(_MARGIN_MM / mm))
        for side, mm in zip(box, case.maps.spacing, strict=True)
    )
    start = tuple(first - side.start for first, side in zip(case.maps.start, region, strict=True))
    maps = replace(case.maps, image=case.maps.image[region], label=case.maps.label[region], start=start)
    return replace(case, maps=maps, reference=case.reference[region], known=case.known[region])
