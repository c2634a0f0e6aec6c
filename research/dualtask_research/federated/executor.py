"""A site as NVFlare calls it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nvflare.apis.event_type import EventType
from nvflare.apis.executor import Executor
from nvflare.apis.fl_constant import FLMetaKey, ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable, make_reply
from nvflare.apis.signal import Signal
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from dualtask.errors import InputError, find_input_error
from dualtask_research.federated.settings import plain_settings, training_configs
from dualtask_research.federated.site import SiteTraining


class SiteExecutor(Executor):
    """Trains a round whenever the server asks for it, and answers with weights and their number of steps alone.

    What goes wrong is answered as a failure and logged in one sentence; the site takes part in the next round.
    NVFlare's own package for MONAI (monai-nvflare 0.4.0) wants NVFlare 2.7, whose pins disagree with constraints.txt
    (Flask), evaluates by a second workflow, and reads the configs that the server sends.

    Args:
        overlays: configs of the site's own folder ``configs``, on top of the bundle's ``train.json``.
        settings: numbers and words, id -> value; ``dataset_dir`` is the site's folder of scans.
        local_epochs: of a round.
    """

    def __init__(self, overlays: Sequence[str], settings: Mapping[str, Any], local_epochs: int) -> None:
        super().__init__()
        self.overlays = list(overlays)
        self.settings = dict(settings)
        self.local_epochs = local_epochs
        self.training: SiteTraining | None = None

    def execute(self, task_name: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal) -> Shareable:
        try:
            if self.training is None:
                self.training = self.build(fl_ctx)
            weights, steps = self.training.train(FLModelUtils.from_shareable(shareable).params)
        except Exception as error:
            if sentence := find_input_error(error):
                self.log_error(fl_ctx, str(sentence))
            else:
                self.log_exception(fl_ctx, f"The round ended with {error!r}.")
            return make_reply(ReturnCode.EXECUTION_EXCEPTION)
        if abort_signal.triggered:
            return make_reply(ReturnCode.TASK_ABORTED)
        answer = FLModel(ParamsType.FULL, weights, meta={FLMetaKey.NUM_STEPS_CURRENT_ROUND: steps})
        return FLModelUtils.to_shareable(answer)

    def build(self, fl_ctx: FLContext) -> SiteTraining:
        """The site's training, whose files lie in the site's own folder of the job."""
        name = fl_ctx.get_identity_name()
        if "dataset_dir" not in self.settings:
            raise InputError(f"The job names no scans of {name}: give its dataset_dir.")
        output = str(Path(fl_ctx.get_engine().get_workspace().get_run_dir(fl_ctx.get_job_id())) / "training")
        settings = {**plain_settings(self.settings), "output_dir": output, "ckpt_dir": output}
        return SiteTraining(name, training_configs(self.overlays), settings, self.local_epochs)

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        if event_type == EventType.ABORT_TASK and self.training:
            self.training.abort()
