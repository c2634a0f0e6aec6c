"""Dual-task segmentation of the pancreas and its lesions in CT: the components that the bundle's configs name.

This module stays free of heavy imports, so that the generator of synthetic scans runs without torch.
"""

from pathlib import Path


def bundle_root() -> str:
    """The folder of the bundle that this package belongs to (it holds ``configs`` and ``models``)."""
    return str(Path(__file__).resolve().parents[1])
