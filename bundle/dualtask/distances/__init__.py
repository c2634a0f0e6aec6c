"""Signed distances to the boundary of a mask, in mm, negative inside."""

from dualtask.distances.signed import signed_distance

__all__ = ["signed_distance"]
