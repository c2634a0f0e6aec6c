"""Studies and their labels: whole files, who labelled when, and no correction lost."""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Collection
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from filelock import FileLock
from monailabel.datastore.local import DataModel, ImageLabelModel, LocalDatastore, LocalDatastoreModel
from monailabel.interfaces.datastore import DefaultLabelTag
from monailabel.interfaces.exception import ImageNotFoundException, LabelNotFoundException

from dualtask.errors import InputError
from dualtask.files import write_atomically
from lib.annotator import annotator
from lib.reviews import FIRST_READING, REVIEW, SECOND_READER, SECOND_READING, SENT_BACK, new_review, status_of
from lib.segments import as_structures

_STATE_FOLDER = "dualtask"


def _one_at_a_time(method: Callable[..., Any], *, of_all_processes: bool = False) -> Callable[..., Any]:
    """Let one thread in, which sees what other processes saved."""

    @functools.wraps(method)
    def locked(self: StudyFolder, *args: Any, **options: Any) -> Any:
        with self.lock, self._folder_lock if of_all_processes else nullcontext():
            self._init_from_datastore_file()
            return method(self, *args, **options)

    return locked


def _alone(method: Callable[..., Any]) -> Callable[..., Any]:
    """Let one thread of one process in: between reading the list and writing it nobody else writes."""
    return _one_at_a_time(method, of_all_processes=True)


def _identity(path: Path) -> tuple[int, int, int]:
    """Tells a file from the one that it replaced, even if both were written in the same tick of the clock."""
    state = path.stat()
    return state.st_ino, state.st_mtime_ns, state.st_size


