"""The night's report: one HTML file, made of a run's folder and the products beside it."""

from mirar_dask.monitoring.night_report.writing import report_html, write_report

__all__ = ["report_html", "write_report"]
