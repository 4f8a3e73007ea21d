"""Small runs: some frames of a night, with its calibration frames, on a cluster that stays up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from mirar_dask.data import Dataset, ImageBatch
from mirar_dask.engine.memory import TaskTooLargeError
from mirar_dask.engine.types import Engine, RunResult, RunSettings
from mirar_dask.errors import ClusterError
from mirar_dask.monitoring.state import FAILURES
from mirar_dask.planning import steps_of
from mirar_dask.processors.base.outcome import Record, Status
from mirar_dask.processors.base_processor import BaseImageLoader, BaseProcessor
from mirar_dask.processors.utils.cal_hunter import CalHunter, MissingCalibrationsError
from mirar_dask.request import Request
from mirar_dask.watching.frames import Frame, Headers, first_joint
from mirar_dask.watching.sightings import Arrival


class SmallRuns:
    """Runs a configuration, or the beginning of it, on a few frames at a time.

    Parameters
    ----------
    engine : Engine
        Of the cluster.
    request : Request
        Of the night.
    settings : RunSettings
        Of the run that watches.
    realtime : str, optional
        Configuration; by default ``realtime``, where the pipeline has one, else the first that the
        request names, up to the first step that looks at its frames together.
    """

    def __init__(
        self,
        engine: Engine,
        request: Request,
        settings: RunSettings,
        realtime: str | None = None,
    ) -> None:
        self.engine, self.request = engine, request
        self.settings = replace(settings, opened=None, keep_results=False)
        first = request.settings.configurations[0]
        known = request.pipeline.all_pipeline_configurations
        self.configuration = realtime or ("realtime" if "realtime" in known else first)
        steps = self._steps()
        self._headers = Headers(steps, self.settings, request.folders.raw)
        self._joint = len(steps) if self.configuration != first else first_joint(steps)
        self.stacks = self._joint < len(steps)
        """Whether there are steps that look at frames together, for sets of dithers."""

    def _steps(self) -> list[BaseProcessor]:
        steps = steps_of(self.request, self.configuration)
        required = self.request.pipeline.default_cal_requirements
        if required is None or any(isinstance(step, CalHunter) for step in steps):
            return steps
        # mirar's monitor looks for what a pipeline requires by itself.
        loader = steps[0]
        assert isinstance(loader, BaseImageLoader)
        hunter = CalHunter(required, load_image=getattr(loader, "load_image", None))
        hunter.set_night(loader.night_sub_dir or "")
        return [loader, hunter, *steps[1:]]

    def read(self, arrivals: Iterable[Arrival]) -> list[Frame]:
        """Read the headers of frames that have come, in the order of their names."""
        return self._headers.read(self._steps(), arrivals)

    def reduce(
        self, calibrations: Iterable[Frame], frames: Sequence[Frame], *, together: bool = False
    ) -> RunResult | Record:
        """Reduce frames, each by itself or all together.

        Parameters
        ----------
        calibrations : iterable of Frame
            Calibration frames of the night.
        frames : sequence of Frame
            Without one, masters are made.
        together : bool
            Whether the steps that look at frames together are run too.

        Returns
        -------
        RunResult or Record
            What became of them; a record if they fit no worker.
        """
        steps = self._steps() if together else self._steps()[: self._joint]
        members = [*calibrations, *frames]
        settings = replace(
            self.settings,
            opened=self._headers.opened(steps, members),
            frames=frozenset(frame.name for frame in members),
        )
        try:
            return self.engine.run(steps, Dataset([ImageBatch()]), settings)
        except TaskTooLargeError as error:
            names = tuple(frame.name for frame in frames)
            return Record(names, Status.FAILED, "plan", " ".join(str(error).split()))
        except Exception as error:
            if getattr(self.engine, "connected", True):
                raise
            raise ClusterError(
                "the scheduler is gone; start it again, and then the same command, "
                "which goes on with the night"
            ) from error


def what_became(
    frames: Iterable[Frame], result: RunResult | Record
) -> Iterator[tuple[Frame, Status, str]]:
    """Tell what became of each frame of a small run, and why it failed or waits.

    Parameters
    ----------
    frames : iterable of Frame
        Those that the run was made for.
    result : RunResult or Record
        What `SmallRuns.reduce` returned.
    """
    if isinstance(result, Record):
        yield from ((frame, result.status, result.reason) for frame in frames)
        return
    why = {n: r for r in result.records if r.status in FAILURES for n in r.names}
    for frame in frames:
        status = result.frames.get(frame.name, Status.SET_ASIDE)
        record = why.get(frame.name)
        report = None if record is None else record.report
        if report is not None and report.error_name == MissingCalibrationsError.__name__:
            status = Status.BLOCKED  # it may still come
        yield frame, status, record.reason if record is not None else status.value
