"""Studies that lie in a DICOM server."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
from cachetools import TTLCache, cachedmethod
from dicomweb_client import DICOMwebClient
from filelock import FileLock
from monailabel.datastore.dicom import DICOMWebDatastore
from monailabel.datastore.local import DataModel, ImageLabelModel
from monailabel.datastore.utils.dicom import dicom_web_download_series, dicom_web_upload_dcm
from monailabel.interfaces.datastore import DefaultLabelTag
from monailabel.interfaces.exception import ImageNotFoundException
from pydicom.dataset import Dataset

from dualtask.errors import InputError
from dualtask.files import write_atomically
from dualtask.nifti import save_nifti
from dualtask.scans.reading import read_volume
from lib.annotator import ANONYMOUS, annotator
from lib.bundle import Bundle
from lib.datastore import StudyFolder
from lib.dicom_seg import (
    is_segmentation,
    is_untouched,
    read_segmentation,
    structures_of,
    write_segmentation,
    written_at,
)
from lib.dicom_server import DicomServer
from lib.segments import as_structures

logger = logging.getLogger(__name__)

_FRESH_SECONDS = 10
"""For so long the server is not asked again which series it has."""

_UNUSABLE_SECONDS = 600
"""For so long a series that cannot be used is not fetched again; it may have been on its way to the server."""

_LOCAL = ".nii.gz"


@dataclass(frozen=True)
class _Segmentation:
    """Which series a segmentation labels, where it lies, and when and by whom it was written."""

    scan: str
    study: str
    series: str
    instance: str
    written: datetime
    creator: str


class StudyArchive(DICOMWebDatastore, StudyFolder):
    """The series of a DICOM server, with copies in a folder on this machine.

    The final label of a series is the newest segmentation in the server that has a segment for one of the bundle's
    structures, whoever stored it: this app, OHIF's export, another workstation.

    MONAI Label 0.8.5 goes on for two hours with the lists of series that it asked for first, takes any segmentation
    for a label, the number of a segment for its value and the extent of its frames for the scan's, keeps the first
    label for good, leaves half a series on disk when it is stopped, and stacks a series that lacks a slice.

    Args:
        bundle: says which structures are labelled.
        client: of the server.
        arguments: as MONAI Label gives them to its own class.

    Raises:
        DicomServerError: by all that asks the server.
    """

    def __init__(self, bundle: Bundle, client: DICOMwebClient, *arguments: Any, **options: Any) -> None:
        self._bundle = bundle
        self._lists: TTLCache[str, Any] = TTLCache(maxsize=2, ttl=_FRESH_SECONDS)
        self._segmentations: dict[str, _Segmentation | None] = {}
        self._unusable: TTLCache[str, str] = TTLCache(maxsize=10_000, ttl=_UNUSABLE_SECONDS)
        super().__init__(DicomServer(client), *arguments, **options)

    @cachedmethod(attrgetter("_lists"), key=lambda self: "images", lock=attrgetter("lock"))
    def list_images(self) -> list[str]:  # type: ignore[override]
        found = self._client.search_for_series(search_filters=self._search_filter)
        return [str(Dataset.from_json(series).SeriesInstanceUID) for series in found]

    def check_known(self, image_id: str) -> None:
        if image_id not in self.list_images():
            self._ask_anew()
            if image_id not in self.list_images():
                raise ImageNotFoundException(f"There is no study {image_id!r}: ask for a CT series of the server.")

    def get_labeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        return list(self._final_labels())

    def get_unlabeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        labelled = self._final_labels()
        return [series for series in self.list_images() if series not in labelled and series not in self._unusable]

    def get_image_uri(self, image_id: str) -> str:
        """Path of the scan on this machine; fetched from the server unless it is there.

        Raises:
            InputError: the series is not one whole CT volume.
        """
        self.check_known(image_id)
        locks = self.state_dir / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        with FileLock(locks / image_id):  # a training fetches in a process of its own
            if not self._is_whole(image_id):
                self._fetch_scan(image_id)
        return self.scan_at_hand(image_id)

    def get_image_info(self, image_id: str) -> dict[str, Any]:
        self.get_image_uri(image_id)
        return StudyFolder.get_image_info(self, image_id)

    def get_label_uri(self, label_id: str, label_tag: str, image_id: str = "") -> str:
        self._bring_up_to_date(label_id, label_tag)
        return StudyFolder.get_label_uri(self, label_id, label_tag)

    def get_label_info(self, label_id: str, label_tag: str) -> dict[str, Any]:
        self._bring_up_to_date(label_id, label_tag)
        return StudyFolder.get_label_info(self, label_id, label_tag)

    def update_label_info(self, label_id: str, label_tag: str, info: dict[str, Any]) -> None:
        self._bring_up_to_date(label_id, label_tag)
        StudyFolder.update_label_info(self, label_id, label_tag, info)

    def final_record(self, image_id: str) -> dict[str, Any] | None:
        record, newest = super().final_record(image_id), self._final_labels().get(image_id)
        return record if record and newest and record.get("SeriesInstanceUID") == newest.series else None

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        self.get_image_uri(image_id)
        info = dict(label_info or {})
        if label_tag == DefaultLabelTag.FINAL:
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "label.dcm"
                label = as_structures(Path(label_filename), info.get("label_info"), Path(folder))
                who = annotator(info.get("client_id"))
                write_segmentation(file, self._series_folder(image_id), label, self._bundle, who)
                info["SeriesInstanceUID"] = dicom_web_upload_dcm(str(file), self._client)
        StudyFolder.save_label(self, image_id, label_filename, label_tag, info)
        self._ask_anew()
        return image_id

    def instances_stored(self, instances: Sequence[Dataset]) -> list[str]:
        """Take the segmentations among instances that a viewer has just stored in the server as final labels.

        Returns:
            the series that have a new label.
        """
        self._ask_anew()
        labelled = []
        for instance in instances:
            if is_segmentation(instance) and (found := self._as_label(instance)) and found.scan in self.list_images():
                try:
                    self._keep_label(found, instance, annotator(found.creator))
                    labelled.append(found.scan)
                except InputError as error:
                    logger.warning("Not taken as a label: %s", error)
        return labelled

    def remove_label(self, label_id: str, label_tag: str) -> None:
        if label_tag == DefaultLabelTag.FINAL:
            self.get_label_info(label_id, label_tag)
            raise InputError(f"The final label of {label_id} lies in the DICOM server: delete its series there.")
        StudyFolder.remove_label(self, label_id, label_tag)

    def remove_image(self, image_id: str) -> None:
        self.check_known(image_id)
        raise InputError(f"The series {image_id} lies in the DICOM server: delete it there.")

    def _download_labeled_data(self) -> None:
        """Bring all final labels and their scans to this machine, as they are in the server."""
        final = self._final_labels()
        for scan in set(StudyFolder.get_labeled_images(self)) - set(final):
            self._withdraw(scan)
        for scan in final:
            try:
                self._bring_up_to_date(scan, DefaultLabelTag.FINAL)
            except InputError as error:
                logger.warning("Left out: %s", error)

    def _withdraw(self, scan: str) -> None:
        """Take a label off the list that the server no longer has; the copy is kept, lest the server has lost it."""
        path = Path(StudyFolder.get_label_uri(self, scan, DefaultLabelTag.FINAL))
        withdrawn = self.state_dir / "withdrawn" / path.name
        write_atomically(withdrawn, lambda temporary: shutil.copyfile(path, temporary))
        StudyFolder.remove_label(self, scan, DefaultLabelTag.FINAL)

    def _ask_anew(self) -> None:
        with self.lock:
            self._lists.clear()

    def _series_folder(self, image_id: str) -> Path:
        return Path(self._datastore.image_path()) / image_id

    def _is_whole(self, image_id: str) -> bool:
        """Whether the copy of a series is complete; a record without the series' own data was not made here."""
        study = self._datastore.objects.get(image_id)
        fetched = study is not None and study.image.info.get("SeriesInstanceUID") == image_id
        return fetched and self._series_folder(image_id).is_dir() and os.path.isfile(self.scan_at_hand(image_id))

    def _fetch_scan(self, image_id: str) -> None:
        if sentence := self._unusable.get(image_id):
            raise InputError(sentence)
        incoming = self.state_dir / "incoming"
        incoming.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=incoming) as folder:
            series, scan = Path(folder) / image_id, Path(folder) / f"scan{_LOCAL}"
            dicom_web_download_series(None, image_id, str(series), self._client, self._fetch_by_frame)
            try:
                volume = read_volume(series)
            except InputError as error:
                sentence = self._unusable[image_id] = str(error).replace(str(series), f"The series {image_id}")
                raise InputError(sentence) from error
            voxels = volume[0].numpy()
            whole = voxels.astype(np.int16)
            save_nifti(scan, whole if np.array_equal(whole, voxels) else voxels, volume.affine.numpy())
            info = {**self._dicom_info(image_id), "ts": int(time.time()), "name": image_id + _LOCAL}
            shutil.rmtree(self._series_folder(image_id), ignore_errors=True)
            os.replace(series, self._series_folder(image_id))
            with self.lock, self._folder_lock:
                self._init_from_datastore_file()
                os.replace(scan, Path(self._datastore.image_path()) / info["name"])
                self._datastore.objects[image_id] = ImageLabelModel(image=DataModel(info=info, ext=_LOCAL))
                self._update_datastore_file(lock=False)

    @cachedmethod(attrgetter("_lists"), key=lambda self: "labels", lock=attrgetter("lock"))
    def _final_labels(self) -> dict[str, _Segmentation]:
        """The newest segmentation of each labelled series."""
        scans = set(self.list_images())
        final: dict[str, _Segmentation] = {}
        for entry in self._client.search_for_series(search_filters={"Modality": "SEG"}):
            header = Dataset.from_json(entry)
            series = str(header.SeriesInstanceUID)
            if series not in self._segmentations:
                instances = self._client.retrieve_series_metadata(str(header.StudyInstanceUID), series)
                found = [self._as_label(Dataset.from_json(instance, lambda uri: None)) for instance in instances]
                self._segmentations[series] = max(filter(None, found), key=attrgetter("written"), default=None)
            label = self._segmentations[series]
            if label and label.scan in scans and (label.scan not in final or label.written > final[label.scan].written):
                final[label.scan] = label
        return final

    def _as_label(self, segmentation: Dataset) -> _Segmentation | None:
        """What is needed of a segmentation to find it again; None if it is of other structures or of no series, or a
        result of the bundle that nobody has corrected."""
        referenced = segmentation.get("ReferencedSeriesSequence")
        if not referenced or not structures_of(segmentation, self._bundle) or is_untouched(segmentation, self._bundle):
            return None
        return _Segmentation(
            scan=str(referenced[0].SeriesInstanceUID),
            study=str(segmentation.StudyInstanceUID),
            series=str(segmentation.SeriesInstanceUID),
            instance=str(segmentation.SOPInstanceUID),
            written=written_at(segmentation),
            creator=str(segmentation.get("ContentCreatorName") or "").replace("^", " ").strip(),
        )

    def _bring_up_to_date(self, scan: str, tag: str) -> None:
        """Fetch a final label unless the copy is of the newest segmentation."""
        label = self._final_labels().get(scan) if tag == DefaultLabelTag.FINAL else None
        present = self.label_at_hand(scan, tag)
        if label and not (present and present[1].get("SeriesInstanceUID") == label.series):
            segmentation = self._client.retrieve_instance(label.study, label.series, label.instance)
            # Whoever asks for a label is not the one who drew it.
            self._keep_label(label, segmentation, label.creator or ANONYMOUS)

    def _keep_label(self, label: _Segmentation, segmentation: Dataset, who: str) -> None:
        mask = read_segmentation(segmentation, Path(self.get_image_uri(label.scan)), self._bundle)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / f"label{_LOCAL}"
            save_nifti(file, mask[0].numpy(), mask.affine.numpy())
            info = {"SeriesInstanceUID": label.series, "annotator": who}
            StudyFolder.save_label(self, label.scan, str(file), DefaultLabelTag.FINAL, info)
