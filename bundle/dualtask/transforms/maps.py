"""From what inference returns to maps of their own names, and to a label map."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from scipy import ndimage
from skimage.filters import apply_hysteresis_threshold

from dualtask.maps import MAPS, scan_uncertainty


class SplitMapsd(MapTransform):
    """Splits the channels of :class:`dualtask.inferers.CascadeInferer`.

    The key keeps the soft masks [2, X, Y, Z] that become a label map; each of ``maps`` is added under its own name, and
    ``scan_uncertainty`` {structure: [0, 1]} with them.

    Args:
        keys: key of the tensor [6, X, Y, Z].
        maps: which to add: "probability", "distance" (mm), "uncertainty".
        lesion: makes the lesion's soft mask [1, X, Y, Z] of that tensor, as
            :class:`~dualtask.transforms.ConfirmedLesion` does; None takes its probability.
    """

    def __init__(
        self,
        keys: KeysCollection,
        maps: Sequence[str] = (),
        lesion: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ) -> None:
        super().__init__(keys)
        self.maps = tuple(maps)
        self.lesion = lesion

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        result = dict(data)
        for key in self.key_iterator(result):
            whole = result[key]
            result["scan_uncertainty"] = scan_uncertainty(torch.as_tensor(whole))
            masks = whole[MAPS["probability"]]
            result[key] = masks if self.lesion is None else torch.cat([masks[:1], self.lesion(whole)])
            result.update({name: whole[MAPS[name]] for name in self.maps})
        return result


class LabelMapd(MapTransform):
    """Label map uint8 [1, X, Y, Z] of the soft masks [2, X, Y, Z] of the nested structures.

    A voxel is pancreas where the organ's mask exceeds the threshold, and lesion where in addition the lesion's does:
    lesions lie inside the organ. Where the masks are probabilities, a lesion must be likely somewhere to be believed at
    all (hysteresis thresholding): what a network takes for one in a healthy organ is seldom more than halfway certain.

    Args:
        keys: keys of the soft masks.
        threshold: in (0, 1), one for all scans and structures.
        lesion_peak: probability that a connected lesion exceeds in one of its voxels; up to ``threshold`` all do.
    """

    def __init__(self, keys: KeysCollection, threshold: float = 0.5, lesion_peak: float = 0.0) -> None:
        super().__init__(keys)
        self.threshold = float(threshold)
        self.lesion_peak = float(lesion_peak)

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        result = dict(data)
        for key in self.key_iterator(result):
            organ, lesion = result[key].split(1)
            pancreas = organ > self.threshold
            likely = torch.where(pancreas, lesion, 0)[0].cpu().numpy()
            believed = torch.as_tensor(self._believed(likely), device=pancreas.device)
            result[key] = pancreas.to(torch.uint8) + believed[None]
        return result

    def _believed(self, likely: np.ndarray) -> np.ndarray:
        result = np.zeros(likely.shape, bool)
        # A lesion takes a small part of what is labelled, which spares the search for its components most voxels.
        for box in ndimage.find_objects((likely > self.threshold).astype(np.uint8)):
            peak = max(self.threshold, self.lesion_peak)
            result[box] = apply_hysteresis_threshold(likely[box], self.threshold, peak)
        return result
