"""Whether the result of a scan is to be trusted: indicators, and one score that is made of them."""

from dualtask.doubt.indicators import INDICATORS, scan_indicators
from dualtask.doubt.model import Doubt, DoubtModel, read_doubt_model
from dualtask.doubt.transform import DoubtResult

__all__ = ["INDICATORS", "Doubt", "DoubtModel", "DoubtResult", "read_doubt_model", "scan_indicators"]
