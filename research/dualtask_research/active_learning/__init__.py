"""Annotation simulated, to find out what a strategy of choosing scans is worth."""

from dualtask_research.active_learning.selection import SELECTIONS, Looks
from dualtask_research.active_learning.simulation import Learner, Round, simulate

__all__ = ["SELECTIONS", "Learner", "Looks", "Round", "simulate"]
