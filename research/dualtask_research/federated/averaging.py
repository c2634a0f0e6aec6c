"""The moving average of a site's network, from round to round."""

from __future__ import annotations

from ignite.engine import Engine, Events
from torch import nn

from dualtask.handlers import WeightAverage


class AverageOfRound:
    """Lets a site send the moving average of its round instead of the weights of its last step.

    At the start of a round the average is what the site received, and counts its steps anew: an average that went on
    would hold back the other sites' progress, and the teacher would answer with the memory of this site alone. At the
    end the network takes over the average, which is what is validated, exchanged and in the end shipped; the weights of
    single steps do not leave the site. The share of step n is 10 / (10 + n), so the average lies a tenth of the round
    behind its last step. The optimizer keeps its moments, which stay at the site.

    Args:
        network: what is trained.
        averaging: its moving average.
    """

    def __init__(self, network: nn.Module, averaging: WeightAverage) -> None:
        self.network = network
        self.averaging = averaging

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self._begin)
        engine.add_event_handler(Events.COMPLETED, self._end)

    def _begin(self) -> None:
        self.averaging.averaged.load_state_dict(self.network.state_dict())
        self.averaging.model.n_averaged.zero_()

    def _end(self) -> None:
        self.network.load_state_dict(self.averaging.averaged.state_dict())
