"""What sites send back: whether it can be averaged, and its average."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

Weights = Mapping[str, np.ndarray]
"""State dict of a network: name of a parameter -> its values."""


def why_unusable(update: object, reference: Weights) -> str | None:
    """Why an update cannot be averaged with others, in words that follow the name of who sent it; None if it can.

    Args:
        update: what a site sent, of any type.
        reference: the weights that it was sent.
    """
    if not isinstance(update, Mapping):
        return "sent no weights"
    if update.keys() != reference.keys():
        absent, other = reference.keys() - update.keys(), update.keys() - reference.keys()
        example = f"lacks {min(absent)}" if absent else f"has {min(other, key=str)}"
        return f"sent weights of another network ({len(absent)} absent, {len(other)} unknown; it {example})"
    for name, values in update.items():
        if not isinstance(values, np.ndarray) or not np.issubdtype(values.dtype, np.floating):
            return f"sent {name} as something else than floating-point numbers"
        if values.shape != reference[name].shape:
            return f"sent weights of another network ({name} has the shape {values.shape}, not {reference[name].shape})"
        if not np.isfinite(values).all():
            return f"sent weights that are not finite ({name})"
    return None


def mean_weights(updates: Sequence[Weights]) -> dict[str, np.ndarray]:
    """Mean of the weights of several sites, each of which counts alike.

    Args:
        updates: at least one; all with the same names and shapes.

    Returns:
        weights of the type of the first; the sums are of double precision, so that their order does not matter.
    """
    first, *_ = updates
    return {
        name: np.mean([update[name] for update in updates], axis=0, dtype=np.float64).astype(values.dtype)
        for name, values in first.items()
    }
