"""The mean of the sites, as NVFlare's server asks for it."""

from __future__ import annotations

from collections.abc import Sequence

from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.aggregators.model_aggregator import ModelAggregator

from dualtask_research.federated.updates import Weights, mean_weights, why_unusable


class CheckedMean(ModelAggregator):
    """Averages the usable updates of a round; each site that gave none is named in one sentence, and why.

    All sites count alike: how many steps or scans a site says that it has does not change its weight.

    Args:
        sites: names of those that are expected.
    """

    def __init__(self, sites: Sequence[str]) -> None:
        super().__init__()
        self.sites = list(sites)
        self._sent: Weights = {}
        self._updates: dict[str, Weights] = {}
        self._refused: set[str] = set()

    def begin(self, sent: Weights) -> None:
        """State what the sites of this round were sent."""
        self._sent = sent

    def reset_stats(self) -> None:
        self._updates = {}
        self._refused = set()

    def accept_model(self, model: FLModel) -> None:
        site = str(model.meta["client_name"])
        if problem := why_unusable(model.params, self._sent):
            self._refused.add(site)
            self.warning(f"{site} {problem}: its update is left out, the round goes on.")
        else:
            self._updates[site] = model.params

    def aggregate_model(self) -> FLModel:
        for site in self.sites:
            if site not in self._updates and site not in self._refused:
                self.warning(f"{site} gave no update in this round: it is left out, the round goes on.")
        # By name, not by arrival.
        usable = [self._updates[site] for site in sorted(self._updates)]
        if not usable:
            self.warning("No site gave a usable update: the weights stay as they were.")
        self.info(f"The mean of {len(usable)} of {len(self.sites)} sites: {', '.join(sorted(self._updates))}.")
        return FLModel(ParamsType.FULL, mean_weights(usable or [self._sent]))
