"""Says of a result how far it is to be doubted."""

from __future__ import annotations

import logging
import math
from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.transforms import MapTransform
from monai.utils import ImageMetaKey, convert_to_tensor

from dualtask.doubt.indicators import scan_indicators
from dualtask.doubt.model import DoubtModel
from dualtask.inferers.evidence import Evidence
from dualtask.scans.writing import case_name

logger = logging.getLogger(__name__)


class DoubtResult(MapTransform):
    """Adds ``indicators`` {name: value or None} and ``doubt`` {"score": [0, 1], "warning": sentence or None}.

    The sentence is logged as a warning as well, so that no failure that can be told goes by in silence.

    Args:
        model: see ``dualtask.doubt``; None gives the indicators alone, to fit a model on.
        pred_key: key of what :class:`dualtask.inferers.CascadeInferer` returned, [6, X, Y, Z].
        image_key: key of the preprocessed scan [1, X, Y, Z] with ``known`` beside it.
    """

    def __init__(self, model: DoubtModel | None, pred_key: str = "pred", image_key: str = "image") -> None:
        # MONAI Deploy asks the first step of a chain whether it takes dictionaries: a MapTransform says so.
        super().__init__(pred_key)
        self.model = model
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        maps, image = result[self.keys[0]], result[self.image_key]
        evidence = Evidence.of(maps)
        voxel_mm3 = math.prod(image.pixdim.tolist())
        # A scan that came as an array, and not through the bundle's reader, is known everywhere.
        known = result.get("known", torch.ones_like(image))
        plain, scan, known = (convert_to_tensor(each, track_meta=False) for each in (maps, image, known))
        values = scan_indicators(plain, scan, known, voxel_mm3, evidence)
        result["indicators"] = values
        if self.model is None:
            return result
        values["embedding_distance"] = self.model.familiar.distance(evidence.embedding)
        doubt = self.model.judge(values)
        warning = doubt.warning(case_name(image.meta.get(ImageMetaKey.FILENAME_OR_OBJ, "the scan")))
        if warning:
            logger.warning(warning)
        result["doubt"] = {"score": round(doubt.score, 6), "warning": warning}
        return result
