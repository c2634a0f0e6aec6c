"""Leave-one-site-out studies: variants of the training compared at sites that they never saw."""

from dualtask_research.studies.plan import Run, Study, plan_runs, read_study
from dualtask_research.studies.runner import run_study

__all__ = ["Run", "Study", "plan_runs", "read_study", "run_study"]
