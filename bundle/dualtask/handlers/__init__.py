"""Ignite handlers of the training workflow, and the tables that inference writes."""

from dualtask.handlers.checkpoints import BestCheckpoint, LastCheckpoint
from dualtask.handlers.diagnostics import DIAGNOSTICS, HeadDiagnostics
from dualtask.handlers.early_stop import EarlyStop
from dualtask.handlers.epoch_means import EpochMeans
from dualtask.handlers.epoch_seed import EpochSeed
from dualtask.handlers.gradient_clipping import GradientClipping
from dualtask.handlers.history import TrainingHistory
from dualtask.handlers.last_validation import LastValidation
from dualtask.handlers.measurement_files import MeasurementFiles
from dualtask.handlers.scan_table import ScanTable
from dualtask.handlers.together import Together
from dualtask.handlers.tracking import ExperimentTracking
from dualtask.handlers.weight_average import WeightAverage

__all__ = [
    "DIAGNOSTICS",
    "BestCheckpoint",
    "EarlyStop",
    "EpochMeans",
    "EpochSeed",
    "ExperimentTracking",
    "GradientClipping",
    "HeadDiagnostics",
    "LastCheckpoint",
    "LastValidation",
    "MeasurementFiles",
    "ScanTable",
    "Together",
    "TrainingHistory",
    "WeightAverage",
]
