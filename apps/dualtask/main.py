"""MONAI Label app of the bundle: ``monailabel start_server --app apps/dualtask --studies <folder>``."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import HTTPException
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import Datastore, DefaultLabelTag
from monailabel.interfaces.tasks.infer_v2 import InferTask
from monailabel.interfaces.tasks.scoring import ScoringMethod
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.interfaces.tasks.train import TrainTask
from monailabel.utils.async_tasks.utils import tasks

from lib.answers import errors_as_answers, sentence_instead_of_traceback
from lib.batch import BatchInfer
from lib.bundle import find_bundle
from lib.manifest import check_manifest
from lib.repairs import apply_repairs
from lib.server import is_server

if TYPE_CHECKING:
    from lib.results import Result

_RESERVED_MINUTES = 60
_SCAN_SCORES = "scans"


def _reserved_minutes(conf: Mapping[str, str]) -> float:
    from dualtask.errors import InputError

    try:
        return float(conf.get("reservation_minutes", _RESERVED_MINUTES))
    except ValueError as error:
        given = conf["reservation_minutes"]
        raise InputError(f"reservation_minutes {given!r} is no number: write 60 for an hour, say.") from error


class DualTaskApp(MONAILabelApp):
    """Serves inference, training and the next study to label, all from the bundle's own configs.

    Args:
        app_dir: folder of this app; what training writes goes to its ``model`` folder.
        studies: folder of scans, or URL of a DICOMweb server.
        conf: what the server was started with; ``--conf bundle <folder>`` names another bundle than the
            ``bundle`` folder beside ``apps``, ``--conf reservation_minutes <n>`` how long a study is reserved for the
            annotator who was given it (60).

    Raises:
        BundleNotFoundError: there is no bundle.
        BundleChangedError: a file of the bundle is not the one that its manifest names.
        dualtask.errors.InputError: the bundle's weights are absent or unusable.
    """

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        with sentence_instead_of_traceback():
            self.bundle = find_bundle(app_dir, conf)
            check_manifest(self.bundle.root)
            from lib.security import apply_security  # imports the bundle's package

            apply_security(app_dir)
            apply_repairs(self.bundle)
            super().__init__(
                app_dir,
                studies,
                {"server_mode": str(is_server()), **conf},
                name=self.bundle.name,
                description=self.bundle.description,
                version=self.bundle.version,
            )

    # The modules below import the bundle's package, which is found once __init__ knows where the bundle is.

    def init_datastore(self) -> Datastore:
        from lib.proposals import Proposals
        from lib.readings import Readings
        from lib.table import AnnotationTable

        datastore = super().init_datastore()
        self.proposals = Proposals(datastore.state_dir / "proposals", datastore)
        self.table = AnnotationTable(datastore, self.proposals, Readings(datastore.state_dir / "readings", datastore))
        return datastore

    def init_infers(self) -> dict[str, InferTask]:
        from lib.corrections import Clicks, Scribbles
        from lib.infer import DualTaskInfer
        from lib.results import ResultStore
        from lib.scan_maps import MapsInMemory
        from lib.versions import WeightVersions

        shipped = self.bundle.root / "models" / "model.pt"
        self.versions = WeightVersions(Path(self.app_dir) / "model", shipped, self.bundle.version)
        results = ResultStore(self.datastore().state_dir / "results")
        segmenter = DualTaskInfer(self.bundle, self.versions, results, self.conf)
        maps = MapsInMemory(segmenter.scan_maps, lambda: self.versions.digest)
        return {
            self.bundle.name: segmenter,
            "clicks": Clicks(segmenter, maps, self.bundle.labels),
            "scribbles": Scribbles(segmenter, maps, self.bundle.labels),
        }

    def init_trainers(self) -> dict[str, TrainTask]:
        from lib.train import DualTaskTrain

        return {self.bundle.name: DualTaskTrain(self.bundle, self.versions, self.conf)}

    def init_strategies(self) -> dict[str, Strategy]:
        from lib.reservations import Reservations
        from lib.strategies import strategies

        minutes, state = _reserved_minutes(self.conf), self.datastore().state_dir
        labelling = Reservations(state / "reservations.json", minutes)
        reviewing = Reservations(state / "reservations_of_reviewers.json", minutes)
        return strategies(labelling, reviewing, self._scores)

    def init_scoring_methods(self) -> dict[str, ScoringMethod]:
        from lib.scan_scores import ScanScores

        def infer(study: str) -> dict[str, Any]:
            return self.infer({"model": self.bundle.name, "image": study})

        return {_SCAN_SCORES: ScanScores(infer, self._scores)}

    def init_batch_infer(self) -> Callable:
        return BatchInfer()

    def infer(self, request: dict[str, Any], datastore: Datastore | None = None) -> dict[str, Any]:
        """Segment a study or an uploaded scan; MONAI Label's own, with stored results and with people's labels kept.

        A reviewer who asks for the final label of a study gets it in the place of a proposal.
        """
        from lib.infer import STUDY
        from lib.options import shows_final_label

        with errors_as_answers():
            study, datastore = request.get("image"), datastore or self.datastore()
            request = {key: value for key, value in request.items() if key != STUDY}
            final = shows_final_label(request)
            if not isinstance(study, str) or os.path.exists(study):
                if final:
                    raise HTTPException(422, "An uploaded scan has no final label: ask for one of a study.")
                return super().infer(request, datastore)
            datastore.check_known(study)
            if final:
                return self._final_label(study, request, datastore)
            tag = request.get("label_tag") or DefaultLabelTag.ORIGINAL
            if request.get("save_label") and not datastore.may_save_automatic_label(study, tag):
                raise HTTPException(409, f"Study {study!r} has a person's label {tag!r}: save this one by another tag.")
            answer = super().infer({**request, STUDY: study}, datastore)
            if is_server() and request.get("model") == self.bundle.name:
                self._remember_proposal(study, request)
            return answer

    def next_sample(self, request: dict[str, Any]) -> dict[str, Any]:
        """The next study to label or to review; MONAI Label's own, with the review that its label has had."""
        from lib.reviews import review_of

        with errors_as_answers():
            sample = super().next_sample(request)
            review = review_of(self.datastore().final_record(sample["id"])) if sample else {}
            return {**sample, "review": review} if review else sample

    def on_init_complete(self) -> None:
        from monailabel.app import app

        from lib.pages import router

        super().on_init_complete()
        app.include_router(router)

    def on_save_label(self, image_id: str, label_id: str) -> None:
        super().on_save_label(image_id, label_id)
        if self._auto_update_scoring:
            self.async_scoring(None)

    def async_scoring(self, method: str | None, params: dict[str, Any] | None = None) -> Any:
        """Start scoring in the background; what MONAI Label starts by itself only where there is something to do.

        MONAI Label 0.8.5 starts a process at each next sample, which takes a core for ten seconds to find nothing.
        """
        if method is None and self._server_mode:
            waiting = any(task["status"] in ("SUBMITTED", "RUNNING") for task in tasks("scoring"))
            if waiting or not self._scoring_methods[_SCAN_SCORES].missing(self.datastore()):
                return {}
        return super().async_scoring(method, params)

    def _scores(self, study: str) -> Result | None:
        scan = self.datastore().scan_at_hand(study)
        return self._infers[self.bundle.name].stored(scan) if scan else None

    def _final_label(self, study: str, request: dict[str, Any], datastore: Datastore) -> dict[str, Any]:
        from lib.measurements import measure_label
        from lib.reviews import review_of

        if request.get("save_label"):
            raise HTTPException(422, f"The final label of study {study!r} is saved already: leave out save_label.")
        tag = DefaultLabelTag.FINAL.value
        record, label = datastore.get_label_info(study, tag), Path(datastore.get_label_uri(study, tag))
        scan = datastore.get_image_uri(study)
        params = {
            "label_names": self.bundle.labels,
            "annotator": record.get("annotator", ""),
            "ts": record["ts"],
            "review": review_of(record),
            "measurements": measure_label(Path(scan), label),
        }
        file = self._infers[self.bundle.name].written(label, {**request, "image": scan})
        return {"label": file, "tag": tag, "file": file, "params": params}

    def _remember_proposal(self, study: str, request: dict[str, Any]) -> None:
        from lib.options import SegmentationOptions

        scan = self.datastore().scan_at_hand(study)
        result = self._infers[self.bundle.name].stored(scan, SegmentationOptions.of(request))
        if result is not None:
            self.proposals.shown(study, result.mask, result.params["version"])
