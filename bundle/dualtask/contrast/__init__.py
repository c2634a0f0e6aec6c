"""Feature-space self-supervision: where embeddings are taken, and the contrastive loss between them."""

from dualtask.contrast.nt_xent import nt_xent
from dualtask.contrast.sampling import LESION, RING, embeddings_at, sample_sites

__all__ = ["LESION", "RING", "embeddings_at", "nt_xent", "sample_sites"]
