"""How often each case of a training is shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from dualtask.errors import InputError
from dualtask.scans.datalists import Case


def site_weights(cases: Sequence[Case], shares: Mapping[str, float]) -> list[float]:
    """Chances of the cases to be drawn, so that each site gets its share however many cases it has.

    Args:
        cases: dictionaries with, where known, their ``site``.
        shares: site -> relative share of the crops; all cases of a site alike. Empty: all cases alike.

    Returns:
        weight of each case, for ``torch.utils.data.WeightedRandomSampler``.

    Raises:
        InputError: a site of the cases has no share, or one with a share has no case.
    """
    if not shares:
        return [1.0] * len(cases)
    counts = Counter(str(case.get("site", "")) for case in cases)
    if unnamed := sorted(counts.keys() ^ shares.keys()):
        raise InputError(
            f"The sites of the training cases are {', '.join(sorted(counts))}, and site_shares differs by "
            f"{unnamed[0]}: give each of them a share and no other."
        )
    return [shares[site] / counts[site] for site in (str(case.get("site", "")) for case in cases)]
