"""The rounds of a federation on NVFlare's server."""

from __future__ import annotations

from typing import Any

from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.workflows.fedavg import FedAvg

from dualtask_research.federated.aggregation import CheckedMean


class TimedRounds(FedAvg):
    """NVFlare's FedAvg, in which a round ends after a time also where sites have not answered.

    Args:
        aggregator: takes the sites' updates.
        num_clients: number of sites.
        num_rounds: number of rounds.
        seconds: of a round at most.
    """

    def __init__(self, aggregator: CheckedMean, num_clients: int, num_rounds: int, seconds: int) -> None:
        # A site that failed is named by the aggregator; NVFlare would end the job.
        super().__init__(
            aggregator=aggregator, num_clients=num_clients, num_rounds=num_rounds, ignore_result_error=True
        )
        self.seconds = seconds

    def send_model(self, *args: Any, data: FLModel, **kwargs: Any) -> None:
        self.aggregator.begin(data.params)
        super().send_model(*args, data=data, timeout=self.seconds, **kwargs)
