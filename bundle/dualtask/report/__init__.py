"""Self-contained HTML pages: one about an evaluation, and one about the result of a single scan."""

from dualtask.report.page import write_report
from dualtask.report.scan_page import ReportScan, write_scan_report

__all__ = ["ReportScan", "write_report", "write_scan_report"]
