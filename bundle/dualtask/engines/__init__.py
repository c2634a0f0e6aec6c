"""How a batch becomes inputs and targets of MONAI's trainer."""

from dualtask.engines.views import PrepareViews

__all__ = ["PrepareViews"]
