"""What people test pipelines with: simulated nights of known truth, broken frames, faults.

Faulty processors are imported from `mirar_dask.testing.faults`.
"""

from mirar_dask.testing.broken import BROKEN_KINDS, plant_broken_frames
from mirar_dask.testing.camera import Camera
from mirar_dask.testing.dialects import DIALECTS
from mirar_dask.testing.night import simulate_night, truth_folder
from mirar_dask.testing.truth import Deviation, FrameTruth, NightTruth

__all__ = [
    "BROKEN_KINDS",
    "DIALECTS",
    "Camera",
    "Deviation",
    "FrameTruth",
    "NightTruth",
    "plant_broken_frames",
    "simulate_night",
    "truth_folder",
]
