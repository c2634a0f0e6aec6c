"""A federation on one machine, by NVFlare's simulator."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from nvflare.apis.executor import Executor
from nvflare.job_config.api import FedJob

from dualtask.errors import InputError
from dualtask_research.federated.aggregation import CheckedMean
from dualtask_research.federated.persistence import BundleWeights
from dualtask_research.federated.rounds import TimedRounds


def simulate(
    sites: Mapping[str, Executor],
    initial: Path,
    result: Path,
    workspace: Path,
    rounds: int,
    round_seconds: int,
) -> None:
    """Run all rounds, each site as a process of its own, with a share of the processor's threads.

    The job carries no code: every process runs what is installed, and NVFlare builds only the classes named here.

    Args:
        sites: name -> what trains there.
        initial: weights to begin with.
        result: file of the weights after the last round.
        workspace: folder of NVFlare's logs and of the sites' files.
        rounds: number of rounds.
        round_seconds: after which a round ends without the sites that have not answered.

    Raises:
        InputError: the simulation failed.
    """
    aggregator = CheckedMean(list(sites))
    controller = TimedRounds(aggregator, len(sites), rounds, round_seconds)
    persistor = BundleWeights(str(initial), str(result))
    job = FedJob(name="dualtask", min_clients=1)
    job.set_app_packages(sorted({_package(part) for part in (controller, *sites.values())}))
    job.to_server(controller)
    job.to_server(persistor, id="persistor")
    for site, executor in sites.items():
        job.to(executor, site, tasks=["train"])
    _allow_only(workspace, [controller, aggregator, persistor, *sites.values()])
    result.unlink(missing_ok=True)
    # The sites share the processor: with a thread of each on every core they wait for one another.
    os.environ.setdefault("OMP_NUM_THREADS", str(max((os.cpu_count() or 1) // len(sites), 1)))
    if job.simulator_run(str(workspace), clients=list(sites), threads=len(sites)) or not result.is_file():
        raise InputError(f"The simulation failed: {workspace}/server holds its log.")


def _allow_only(workspace: Path, parts: Sequence[object]) -> None:
    """What a hospital's administrator would state in ``local/resources.json`` of the site."""
    allowed = sorted({f"{type(part).__module__}.{type(part).__qualname__}" for part in parts})
    path = workspace / "local" / "resources.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"format_version": 2, "class_allow_list": allowed}, indent=1))


def _package(part: object) -> str:
    return type(part).__module__.partition(".")[0]
