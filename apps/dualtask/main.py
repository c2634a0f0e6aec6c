"""MONAI Label app of the bundle: ``monailabel start_server --app apps/dualtask --studies <folder>``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.infer_v2 import InferTask
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.interfaces.tasks.train import TrainTask

from lib.answers import check_study, errors_as_answers, sentence_instead_of_traceback
from lib.batch import BatchInfer
from lib.bundle import find_bundle
from lib.repairs import apply_repairs
from lib.server import is_server
from lib.strategies import strategies


class DualTaskApp(MONAILabelApp):
    """Serves inference, training and the next study to label, all from the bundle's own configs.

    Args:
        app_dir: folder of this app; what training writes goes to its ``model`` folder.
        studies: folder of scans, or URL of a DICOMweb server.
        conf: what the server was started with; ``--conf bundle <folder>`` names another bundle than the
            ``bundle`` folder beside ``apps``.

    Raises:
        BundleNotFoundError: there is no bundle.
        dualtask.errors.InputError: the bundle's weights are absent or unusable.
    """

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        with sentence_instead_of_traceback():
            self.bundle = find_bundle(app_dir, conf)
            self.training_dir = Path(app_dir) / "model"
            apply_repairs(self.bundle)
            super().__init__(
                app_dir,
                studies,
                {"server_mode": str(is_server()), **conf},
                name=self.bundle.name,
                description=self.bundle.description,
                version=self.bundle.version,
            )

    # The two modules below import the bundle's package, which is found once __init__ knows where the bundle is.

    def init_infers(self) -> dict[str, InferTask]:
        from lib.infer import DualTaskInfer

        return {self.bundle.name: DualTaskInfer(self.bundle, self.training_dir, self.conf)}

    def init_trainers(self) -> dict[str, TrainTask]:
        from lib.train import DualTaskTrain

        current_weights = self._infers[self.bundle.name].get_path
        return {self.bundle.name: DualTaskTrain(self.bundle, self.training_dir, current_weights, self.conf)}

    def init_strategies(self) -> dict[str, Strategy]:
        return strategies()

    def init_batch_infer(self) -> Callable:
        return BatchInfer()

    def infer(self, request: dict[str, Any], datastore: Datastore | None = None) -> dict[str, Any]:
        with errors_as_answers():
            check_study(request.get("image"), datastore or self.datastore())
            return super().infer(request, datastore)

    def next_sample(self, request: dict[str, Any]) -> dict[str, Any]:
        with errors_as_answers():
            return super().next_sample(request)
