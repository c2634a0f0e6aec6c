"""Repairs of MONAI Label 0.8.5 that no subclass of its tasks can make: one module per fault."""

from lib.bundle import Bundle
from lib.repairs import authentication, dcmqi, segment_names


def apply_repairs(bundle: Bundle) -> None:
    """Apply all repairs; applying them again, as POST /reload does, changes nothing."""
    authentication.apply()
    dcmqi.apply()
    segment_names.apply(bundle)
