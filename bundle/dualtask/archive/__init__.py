"""Inference of an archive: thousands of scans, by several workers, each of which may be killed and started again."""

from dualtask.archive.folder import FolderArchive
from dualtask.archive.records import Records
from dualtask.archive.worker import segment_shard

__all__ = ["FolderArchive", "Records", "segment_shard"]
