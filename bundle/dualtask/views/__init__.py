"""Output-space self-supervision: views of one scan on which the network must give the same answer."""

from dualtask.views.acquisition import AcquisitionView
from dualtask.views.randconv import RandConv

__all__ = ["AcquisitionView", "RandConv"]
