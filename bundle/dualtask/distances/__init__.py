"""Masks to signed distances and back, exact and differentiable."""

from dualtask.distances.heaviside import HardStep, SmoothHeaviside, step_logits
from dualtask.distances.signed import signed_distance
from dualtask.distances.soft import soft_signed_distance

__all__ = ["HardStep", "SmoothHeaviside", "signed_distance", "soft_signed_distance", "step_logits"]