class StudyFolder(LocalDatastore):
    """A folder of studies, in which requests of several threads and a kill at any moment leave whole records.

    MONAI Label 0.8.5 writes its list of labels and the labels themselves in place, and its threads empty the list while
    others read it. What was removed stays in the list until a watcher of the folder notices, and of two servers on one
    folder the one that saves later strikes what the other saved off the list.

    A label carries ``annotator`` and ``ts`` (seconds since 1970); an automatic one ``model`` and no ``annotator``.
    A final label that was reviewed carries its review, see ``lib.reviews``. When it is handed to a second reader it is
    kept as the first reading, and what another annotator saves next is kept as the second one as well.
    """

    _config_ts: object  # MONAI Label's time of the list; here the identity of its file

    def __init__(self, *args: Any, **options: Any) -> None:
        self.lock = threading.RLock()
        super().__init__(*args, **options)

    @functools.cached_property
    def _folder_lock(self) -> FileLock:
        """Held by one process; the thread that holds it may take it again."""
        return FileLock(self._lock_file)

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
        return tag != DefaultLabelTag.FINAL and (present is None or "annotator" not in present.info)

    @_alone
    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        self.check_known(image_id)
        info = {**(label_info or {}), "ts": int(time.time())}
        # 3D Slicer names the model beside the label that a person submits, too.
        if label_tag == DefaultLabelTag.FINAL or "client_id" in info or "model" not in info:
            info.setdefault("annotator", annotator(info.get("client_id")))
        before = self._datastore.label(image_id, label_tag)
        with tempfile.TemporaryDirectory() as folder:
            file = str(as_structures(Path(label_filename), info.pop("label_info", None), Path(folder)))
            if label_tag == DefaultLabelTag.FINAL and before and status_of(before.info) == SECOND_READER:
                if info.get("annotator") == before.info["annotator"]:  # still waits for another
                    info[REVIEW] = before.info[REVIEW]
                else:
                    self._put_label(image_id, file, SECOND_READING, info)
            self._put_label(image_id, file, label_tag, info)
        self._update_datastore_file()
        return image_id

    def _put_label(self, image_id: str, file: str, tag: str, info: dict[str, Any]) -> None:
        """Copy a label to its place and list it; the list is yet to be written."""
        extension = self._to_id(os.path.basename(file))[1]
        name = self._filename(image_id, extension)
        path = Path(self._datastore.label_path(tag)) / name
        write_atomically(path, lambda temporary: shutil.copyfile(file, temporary))
        self._datastore.objects[image_id].labels[tag] = DataModel(info={**info, "name": name}, ext=extension)

    @_alone
    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        stem, extension = self._to_id(os.path.basename(image_filename))
        image_id = image_id or stem
        name = self._filename(image_id, extension)
        path = Path(self._datastore.image_path()) / name
        write_atomically(path, lambda temporary: shutil.copyfile(image_filename, temporary))
        info = {**(image_info or {}), "ts": int(time.time()), "name": name}
        self._datastore.objects[image_id] = ImageLabelModel(image=DataModel(info=info, ext=extension))
        self._update_datastore_file()
        return image_id

    @_alone
    def remove_label(self, label_id: str, label_tag: str) -> None:
        self._check_label(label_id, label_tag)
        super().remove_label(label_id, label_tag)
        self.refresh()

    @_alone
    def update_label_info(self, label_id: str, label_tag: str, info: dict[str, Any]) -> None:
        """Add to the record of a label; what is added to a final one as its review is checked, and done.

        Raises:
            InputError: the review says nothing that can be done.
        """
        self._check_label(label_id, label_tag)
        if label_tag == DefaultLabelTag.FINAL and REVIEW in info:
            label = self._datastore.label(label_id, label_tag)
            info = {**info, REVIEW: new_review(info[REVIEW], label.info, label_id)}
            if info[REVIEW]["status"] == SECOND_READER:
                self._keep_first_reading(label_id, label)
        super().update_label_info(label_id, label_tag, info)

    def _keep_first_reading(self, image_id: str, label: DataModel) -> None:
        """Keep a final label as the first reading; what was read before it is no pair with what is read next."""
        file = LocalDatastore.get_label_uri(self, image_id, DefaultLabelTag.FINAL)
        self._put_label(image_id, file, FIRST_READING, label.info)
        earlier = self._datastore.objects[image_id].labels.pop(SECOND_READING, None)
        if earlier is not None:
            (Path(self._datastore.label_path(SECOND_READING)) / self._filename(image_id, earlier.ext)).unlink()

    def final_record(self, image_id: str) -> dict[str, Any] | None:
        """Record of a study's final label, or None: it has none, or none that is known on this machine."""
        label = self.label_at_hand(image_id, DefaultLabelTag.FINAL)
        return label[1] if label else None

    @_one_at_a_time
    def datalist(self, full_path: bool = True) -> list[dict[str, Any]]:
        """Scan and final label of each study; labels that a reviewer sent back are left out, so that they teach nobody.

        Args:
            full_path: False for paths below the folder.
        """
        labelled = self._datastore.filter_by_tag(DefaultLabelTag.FINAL).values()
        pairs = zip(labelled, super().datalist(full_path), strict=True)
        return [pair for study, pair in pairs if status_of(study.labels[DefaultLabelTag.FINAL].info) != SENT_BACK]

    @_alone
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

    def _init_from_datastore_file(self, throw_exception: bool = False) -> None:
        """Read the list if it changed; no lock is needed for a file that is replaced as a whole."""
        path = Path(self._datastore_config_path)
        with self.lock:
            if not path.exists() or _identity(path) == self._config_ts:
                return
            identity = _identity(path)
            try:
                listed = LocalDatastoreModel.model_validate_json(path.read_text())
            except ValueError as error:
                raise InputError(
                    f"{path} is damaged: remove it, and the labels themselves will be listed again."
                ) from error
            listed.base_path = self._datastore_path
            self._datastore, self._config_ts = listed, identity

    def _update_datastore_file(self, lock: bool = True) -> None:
        path = Path(self._datastore_config_path)
        text = self._datastore.model_dump_json(exclude={"base_path"}, indent=2)
        with self.lock, self._folder_lock:
            write_atomically(path, lambda temporary: temporary.write_text(text))
            self._config_ts = _identity(path)

    def _list_files(self, path: str, patterns: Collection[str]) -> dict[str, str]:
        # What a kill leaves of a file that was being written begins with a dot.
        found = super()._list_files(path, patterns)
        return {name: file for name, file in found.items() if not name.startswith(".")}

    def _check_label(self, label_id: str, tag: str) -> None:
        if self._datastore.label(label_id, tag) is None:
            self.check_known(label_id)
            raise LabelNotFoundException(f"Study {label_id!r} has no label {tag!r}: ask for one that it has.")

    _reconcile_datastore = _alone(LocalDatastore._reconcile_datastore)
    update_image_info = _alone(LocalDatastore.update_image_info)
    get_image_uri = _one_at_a_time(LocalDatastore.get_image_uri)
    get_label_uri = _one_at_a_time(LocalDatastore.get_label_uri)
    get_labels_by_image_id = _one_at_a_time(LocalDatastore.get_labels_by_image_id)
    get_labeled_images = _one_at_a_time(LocalDatastore.get_labeled_images)
    get_unlabeled_images = _one_at_a_time(LocalDatastore.get_unlabeled_images)
    list_images = _one_at_a_time(LocalDatastore.list_images)
    status = _one_at_a_time(LocalDatastore.status)
    json = _one_at_a_time(LocalDatastore.json)
