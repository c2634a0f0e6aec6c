"""Which scans to label next: what the network makes of them, and how to choose."""

from dualtask.active_learning.embedding import bottleneck_embeddings
from dualtask.active_learning.selection import STRATEGIES, Strategy
from dualtask.active_learning.simulation import Learner, Round, simulate

__all__ = ["STRATEGIES", "Learner", "Round", "Strategy", "bottleneck_embeddings", "simulate"]
