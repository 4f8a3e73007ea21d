"""Aligning the images of a batch and combining them into one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

from mirar_dask.data import Image, ImageBatch, MemoryPixels
from mirar_dask.data.memory import current_task_memory
from mirar_dask.errors import ProcessorError, UsageError
from mirar_dask.io import save_to_path
from mirar_dask.paths import (
    BASE_NAME_KEY,
    LATEST_WEIGHT_SAVE_KEY,
    get_output_path,
    get_weight_path,
)
from mirar_dask.processors.align.cleaning import FloatImage
from mirar_dask.processors.align.resample import INTERPOLATIONS, Interpolation
from mirar_dask.processors.align.transform import Limits, Shape
from mirar_dask.processors.base.claims import current_claims
from mirar_dask.processors.base_processor import BaseImageProcessor
from mirar_dask.processors.stack_combine import (
    BYTES_A_VALUE,
    DEFAULT_MAX_BYTES,
    STACK_METHODS,
    FrameWeights,
    StackMethod,
    combine_stack,
)
from mirar_dask.processors.stack_header import Input, stack_header
from mirar_dask.processors.stack_place import ALIGN_BY, AlignBy, Place, Places, place_frames
from mirar_dask.processors.stack_register import (
    IN_MEMORY_BYTES,
    Background,
    Canvas,
    Level,
    exposure_factor,
    keep,
    measure_level,
    prepare_pixels,
    register,
    union_canvas,
)

__all__ = ["ImageStacker", "StackError"]

FluxScaling = Literal["none", "exptime", "stars"]
Weighting = Literal["noise", "none"]
Extent = Literal["reference", "union"]

FRAMES_TO_REGISTER = 3
"""Frames of memory that bringing one to the pixels of the stack takes."""
MIN_FLUX_STARS = 3
"""Least number of common stars by which images are brought to one flux."""


class StackError(ProcessorError):
    """Raised when too few images of a batch can be stacked; the message names the others."""


class ImageStacker(BaseImageProcessor):
    """Align the images of a batch and combine them into one.

    An image is aligned by its WCS, unless its stars contradict that; without a WCS by its stars;
    without enough stars by cross-correlation, once what stands still in all frames (the fixed
    pattern of an uncalibrated camera) is left out. An alignment that is not plausible or not
    significant is not used: that image is left out, with a caveat that names it.

    Parameters
    ----------
    method : {'median', 'mean', 'sigma_clip'}
        How registered images are combined; 'mean' and 'sigma_clip' are weighted.
    align_by : {'auto', 'wcs', 'stars', 'correlation', 'none'}
        'auto' as said above; the others allow that way alone.
    sigma : float
        Clipping threshold of ``sigma_clip``, in standard deviations.
    max_iterations : int
        Most rounds of clipping.
    min_inputs : int
        Least number of images that make a stack. Of a batch of several at least two must be
        aligned in any case.
    weighting : {'noise', 'none'}
        Weights: 1 / (variance of the sky), or 1.
    background : {'none', 'level', 'subtract'}
        Leave the sky as it is; bring it to the level of the reference by a constant; or subtract
        a smooth background from every image.
    flux_scaling : {'none', 'exptime', 'stars'}
        Bring images to the flux of the reference by nothing, exposure time, or common stars.
    interpolation : {'cubic', 'linear', 'nearest'}
        How images are resampled; 'nearest' moves whole pixels.
    extent : {'reference', 'union'}
        The stack covers the reference image, or all that any image covers.
    output_sub_dir : str
        Folder below the night's output folder for the weight map.
    write_weights : bool
        Write the weight map ``<stack>.weight.fits`` (sum of the weights of what went into a pixel;
        0 = masked), named by WGHTPATH.
    max_shift : float
        Largest shift that is believed, as a fraction of the width and height.
    max_rotation : float
        Largest rotation that is believed, from upright or upside down: degrees.
    min_matches : int
        Least number of stars that must agree.
    max_rms : float
        Largest residual of these stars: pixels.

    Notes
    -----
    Reads every key (what all inputs have in common stays), among them COADDS, DATE-OBS, EXPTIME,
    GAIN, SATURATE, SAVEPATH, the WCS; writes BASENAME (``<first>_stack.fits``), COADDS and EXPTIME
    (summed), DATE-OBS (the earliest), GAIN (the effective one: of a mean of n frames n times
    theirs), SATURATE (the lowest), RAWPATH and STCKCMPT (joined by commas), WGHTPATH (the weight
    map), STCKHOW and NCOMBINE (how, and how many were combined), ALIGNBY, ALIGNREF, ALIGNOUT (how,
    on which image and without which images it was aligned), for input n IMCMBn (its name), ALDXn,
    ALDYn, ALROn (how it lay), ALBYn, ALNMn, ALRMn (on what evidence), ALWTn, ALFXn (how it was
    weighted and scaled), ALSKn, ALNOn (its sky and noise), and where stars were looked for (not
    with ``align_by`` 'wcs' or 'none') ALFWn, ALELn (width in pixels and ellipticity of its stars),
    ALNSn (how many were found, 300 at most).

    Pixels are float32, NaN where no image has a value.
    """

    base_key = "stack"
    version = "2"
    fails_before_changing = True

    def __init__(
        self,
        method: StackMethod = "median",
        align_by: AlignBy = "auto",
        *,
        sigma: float = 3.0,
        max_iterations: int = 5,
        min_inputs: int = 1,
        weighting: Weighting = "noise",
        background: Background = "level",
        flux_scaling: FluxScaling = "none",
        interpolation: Interpolation = "cubic",
        extent: Extent = "reference",
        output_sub_dir: str = "stack",
        write_weights: bool = True,
        max_shift: float = 0.5,
        max_rotation: float = 5.0,
        min_matches: int = 3,
        max_rms: float = 1.0,
    ) -> None:
        super().__init__()
        for name, value, allowed in (
            ("method", method, STACK_METHODS),
            ("align_by", align_by, ALIGN_BY),
            ("weighting", weighting, get_args(Weighting)),
            ("background", background, get_args(Background)),
            ("flux_scaling", flux_scaling, get_args(FluxScaling)),
            ("interpolation", interpolation, INTERPOLATIONS),
            ("extent", extent, get_args(Extent)),
        ):
            if value not in allowed:
                raise UsageError(
                    f"{name}={value!r} of ImageStacker: expected one of {', '.join(allowed)}"
                )
        self.method = method
        self.align_by = align_by
        self.sigma = sigma
        self.max_iterations = max_iterations
        self.min_inputs = min_inputs
        self.weighting = weighting
        self.background = background
        self.flux_scaling = flux_scaling
        self.interpolation = interpolation
        self.extent = extent
        self.output_sub_dir = output_sub_dir
        self.write_weights = write_weights
        self.max_shift = max_shift
        self.max_rotation = max_rotation
        self.min_matches = min_matches
        self.max_rms = max_rms

    def description(self) -> str:
        """Say how images are aligned and combined."""
        how = {"auto": "by WCS, stars or cross-correlation", "none": "as they are"}
        aligned = how.get(self.align_by, f"by {self.align_by}")
        return f"Align the images of a batch ({aligned}) and combine them by {self.method}"

    def memory_needed(self, shape: tuple[int, ...], n_images: int) -> int:
        """Bytes for registered frames, for bands of them, and for the stack with its weights."""
        frame = 4 * math.prod(shape)
        registered = min(n_images * frame, IN_MEMORY_BYTES + frame)
        combining = min(BYTES_A_VALUE * n_images * frame // 4, DEFAULT_MAX_BYTES)
        return registered + max(combining, FRAMES_TO_REGISTER * frame) + 2 * frame

    @property
    def limits(self) -> Limits:
        """What is believed of an alignment."""
        return Limits(
            max_shift=self.max_shift,
            max_rotation=self.max_rotation,
            min_matches=self.min_matches,
            max_rms=self.max_rms,
        )

    def _apply_to_images(self, batch: ImageBatch) -> ImageBatch:
        images = list(batch)
        if not images:
            return batch
        for image in images:
            if len(image.shape) != 2:
                raise StackError(f"'{image.get_name()}' has shape {image.shape}, not (ny, nx)")
        places = place_frames(images, self.align_by, self.limits)
        self._report(images, places)
        used = [i for i, place in enumerate(places.found) if isinstance(place, Place)]
        canvas = self._canvas([_shape_of(image) for image in images], places)
        levels = {i: measure_level(images[i]) for i in used}
        factors = {i: self._flux_factor(images, places, i) for i in used}
        frames: list[Image] = []
        for i in used:
            sky = levels[places.ref].sky
            pixels = prepare_pixels(images[i], levels[i], factors[i], sky, self.background)
            keep(frames, register(pixels, places, i, canvas, self.interpolation), images[i])
        known = self._weights(used, places.ref, levels, factors)
        data, weight = combine_stack(
            frames,
            known,
            method=self.method,
            sigma=self.sigma,
            max_iterations=self.max_iterations,
        )
        inputs = [
            Input(
                images[i],
                place.solution,
                weight_of,
                factors[i],
                sky=levels[i].sky,
                noise=levels[i].noise,
            )
            for i, weight_of in zip(used, known.weights, strict=True)
            if isinstance(place := places.found[i], Place)
        ]
        header = stack_header(
            inputs,
            images[places.ref],
            _shape_of(images[places.ref]),
            origin=canvas.origin,
            left_out=[image.get_name() for i, image in enumerate(images) if i not in levels],
            how=self._how(),
            efficiency=2 / math.pi if self.method == "median" and len(inputs) > 2 else 1.0,
        )
        stack = Image(MemoryPixels(data), header)
        if self.write_weights:
            self._save_weight(weight, stack)
        if current_task_memory() is None:
            stack.publish()
        return ImageBatch([stack])

    # -- what is used ---------------------------------------------------------------------------

    def _report(self, images: Sequence[Image], places: Places) -> None:
        """Say which images are left out and why; raise if too few are left."""
        refused = {
            images[i].get_name(): str(place)
            for i, place in enumerate(places.found)
            if not isinstance(place, Place)
        }
        n = len(images) - len(refused)
        needed = max(self.min_inputs, min(2, len(images)))
        if n < needed:
            reasons = "; ".join(f"{name}: {why}" for name, why in list(refused.items())[:5])
            raise StackError(
                f"{n} of {len(images)} images can be stacked, {needed} are needed"
                + (f" ({reasons}{'; ...' if len(refused) > 5 else ''})" if refused else "")
            )
        for i, place in enumerate(places.found):
            if not isinstance(place, Place):
                self.add_caveat(
                    images[i], f"'{images[i].get_name()}' is left out of the stack: {place}"
                )
        for i, reason in places.caveats:
            self.add_caveat(images[i], f"'{images[i].get_name()}': {reason}")

    def _canvas(self, shapes: Sequence[Shape], places: Places) -> Canvas:
        """Choose the pixels of the stack."""
        shape = shapes[places.ref]
        if self.extent == "reference":
            return Canvas(shape)
        union = union_canvas(shapes, places)
        if union is None:
            raise StackError(
                "the union of the images has many times the pixels of "
                f"'{shape[1]} x {shape[0]}'; use extent='reference'"
            )
        return union

    def _flux_factor(self, images: Sequence[Image], places: Places, i: int) -> float:
        if self.flux_scaling == "none" or i == places.ref:
            return 1.0
        image, ref = images[i], images[places.ref]
        if self.flux_scaling == "exptime":
            factor = exposure_factor(image, ref)
            if factor is None:
                self.add_caveat(image, f"'{image.get_name()}' is not scaled: no EXPTIME is known")
            return factor or 1.0
        place = places.found[i]
        assert isinstance(place, Place)
        ratio = place.solution.flux_ratio
        if ratio is None or ratio <= 0 or place.solution.n_matches < MIN_FLUX_STARS:
            self.add_caveat(
                image, f"'{image.get_name()}' is not scaled: too few stars are common to it"
            )
            return 1.0
        return 1.0 / ratio

    def _weights(
        self, used: Sequence[int], ref: int, levels: dict[int, Level], factors: dict[int, float]
    ) -> FrameWeights:
        noises = [levels[i].noise * abs(factors[i]) for i in used]
        weighted = self.weighting == "noise" and all(noise > 0 for noise in noises)
        weights = [1.0 / noise**2 if weighted else 1.0 for noise in noises]
        sky = 0.0 if self.background == "subtract" else levels[ref].sky
        return FrameWeights(tuple(weights), tuple(noises), sky)

    def _how(self) -> str:
        weights = "" if self.method == "median" else f", weights: {self.weighting}"
        return f"{self.method}, {self.interpolation}{weights}"

    def _save_weight(self, weight: FloatImage, stack: Image) -> None:
        """Write the weight map, under the name of the stack, whose header then names it."""
        path = get_weight_path(
            get_output_path(
                str(stack[BASE_NAME_KEY]),
                dir_root=self.output_sub_dir,
                sub_dir=self.night_sub_dir or "",
            )
        )
        current_claims().claim(path, stack)
        path.parent.mkdir(parents=True, exist_ok=True)
        header = stack.get_header().copy()
        header[BASE_NAME_KEY] = path.name
        header["BUNIT"] = ("1/variance" if self.weighting == "noise" else "inputs", "weight")
        save_to_path(weight, header, path)
        stack[LATEST_WEIGHT_SAVE_KEY] = str(path)


def _shape_of(image: Image) -> Shape:
    return image.shape[0], image.shape[1]
