"""Small runs: some frames of a night, with its calibration frames, on a cluster that stays up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from mirar_dask.data import Dataset, ImageBatch
from mirar_dask.engine.memory import TaskTooLargeError
from mirar_dask.engine.types import Engine, RunResult, RunSettings
from mirar_dask.processors.base.outcome import Record, Status
from mirar_dask.processors.base_processor import BaseProcessor
from mirar_dask.request import Request
from mirar_dask.run import steps_of
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
        return steps_of(self.request, self.configuration)

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
