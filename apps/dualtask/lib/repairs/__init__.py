"""Repairs of MONAI Label 0.8.5 that no subclass of its tasks can make: one module per fault."""

from lib.bundle import Bundle
from lib.repairs import datastores, dcmqi, event_loop, segment_names, unknown_tasks


def apply_repairs(bundle: Bundle) -> None:
    """Apply all repairs; applying them again, as POST /reload does, changes nothing."""
    datastores.apply()
    dcmqi.apply()
    event_loop.apply()
    unknown_tasks.apply()
    segment_names.apply(bundle)
