"""Scores of masks on disk against reference labels, whoever made the masks."""

from dualtask.evaluation.components import read_components
from dualtask.evaluation.label_maps import prediction_path, read_label_maps
from dualtask.evaluation.metrics import METRICS, SURFACE_TOLERANCE_MM, TOLERANCES_MM, score_label_maps
from dualtask.evaluation.scoring import score_cases
from dualtask.evaluation.tables import read_scores, summarise
from dualtask.scans.writing import case_name

__all__ = [
    "METRICS",
    "SURFACE_TOLERANCE_MM",
    "TOLERANCES_MM",
    "case_name",
    "prediction_path",
    "read_components",
    "read_label_maps",
    "read_scores",
    "score_cases",
    "score_label_maps",
    "summarise",
]
