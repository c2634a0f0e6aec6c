"""The loss: one class per term of the method, and their weighted sum."""

from dualtask.losses.as_published import DiceOfStep, MeanDistanceError, ViewConsistency
from dualtask.losses.dual_task_loss import DualTaskLoss
from dualtask.losses.neighbouring_organs import NeighbouringOrgans
from dualtask.losses.reciprocal import DistanceToMask, MaskToDistance
from dualtask.losses.self_supervised import CrossTaskConsistency, FeatureContrast, OutputConsistency
from dualtask.losses.strata import Strata
from dualtask.losses.supervised import Classification, Regression
from dualtask.losses.targets import Targets

__all__ = [
    "Classification",
    "CrossTaskConsistency",
    "DiceOfStep",
    "DistanceToMask",
    "DualTaskLoss",
    "FeatureContrast",
    "MaskToDistance",
    "MeanDistanceError",
    "NeighbouringOrgans",
    "OutputConsistency",
    "Regression",
    "Strata",
    "Targets",
    "ViewConsistency",
]
