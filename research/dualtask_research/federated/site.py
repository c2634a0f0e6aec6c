"""Training at one site, by MONAI's MonaiAlgo."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.fl.client import MonaiAlgo
from monai.fl.utils.constants import ExtraItems, FlStatistics
from monai.fl.utils.exchange_object import ExchangeObject

from dualtask import bundle_root
from dualtask.errors import InputError
from dualtask_research.federated.updates import Weights, why_unusable

_WRAPPER = "network."
"""The trainer's network is ``dualtask.networks.AllHeads``, which holds the one that is exchanged under this name."""


class SiteTraining:
    """Continues a site's training from the weights of the server, round by round.

    The evaluator of MonaiAlgo is left out: it would be a second workflow with a network and scans of its own. The
    site validates within its training, and its scores stay there.

    Args:
        name: of the site, for the log.
        configs: the bundle's ``train.json``, overlays behind it; ``configs/federated/site.json`` among them.
        settings: further values, id -> value.
        local_epochs: of one round.

    Raises:
        InputError: the site's scans are refused.
    """

    def __init__(self, name: str, configs: Sequence[Path], settings: Mapping[str, Any], local_epochs: int) -> None:
        self.name = name
        self.algorithm = MonaiAlgo(
            bundle_root=bundle_root(),
            local_epochs=local_epochs,
            send_weight_diff=False,
            config_train_filename=[str(config) for config in configs],
            train_kwargs=dict(settings),
            config_evaluate_filename=None,
        )
        with warnings.catch_warnings():
            # That a server might have sent the configs, which settings.py sees to.
            warnings.filterwarnings("ignore", "executing the bundle config")
            self.algorithm.initialize({ExtraItems.CLIENT_NAME: name})

    def train(self, received: Weights) -> tuple[dict[str, np.ndarray], int]:
        """One round.

        Args:
            received: weights of the server.

        Returns:
            the moving average of the round, and the number of steps.

        Raises:
            InputError: the weights are of another network, which MonaiAlgo would load in part and reshape.
        """
        if problem := why_unusable(received, self._weights()):
            raise InputError(f"The server {problem}: give the server and {self.name} the same network_def.")
        weights = {_WRAPPER + name: torch.from_numpy(values) for name, values in received.items()}
        self.algorithm.train(ExchangeObject(weights=weights))
        return self._weights(), int(self.algorithm.get_weights().statistics[FlStatistics.NUM_EXECUTED_ITERATIONS])

    def abort(self) -> None:
        """Let a training that is under way end."""
        self.algorithm.abort()

    def _weights(self) -> dict[str, np.ndarray]:
        state = self.algorithm.trainer.network.state_dict()
        return {name.removeprefix(_WRAPPER): values.detach().cpu().numpy().copy() for name, values in state.items()}
