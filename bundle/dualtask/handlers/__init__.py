"""Ignite handlers of the training workflow."""

from dualtask.handlers.checkpoints import BestCheckpoint
from dualtask.handlers.history import TrainingHistory
from dualtask.handlers.scan_table import ScanTable

__all__ = ["BestCheckpoint", "ScanTable", "TrainingHistory"]
