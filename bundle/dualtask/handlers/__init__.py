"""Ignite handlers of the training workflow, and the table of scans that inference writes."""

from dualtask.handlers.checkpoints import BestCheckpoint, LastCheckpoint
from dualtask.handlers.early_stop import EarlyStop
from dualtask.handlers.epoch_means import EpochMeans
from dualtask.handlers.epoch_seed import EpochSeed
from dualtask.handlers.history import TrainingHistory
from dualtask.handlers.ramp_up import RampUp
from dualtask.handlers.scan_table import ScanTable
from dualtask.handlers.tracking import ExperimentTracking

__all__ = [
    "BestCheckpoint",
    "EarlyStop",
    "EpochMeans",
    "EpochSeed",
    "ExperimentTracking",
    "LastCheckpoint",
    "RampUp",
    "ScanTable",
    "TrainingHistory",
]
