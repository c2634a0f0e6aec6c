"""Research stands on the bundle, so its tests run the same small workflows."""

from __future__ import annotations

from small_workflows import small_dataset, workflow

__all__ = ["small_dataset", "workflow"]
