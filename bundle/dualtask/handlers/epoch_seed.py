"""Randomness that depends on nothing but the seed and the epoch."""

from __future__ import annotations

import ignite.distributed as idist
import numpy as np
from ignite.engine import Engine, Events
from monai.data.utils import set_rnd
from monai.utils import set_determinism


class EpochSeed:
    """Seeds every source of random numbers anew at the start of each epoch.

    Python, numpy, torch on all devices and the transforms of the trainer's data set; the data loader draws its order
    and the seeds of its workers from these. An epoch is thus the same whether the epochs before it ran in this process
    or in one that was killed, and no random state needs to be stored. Persistent workers keep states of their own: the
    data loader must start its workers anew for each epoch. Each process of a training has random numbers of its own.

    Args:
        seed: of the training.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        seed = int(np.random.SeedSequence((self.seed, engine.state.epoch, idist.get_rank())).generate_state(1)[0])
        set_determinism(seed)
        set_rnd(engine.data_loader.dataset, seed)
