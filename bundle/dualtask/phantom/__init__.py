"""Synthetic abdominal CT scans of four imaginary hospitals, with pancreas and lesion labels.

Every voxel is computed; no patient is behind any of it. The scans exist to exercise and to compare software, they
carry no clinical evidence.
"""

from dualtask.phantom.defaults import synthetic_dataset

__all__ = ["synthetic_dataset"]
