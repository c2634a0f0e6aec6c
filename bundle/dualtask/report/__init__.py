"""One self-contained HTML page about predictions: overlays, scores, course of training, provenance."""

from dualtask.report.page import write_report

__all__ = ["write_report"]
