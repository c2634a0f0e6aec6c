"""How a batch becomes inputs and targets of MONAI's trainer."""

from dualtask.engines.two_views import PrepareTwoViews

__all__ = ["PrepareTwoViews"]
