"""Ignite handlers of the training workflow."""

from dualtask.handlers.checkpoints import BestCheckpoint
from dualtask.handlers.history import TrainingHistory

__all__ = ["BestCheckpoint", "TrainingHistory"]
