"""What MONAI's engines take from a batch, and what they score."""

from dualtask.engines.structure_dice import StructureDice
from dualtask.engines.views import PrepareViews

__all__ = ["PrepareViews", "StructureDice"]
