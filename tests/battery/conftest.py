"""The battery uses the app's gate."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "apps" / "dualtask"))  # so that `lib` is the app's
