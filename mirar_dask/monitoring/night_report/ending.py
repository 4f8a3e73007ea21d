"""What a run leaves at its end for people to look at: the report, and the pipeline's flowchart.

`execution` asks for it once the summary is written. Nothing that goes wrong here harms the
run: it is logged, and `mirar-dask report` can make the report later.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from mirar_dask.monitoring.flowchart import write_flowcharts
from mirar_dask.monitoring.night_report.writing import write_report
from mirar_dask.monitoring.standing import read_standing

logger = logging.getLogger(__name__)

LEAST_SECONDS = 0.12
SHARE = 0.02
"""Part of the time of a run that drawing pictures may take, and not less than the seconds above."""


def leave_report(
    folder: Path, place_of_flowchart: Callable[[], Path], seconds: float
) -> Path | None:
    """Write the report and the flowcharts of a run that has just ended.

    Parameters
    ----------
    folder : Path
        The run's own folder, with its summary.
    place_of_flowchart : callable
        Returns where the PNG goes, in a folder that it makes; the SVG goes beside it.
    seconds : float
        How long the run took.

    Returns
    -------
    Path or None
        The report; None if it could not be written, which is logged.
    """
    try:
        standing = read_standing(folder)
        if standing.plan is not None:
            title = f"{standing.night}: steps of the run {standing.run_id}"
            write_flowcharts(place_of_flowchart(), title, standing.plan, standing.progress)
        budget = max(LEAST_SECONDS, SHARE * seconds)
        return write_report(standing, seconds_of_pictures=budget)
    except Exception:  # a full disk, a product that is gone, a fault of ours: the night is reduced
        logger.exception("no report could be written; 'mirar-dask report %s' tries again", folder)
        return None
