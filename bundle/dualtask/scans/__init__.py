"""Scans and labels on disk: finding them, reading them, refusing those that cannot be right."""

from dualtask.scans.datalists import decathlon_datalist, hold_out, split
from dualtask.scans.disk_cache import DiskCache
from dualtask.scans.headers import check_scans
from dualtask.scans.labels import LoadLabeld
from dualtask.scans.organs import LoadOrgans
from dualtask.scans.reading import LoadScand
from dualtask.scans.sampling import site_weights
from dualtask.scans.writing import SaveResultd, check_names, saved_name, without_suffix

__all__ = [
    "DiskCache",
    "LoadLabeld",
    "LoadOrgans",
    "LoadScand",
    "SaveResultd",
    "check_names",
    "check_scans",
    "decathlon_datalist",
    "hold_out",
    "saved_name",
    "site_weights",
    "split",
    "without_suffix",
]
