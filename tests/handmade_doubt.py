"""A model of doubt that says what a test wants: its score depends on one indicator alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np


def write_doubt_model(path: Path, indicator: str = "localiser_agreement", centre: float = 1.0) -> Path:
    """Write a model of doubt.

    Its log odds are -3 where the indicator is at its centre, and +3 where it is 0.5 off in the doubtful direction.
    """
    stored = {
        "intercept": -3.0,
        "threshold": 0.5,
        "indicators": {indicator: {"centre": centre, "scale": 0.5, "weight": 6.0}},
        "embedding": {
            "mean": [0.0] * 32,
            "precision": np.eye(32).tolist(),
        },
    }
    path.write_text(json.dumps(stored))
    return path
