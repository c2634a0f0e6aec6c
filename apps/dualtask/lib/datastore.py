"""Studies and their labels: whole files, who labelled when, and no correction lost."""

from __future__ import annotations

import functools
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock
from monailabel.datastore.local import DataModel, LocalDatastore
from monailabel.interfaces.datastore import DefaultLabelTag
from monailabel.interfaces.exception import ImageNotFoundException, LabelNotFoundException

from dualtask.files import write_atomically
from lib.annotator import annotator

_STATE_FOLDER = "dualtask"


def _one_at_a_time(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def locked(self: StudyFolder, *args: Any, **options: Any) -> Any:
        with self.lock:
            return method(self, *args, **options)

    return locked


class StudyFolder(LocalDatastore):
    """A folder of studies, in which requests of several threads and a kill at any moment leave whole records.

    MONAI Label 0.8.5 writes its list of labels and the labels themselves in place, and its threads empty the list while
    others read it. What was removed stays in the list until a watcher of the folder notices.

    A label carries ``annotator`` and ``ts`` (seconds since 1970); an automatic one ``model`` instead of ``annotator``.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        self.lock = threading.RLock()
        super().__init__(*args, **options)

    @property
    def state_dir(self) -> Path:
        """Folder for what the app remembers of these studies."""
        return Path(self._datastore_path) / _STATE_FOLDER

    def check_known(self, image_id: str) -> None:
        """Raise ImageNotFoundException, with a sentence, where there is no such study."""
        if image_id not in self._datastore.objects and image_id not in self.list_images():
            raise ImageNotFoundException(f"There is no study {image_id!r}: ask for one that GET /datastore/ lists.")

    @_one_at_a_time
    def scan_at_hand(self, image_id: str) -> str:
        """Path of a study's scan on this machine, or "": an archive would have to be asked for it."""
        return LocalDatastore.get_image_uri(self, image_id)

    @_one_at_a_time
    def label_at_hand(self, image_id: str, tag: str) -> tuple[str, dict[str, Any]] | None:
        """Path and record of a study's label on this machine, or None."""
        label = self._datastore.label(image_id, tag)
        return (LocalDatastore.get_label_uri(self, image_id, tag), dict(label.info)) if label else None

    def may_save_automatic_label(self, image_id: str, tag: str) -> bool:
        """False under the final tag, which is a person's, and where another label than an automatic one stands."""
        study = self._datastore.objects.get(image_id)
        present = study.labels.get(tag) if study else None
        return tag != DefaultLabelTag.FINAL and (present is None or "model" in present.info)

    @_one_at_a_time
    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        self.check_known(image_id)
        extension = self._to_id(os.path.basename(label_filename))[1]
        name = self._filename(image_id, extension)
        info = {**(label_info or {}), "ts": int(time.time()), "name": name}
        if "model" not in info:
            info["annotator"] = annotator(info.get("client_id"))
        path = Path(self._datastore.label_path(label_tag)) / name
        with FileLock(self._lock_file):
            write_atomically(path, lambda temporary: shutil.copyfile(label_filename, temporary))
            self._datastore.objects[image_id].labels[label_tag] = DataModel(info=info, ext=extension)
            self._update_datastore_file(lock=False)
        return image_id

    @_one_at_a_time
    def remove_label(self, label_id: str, label_tag: str) -> None:
        self._check_label(label_id, label_tag)
        super().remove_label(label_id, label_tag)
        self.refresh()

    @_one_at_a_time
    def remove_image(self, image_id: str) -> None:
        super().remove_image(image_id)
        self.refresh()

    @_one_at_a_time
    def get_label_info(self, label_id: str, label_tag: str) -> dict[str, Any]:
        self._check_label(label_id, label_tag)
        return dict(super().get_label_info(label_id, label_tag))

    @_one_at_a_time
    def get_image_info(self, image_id: str) -> dict[str, Any]:
        self.check_known(image_id)
        return super().get_image_info(image_id)

    @_one_at_a_time
    def _update_datastore_file(self, lock: bool = True) -> None:
        if lock:
            with FileLock(self._lock_file):
                self._update_datastore_file(lock=False)
            return
        path = Path(self._datastore_config_path)
        text = self._datastore.model_dump_json(exclude={"base_path"}, indent=2)
        write_atomically(path, lambda temporary: temporary.write_text(text))
        self._config_ts = path.stat().st_mtime

    def _check_label(self, label_id: str, tag: str) -> None:
        self.check_known(label_id)
        if self._datastore.label(label_id, tag) is None:
            raise LabelNotFoundException(f"Study {label_id!r} has no label {tag!r}: ask for one that it has.")

    refresh = _one_at_a_time(LocalDatastore.refresh)
    _init_from_datastore_file = _one_at_a_time(LocalDatastore._init_from_datastore_file)
    add_image = _one_at_a_time(LocalDatastore.add_image)
    update_image_info = _one_at_a_time(LocalDatastore.update_image_info)
    update_label_info = _one_at_a_time(LocalDatastore.update_label_info)
    get_image_uri = _one_at_a_time(LocalDatastore.get_image_uri)
    get_label_uri = _one_at_a_time(LocalDatastore.get_label_uri)
    get_labels_by_image_id = _one_at_a_time(LocalDatastore.get_labels_by_image_id)
    get_labeled_images = _one_at_a_time(LocalDatastore.get_labeled_images)
    get_unlabeled_images = _one_at_a_time(LocalDatastore.get_unlabeled_images)
    list_images = _one_at_a_time(LocalDatastore.list_images)
    datalist = _one_at_a_time(LocalDatastore.datalist)
    status = _one_at_a_time(LocalDatastore.status)
    json = _one_at_a_time(LocalDatastore.json)
