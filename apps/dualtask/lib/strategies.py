"""Which study to label next."""

from __future__ import annotations

import random
import time
from typing import Any

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.tasks.activelearning.first import First


def strategies() -> dict[str, Strategy]:
    """The strategies by the name that viewers ask for."""
    return {"random": RandomUnlabelled(), "first": First()}


class RandomUnlabelled(Strategy):
    """A random study without a final label; the longer since it was last offered, the likelier.

    MONAI Label 0.8.5's own weighs by the age alone and dies when every study was offered within this second.
    """

    def __init__(self) -> None:
        super().__init__("A random study without a final label")

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, str] | None:
        studies = datastore.get_unlabeled_images()
        if not studies:
            return None
        weights = [1 + self._seconds_since_offered(study, request, datastore) for study in studies]
        return {"id": random.choices(studies, weights)[0]}

    def _seconds_since_offered(self, study: str, request: dict[str, Any], datastore: Datastore) -> float:
        offered = datastore.get_image_info(study).get("strategy", {}).get(request["strategy"], {}).get("ts", 0)
        return max(time.time() - offered, 0)
