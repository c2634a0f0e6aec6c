"""Which scans to label next: what the network makes of them, and how to choose."""

from dualtask.active_learning.embedding import bottleneck_embeddings
from dualtask.active_learning.selection import STRATEGIES, Strategy

__all__ = ["STRATEGIES", "Strategy", "bottleneck_embeddings"]
