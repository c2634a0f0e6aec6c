"""From what inference returns to maps of their own names, and to a label map."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from dualtask.maps import MAPS, scan_uncertainty


class SplitMapsd(MapTransform):
    """Splits the channels of :class:`dualtask.inferers.CascadeInferer`.

    The key keeps the probabilities [2, X, Y, Z]; each of ``maps`` is added under its own name, and
    ``scan_uncertainty`` {structure: [0, 1]} with them.

    Args:
        keys: key of the tensor [6, X, Y, Z].
        maps: which to add: "probability", "distance" (mm), "uncertainty".
    """

    def __init__(self, keys: KeysCollection, maps: Sequence[str] = ()) -> None:
        super().__init__(keys)
        self.maps = tuple(maps)

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        result = dict(data)
        for key in self.key_iterator(result):
            whole = result[key]
            result["scan_uncertainty"] = scan_uncertainty(torch.as_tensor(whole))
            result[key] = whole[MAPS["probability"]]
            result.update({name: whole[MAPS[name]] for name in self.maps})
        return result


class LabelMapd(MapTransform):
    """Label map uint8 [1, X, Y, Z] of the probabilities [2, X, Y, Z] of the nested structures.

    A voxel is pancreas where the probability of the organ exceeds the threshold, and lesion where in addition that of
    the lesion does: lesions lie inside the organ.

    Args:
        keys: keys of the probabilities.
        threshold: in (0, 1), one for all scans and structures.
    """

    def __init__(self, keys: KeysCollection, threshold: float = 0.5) -> None:
        super().__init__(keys)
        self.threshold = float(threshold)

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        result = dict(data)
        for key in self.key_iterator(result):
            pancreas, lesion = (result[key] > self.threshold).split(1)
            result[key] = pancreas.to(torch.uint8) + (pancreas & lesion).to(torch.uint8)
        return result
