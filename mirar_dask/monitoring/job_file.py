"""The job of a queue system that a run's driver is, or will be, in: `job.json` in the run's folder.

`submit` writes it before there is a run to speak of; `status` and `cancel` read it, and a driver
whose time is nearly over finds in it whether it may be continued.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from mirar_dask.atomic import replacing
from mirar_dask.json_files import has_form, read_object

JOB, SCRIPT, OUTPUT = "job.json", "job.sh", "job.out"
"""Files of a run's folder: this description, the job's script, and what the job prints."""
HANDING_ON = "ended by the time of its job; another one is being submitted"
"""Why a run was ended, for the moment until it is known what follows."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A driver's job."""

    system: str
    """The queue system."""
    job_id: str = ""
    """Its number there; empty until it is submitted."""
    submitted: str = ""
    """When: ISO 8601, UTC."""
    host: str = ""
    """Where it was submitted."""
    steps: bool = False
    """Whether the driver is one of the tasks of a job step: a signal would reach all of them."""
    number: int = 1
    """1 for the run that a user submitted, 2 for the one that goes on with it, and so on."""
    most: int = 1
    """Greatest such number."""
    driver: Mapping[str, Any] = field(default_factory=dict)
    """What it asks for, so that another like it can be submitted."""
    continues: str = ""
    """The run that it goes on with."""
    ending: str = ""
    """Why the run was ended before the night was, if so, and what follows, in a sentence."""

    @property
    def title(self) -> str:
        """What it is called."""
        return f"job {self.job_id} of {self.system}"


def read_job(folder: Path) -> Job | None:
    """Read the job of the run with this folder; None if it has none."""
    try:
        values = read_object(folder / JOB)
    except OSError:
        return None
    if values is None or "system" not in values or not has_form(values, Job):
        return None
    known = {part.name for part in fields(Job)}
    return Job(**{name: value for name, value in values.items() if name in known})


def write_job(folder: Path, job: Job) -> None:
    """Write the job of the run with this folder, whole or not at all."""
    with replacing(folder / JOB) as temporary:
        temporary.write_text(json.dumps(asdict(job), indent=1) + "\n", encoding="utf-8")
