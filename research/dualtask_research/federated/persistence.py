"""The weights of a federation as the bundle's weights."""

from __future__ import annotations

from pathlib import Path

import torch
from nvflare.apis.fl_context import FLContext
from nvflare.app_common.abstract.model import ModelLearnable, ModelLearnableKey, make_model_learnable
from nvflare.app_common.abstract.model_persistor import ModelPersistor

from dualtask.files import write_atomically


class BundleWeights(ModelPersistor):
    """Reads the first weights and writes those of each round, as the plain state dict that the bundle reads.

    Args:
        initial: weights to begin with.
        result: file to write; it is replaced after each round, and whole at any moment.
    """

    def __init__(self, initial: str, result: str) -> None:
        super().__init__()
        self.initial = initial
        self.result = result

    def load_model(self, fl_ctx: FLContext) -> ModelLearnable:
        state = torch.load(self.initial, map_location="cpu", weights_only=True)
        return make_model_learnable({name: values.numpy() for name, values in state.items()}, {})

    def save_model(self, model: ModelLearnable, fl_ctx: FLContext) -> None:
        state = {name: torch.from_numpy(values) for name, values in model[ModelLearnableKey.WEIGHTS].items()}
        write_atomically(Path(self.result), lambda temporary: torch.save(state, temporary))
