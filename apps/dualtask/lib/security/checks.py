"""What a request must satisfy before MONAI Label sees it: every name, option and file in it, against the app."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monailabel.datastore.dicom import DICOMWebDatastore
from monailabel.datastore.local import LocalDatastore
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import DefaultLabelTag
from monailabel.interfaces.tasks.infer_v2 import InferType
from starlette.datastructures import FormData, QueryParams, UploadFile
from starlette.exceptions import HTTPException

from dualtask.errors import InputError
from lib.security import names
from lib.security.options import BatchOptions, InferOptions, TaskOptions, check_options, check_record, parse_object
from lib.security.paths import check_inside, check_writable
from lib.security.routes import Body, Route
from lib.security.uploads import check_uploaded_files, check_uploaded_label, check_uploaded_scan, check_uploaded_weights

_NAMED: dict[str, Callable[[str], None]] = {
    "model": names.check_identifier,
    "strategy": names.check_identifier,
    "method": names.check_identifier,
    "session_id": names.check_session,
    "tag": names.check_tag,
    "check_sum": names.check_checksum,
    "limit_cases": names.check_number,
    "lines": names.check_number,
    "refresh": names.check_number,
    "expiry": names.check_number,
}
"""Parameters that mean the same on every route."""

_NO = frozenset({"", "0", "f", "false", "n", "no", "off"})

_STUDY_ROUTES = ("/datastore/", "/infer/")
_OF_NETWORKS = ("/batch/", "/model/")
"""Routes of models that segment by themselves, and not of those that correct what somebody looks at."""

_UPLOAD_PATHS = ("/datastore/", "/datastore/image")


@dataclass(frozen=True)
class Request:
    """A request as it was received.

    Attributes:
        route: which one.
        path: parameters in the path.
        query: parameters after the question mark; one may be given several times.
        form: fields and files, empty for other bodies.
        json: the body of a JSON route.
    """

    route: Route
    path: Mapping[str, str] = field(default_factory=dict)
    query: QueryParams = field(default_factory=QueryParams)
    form: FormData = field(default_factory=FormData)
    json: bytes = b""

    def texts(self) -> Iterator[tuple[str, str]]:
        """Every parameter that is no file, each time it is given."""
        yield from self.path.items()
        yield from self.query.multi_items()
        yield from ((name, value) for name, value in self.form.multi_items() if isinstance(value, str))

    def values(self, *wanted: str) -> list[str]:
        return [value for name, value in self.texts() if name in wanted and value]

    def files(self) -> list[UploadFile]:
        return [value for _, value in self.form.multi_items() if isinstance(value, UploadFile)]

    @property
    def uploads_study(self) -> bool:
        return self.route.method == "PUT" and self.route.path in _UPLOAD_PATHS

    def studies(self) -> list[str]:
        """Ids of the studies that the request names."""
        if self.route.path.startswith("/proxy/"):
            parts = self.path["path"].split("/")
            return parts[1:2] if parts[0] == "studies" else []
        if not self.route.path.startswith(_STUDY_ROUTES):
            return []
        named = self.values("image", "id", "label")
        if self.uploads_study and not named:
            return [_id_from_file(file) for file in self.files()]
        return named


def check_request(app: MONAILabelApp, request: Request) -> None:
    """Check a request.

    Raises:
        InputError: it holds a name, option or file that cannot be used.
        HTTPException: what it names does not exist (404), or does already (409).
    """
    for name, value in request.texts():
        if value and name in _NAMED:
            _NAMED[name](value)
    _check_tasks(app, request)
    _check_studies(app.datastore(), request)
    _check_switches(app.datastore(), request)
    _check_options(app, request)
    _check_files(app, request)


def _check_tasks(app: MONAILabelApp, request: Request) -> None:
    path = request.route.path
    registered: Mapping[str, Any] = app._trainers if path.startswith("/train/") else app._infers
    if path.startswith(_OF_NETWORKS):
        registered = {name: task for name, task in registered.items() if task.type == InferType.SEGMENTATION}
    for kind, known in (("model", registered), ("strategy", app._strategies), ("method", app._scoring_methods)):
        wanted = request.path.get(kind)
        if wanted is not None and wanted not in known:
            raise HTTPException(404, f"There is no {kind} {wanted!r}: ask for one that GET /info/ lists.")


def _check_studies(store: LocalDatastore, request: Request) -> None:
    remote = isinstance(store, DICOMWebDatastore)
    if request.route.path.startswith("/proxy/"):
        if not remote:
            raise HTTPException(404, "There is no DICOM server behind this one: its studies are files.")
        names.check_dicomweb_path(request.path["path"])
        if request.route.method == "POST" and not (request.path["path"] + "/").startswith("studies/"):
            raise InputError("Instances are stored under studies: send them there.")
        return
    if not request.studies() and _asks_for_a_study(request):
        raise HTTPException(404, "The request names no study: ask for one that GET /datastore/ lists.")
    for study in request.studies():
        if request.uploads_study:
            _check_new_study(store, study, remote)
            continue
        (names.check_series_uid if remote else names.check_study)(study)
        if not (_is_remote_series(store, study) if remote else study in store.list_images()):
            raise HTTPException(404, f"There is no study {study!r}: ask for one that GET /datastore/ lists.")
        _check_place(store, request, study)


def _asks_for_a_study(request: Request) -> bool:
    """Whether the request has a blank where a study belongs; one without any parameter is refused later."""
    blank = any(name in ("image", "id", "label") and not value for name, value in request.texts())
    # MONAI Label's clients leave the image of an inference blank when they upload it.
    return blank and request.route.path.startswith("/datastore/")


def _check_new_study(store: LocalDatastore, study: str, remote: bool) -> None:
    if remote:
        raise InputError("The studies are those of the DICOM server: send the scan there.")
    names.check_new_study(study)
    if study in store.list_images():
        raise HTTPException(409, f"There is a study {study!r} already: choose another name.")
    for suffix in names.SCAN_SUFFIXES:
        check_writable(_images(store), study + suffix)


def _check_place(store: LocalDatastore, request: Request, study: str) -> None:
    """Check where the files of a study and its labels lie, and that a label which is saved replaces no other file."""
    check_inside(_images(store), study)
    labels = Path(store._datastore.label_path(None))
    for tag in request.values("tag") or [DefaultLabelTag.FINAL.value]:
        check_inside(labels, f"{tag}/{study}")
        if request.route.method == "PUT":
            for suffix in names.SCAN_SUFFIXES:
                check_writable(labels, f"{tag}/{study}{suffix}")


def _images(store: LocalDatastore) -> Path:
    return Path(store._datastore.image_path())


def _is_remote_series(store: DICOMWebDatastore, series: str) -> bool:
    """Whether the DICOM server has a series; its list is cached for long and may lack the newest."""
    if series in store.list_images():
        return True
    return bool(store._client.search_for_series(search_filters={"SeriesInstanceUID": series}))


def _id_from_file(file: UploadFile) -> str:
    """The id that MONAI Label gives to a scan that is uploaded without one."""
    name = (file.filename or "").replace("\\", "/").rpartition("/")[2]
    return name.replace("".join(Path(name).suffixes), "")


def _check_switches(store: LocalDatastore, request: Request) -> None:
    path = request.route.path
    if path == "/infer/{model}":
        if not request.files() and not request.values("image", "session_id"):
            raise InputError("The request names no image, no session and no file: give one of them.")
        if "dicom_seg" in request.values("output") and not isinstance(store, DICOMWebDatastore):
            raise InputError("Only studies of a DICOM server have a DICOM SEG: ask for the image instead.")
    if any(value.lower() not in _NO for value in request.values("run_sync")):
        # The server would answer nobody until the task has ended.
        raise InputError("Tasks run in the background alone: leave out run_sync.")
    if any(value.lower() not in _NO for value in request.values("uncompress")):
        raise InputError("Archives are not unpacked here: upload the files themselves.")
    if path == "/datastore/dataset" and not store.get_labeled_images():
        raise HTTPException(404, "No study has a final label yet: save one first.")
    if path == "/logs/gpu" and shutil.which("nvidia-smi") is None:
        raise HTTPException(404, "This machine has no NVIDIA GPU.")


def _check_options(app: MONAILabelApp, request: Request) -> None:
    path, model = request.route.path, request.path.get("model", "")
    if path == "/infer/{model}":
        for text in request.values("params"):
            task = app._infers[model]
            check_options(parse_object(text), getattr(task, "options", InferOptions), _offered_by(task))
    elif path.startswith("/datastore/"):
        for text in request.values("params", "info"):
            check_record(parse_object(text))
    elif request.route.body is Body.JSON:
        given = parse_object(request.json)
        if path == "/batch/infer/{model}":
            check_options(given, BatchOptions, _offered_by(app._infers[model]))
        elif path == "/train/{model}":
            check_options(given, TaskOptions, _offered_by(app._trainers[model]))
        elif path in ("/train/", "/scoring/"):
            _check_options_by_task(given, app._trainers if path == "/train/" else app._scoring_methods)
        else:
            tasks = {**app._strategies, **app._scoring_methods}
            check_options(given, TaskOptions, _offered_by(tasks[next(iter(request.path.values()))]))


def _check_options_by_task(given: Mapping[str, Any], tasks: Mapping[str, Any]) -> None:
    """Check options of several tasks: name of the task -> its options."""
    for name, options in given.items():
        if name not in tasks:
            check_options({name: options}, TaskOptions, {})
        elif not isinstance(options, dict):
            raise InputError(f"The options of {name!r} are not a JSON object: send one.")
        else:
            check_options(options, TaskOptions, _offered_by(tasks[name]))


def _offered_by(task: Any) -> dict[str, Any]:
    """The options that a task announces; the names of its weights that exist are always among them."""
    offered = dict(task.info().get("config", {}))
    weights = (Path(path) for path in getattr(task, "path", []))
    offered["model_filename"] = [path.name for path in weights if path.is_file()]
    return offered


def _check_files(app: MONAILabelApp, request: Request) -> None:
    files = request.files()
    if not files:
        return
    if request.route.path == "/session/":
        check_uploaded_files(files)
    elif request.route.body is Body.WEIGHTS:
        for file in files:
            check_uploaded_weights(file, app._infers[request.path["model"]].network)
    elif request.route.path == "/datastore/label":
        segments = [parse_object(text).get("label_info") for text in request.values("params")]
        for file in files:
            check_uploaded_label(file, segments[0] if segments else None)
    else:
        for file in files:
            check_uploaded_scan(file)
