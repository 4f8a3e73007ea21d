"""Names of header keys and of places on disk, used by every part of the package.

Folders are looked up when they are asked for (`use_roots`, else the environment), so that
importing this module reads no environment, no ``.env`` file and creates nothing.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mirar_dask.errors.exceptions import UsageError
from mirar_dask.roots import OUTPUT_DATA_DIR_VARIABLE as OUTPUT_DATA_DIR_VARIABLE
from mirar_dask.roots import RAW_DATA_DIR_VARIABLE as RAW_DATA_DIR_VARIABLE
from mirar_dask.roots import Roots as Roots
from mirar_dask.roots import current_roots as current_roots
from mirar_dask.roots import use_roots as use_roots

logger = logging.getLogger(__name__)

PACKAGE_NAME = "mirar_dask"
MAX_N_CPU_VARIABLE = "MAX_N_CPU"

base_code_dir = Path(__file__).parent.parent.resolve()
doc_dir = base_code_dir / "docs"

RAW_IMG_SUB_DIR = "raw"
CAL_OUTPUT_SUB_DIR = "calibration"

# Paths of an image and of what was made from it
RAW_IMG_KEY = "RAWPATH"
BASE_NAME_KEY = "BASENAME"
REF_IMG_KEY = "REFPATH"
SCI_IMG_KEY = "SCIPATH"
DIFF_IMG_KEY = "DIFFPATH"
SCOR_IMG_KEY = "SCORPATH"
UNC_IMG_KEY = "UNCPATH"
LATEST_SAVE_KEY = "SAVEPATH"
LATEST_WEIGHT_SAVE_KEY = "WGHTPATH"
FITS_MASK_KEY = "MASKFITS"
STACKED_COMPONENT_IMAGES_KEY = "STCKCMPT"
REF_CAT_PATH_KEY = "RFCTPATH"
ASTROMETRY_FILE_KEY = "ASTRFILE"

# Products of the Astromatic programs
SEXTRACTOR_HEADER_KEY = "SRCCAT"
SWARP_FLUX_SCALING_KEY = "FLXSCALE"
PSFEX_CAT_KEY = "PSFCAT"
NORM_PSFEX_KEY = "NPSFCAT"
sextractor_checkimg_keys = {
    "BACKGROUND": "BKGPT",
    "BACKGROUND_RMS": "BKGRMS",
    "MINIBACKGROUND": "MINIBKG",
    "MINIBACK_RMS": "MINIBGRM",
}

# History of the processing
PROC_HISTORY_KEY = "CALSTEPS"
PROC_FAIL_KEY = "PROCFAIL"
PRODKEY_KEY = "PRODKEY"
SOFTVER_KEY = "REDVERS"
CAVEAT_KEY = "CAVEAT"

# Photometry
ZP_KEY = "ZP"
ZP_STD_KEY = "ZPSTD"
ZP_NSTARS_KEY = "ZPNSTARS"
MAGLIM_KEY = "MAGLIM"
SATURATE_KEY = "SATURATE"
RMS_COUNTS_KEY = "COUNTRMS"
SCOR_MEAN_KEY = "SCORMEAN"
SCOR_MEDIAN_KEY = "SCORMED"
SCOR_STD_KEY = "SCORSTD"

# Columns of source tables
SOURCE_NAME_KEY = "objectid"
CAND_RA_KEY = "ra"
CAND_DEC_KEY = "dec"
SOURCE_HISTORY_KEY = "prv_candidates"
SOURCE_XMATCH_KEY = "xmatch"
PSF_FLUX_KEY = "psfflux"
PSF_FLUXUNC_KEY = "psffluxunc"
MAG_PSF_KEY = "magpsf"
MAGERR_PSF_KEY = "sigmapsf"
XPOS_KEY = "xpos"
YPOS_KEY = "ypos"
APFLUX_PREFIX_KEY = "fluxap"
APFLUXUNC_PREFIX_KEY = "fluxuncap"
APMAG_PREFIX_KEY = "magap"
APMAGUNC_PREFIX_KEY = "sigmagap"

# Observation and calibration
FLAT_FRAME_KEY = "FLATNAME"
BIAS_FRAME_KEY = "BIASNAME"
DARK_FRAME_KEY = "DARKNAME"
COADD_KEY = "COADDS"
GAIN_KEY = "GAIN"
EXPTIME_KEY = "EXPTIME"
TIME_KEY = "DATE-OBS"
JD_KEY = "JD"
OBSCLASS_KEY = "OBSCLASS"
TARGET_KEY = "TARGET"
DITHER_N_KEY = "DITHNUM"
MAX_DITHER_KEY = "NUMDITHS"
FILTER_KEY = "FILTER"

core_fields = [
    OBSCLASS_KEY,
    TARGET_KEY,
    TIME_KEY,
    COADD_KEY,
    GAIN_KEY,
    PROC_HISTORY_KEY,
    PROC_FAIL_KEY,
    RAW_IMG_KEY,
    BASE_NAME_KEY,
    EXPTIME_KEY,
]
core_source_fields = [CAND_RA_KEY, CAND_DEC_KEY, SOURCE_NAME_KEY, SOURCE_HISTORY_KEY]

MONITOR_EMAIL_KEY = "WATCHDOG_EMAIL"
MONITOR_PASSWORD_KEY = "WATCHDOG_EMAIL_PASSWORD"
MONITOR_RECIPIENT_KEY = "WATCHDOG_EMAIL_RECIPIENTS"

COMPRESSION_SUFFIXES = (".fz", ".gz", ".bz2")

_env_loaded = False
_MAX_COMPONENT_BYTES = 200  # file systems allow 255; a temporary name adds to it
_MAX_SUFFIX_BYTES = 32
# Also line breaks, and marks that turn the direction of writing, of Unicode.
_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f/\\\u2028-\u202e\u2066-\u2069\ud800-\udfff]+")


def load_env(folder: Path | None = None) -> bool:
    """Read the ``.env`` file of the working folder, once; variables that are set win.

    For programs such as the command line: the library never calls it.

    Returns
    -------
    bool
        Whether a file was read, now or before.
    """
    global _env_loaded
    if not _env_loaded:
        path = (folder or Path.cwd()) / ".env"
        if path.is_file():
            from dotenv import load_dotenv

            load_dotenv(path, override=False)
            logger.info("Environment variables were read from %s", path)
            _env_loaded = True
    return _env_loaded


def get_default_n_cpu() -> int:
    """Return half of the machine's cores, at least one."""
    return max((os.cpu_count() or 1) // 2, 1)


def get_max_n_cpu() -> int:
    """Return the number of cores to use: ``MAX_N_CPU``, else half of the machine's."""
    text = os.environ.get(MAX_N_CPU_VARIABLE, "").strip()
    if not text:
        return get_default_n_cpu()
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"{MAX_N_CPU_VARIABLE}={text!r} is not a whole number of at least 1")
    return int(text)


def safe_component(text: object) -> str:
    """Make a header value fit to be one component of a path.

    Ordinary names come back unchanged. Separators and control characters become ``_``, as does
    a leading dot (``..`` would leave the folder, and a hidden product would be overlooked) or dash
    (programs would take the name for an option); an empty value becomes ``_``. A name over 200
    bytes is cut, keeps its suffix, and gets a hash of the whole so that two long names do not
    become one.

    Examples
    --------
    >>> safe_component("ngc7331_r.fits")
    'ngc7331_r.fits'
    >>> safe_component("../../etc/B/V")
    '_._.._etc_B_V'
    """
    name = _UNFIT.sub("_", str(text)).strip()
    if name.startswith((".", "-")):
        name = "_" + name[1:]
    name = name or "_"
    if len(name.encode()) <= _MAX_COMPONENT_BYTES:
        return name
    suffix = "".join(Path(name).suffixes[-2:])
    if len(suffix.encode()) > _MAX_SUFFIX_BYTES:
        suffix = ""
    tail = "_" + hashlib.sha256(name.encode()).hexdigest()[:12] + suffix
    head = name.encode()[: _MAX_COMPONENT_BYTES - len(tail.encode())]
    return head.decode(errors="ignore") + tail


def raw_img_dir(
    sub_dir: str | int = "", raw_dir: Path | None = None, img_sub_dir: str = RAW_IMG_SUB_DIR
) -> Path:
    """Return the folder of a night's raw frames, ``<raw>/<sub_dir>/<img_sub_dir>``.

    Where the roots name the night's own folder (`Roots.night_raw`), it stands for
    ``<raw>/<sub_dir>/raw``.
    """
    if raw_dir is not None:
        return Path(raw_dir) / str(sub_dir) / img_sub_dir
    roots = current_roots()
    if roots.night_raw is None:
        return roots.raw / str(sub_dir) / img_sub_dir
    if img_sub_dir.strip("/") in ("", RAW_IMG_SUB_DIR):
        return roots.night_raw
    return roots.night_raw / img_sub_dir


def get_output_dir(dir_root: str, sub_dir: str | int = "", output_dir: Path | None = None) -> Path:
    """Return ``<output>/<sub_dir>/<dir_root>``; the folder is not created."""
    root = current_roots().output if output_dir is None else Path(output_dir)
    return root / str(sub_dir) / dir_root


def get_output_path(
    base_name: str, dir_root: str, sub_dir: str | int = "", output_dir: Path | None = None
) -> Path:
    """Return ``<output>/<sub_dir>/<dir_root>/<base_name>``.

    The name mostly comes from a header, so it is made fit for one component (`safe_component`).
    """
    folder = get_output_dir(dir_root, sub_dir=sub_dir, output_dir=output_dir)
    return folder / safe_component(base_name)


def strip_compression_suffix(name: str) -> str:
    """Remove a trailing ``.fz``, ``.gz`` or ``.bz2``, in any case, from a file name.

    Examples
    --------
    >>> strip_compression_suffix("a.fits.fz")
    'a.fits'
    """
    path = Path(name)
    return path.stem if path.suffix.lower() in COMPRESSION_SUFFIXES else path.name


def get_weight_path(img_path: Path | str) -> Path:
    """Return the path of an image's weight map, ``<stem>.weight.fits``."""
    return _sibling(img_path, ".weight.fits")


def get_mask_path(img_path: Path | str) -> Path:
    """Return the path of an image's mask, ``<stem>.mask.fits``."""
    return _sibling(img_path, ".mask.fits")


def _sibling(img_path: Path | str, suffix: str) -> Path:
    path = Path(img_path)
    return path.with_name(strip_compression_suffix(path.name)).with_suffix(suffix)


def get_temp_path(output_dir: Path, file_path: Path) -> Path:
    """Return ``<output_dir>/temp_<name of file_path>``."""
    return Path(output_dir) / f"temp_{Path(file_path).name}"


def get_untemp_path(temp_path: Path) -> Path:
    """Undo what `get_temp_path` did to the name."""
    path = Path(temp_path)
    return path.with_name(path.name.removeprefix("temp_"))


def copy_temp_file(output_dir: Path, file_path: Path) -> Path:
    """Copy a file to its temporary path, whose folder is made if need be, and return that path."""
    output_path = get_temp_path(output_dir=output_dir, file_path=file_path)
    output_path.parent.mkdir(parents=True, exist_ok=True)
    logger.debug("Copying from %s to %s", file_path, output_path)
    shutil.copyfile(file_path, output_path)
    return output_path


def get_astrometry_keys() -> list[str]:
    """Return the header keys that may be part of an astrometric solution."""
    linear = [
        *("CTYPE1", "CTYPE2", "CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2"),
        *("CD1_1", "CD1_2", "CD2_1", "CD2_2", "CDELT1", "CDELT2"),
        *("PC1_1", "PC1_2", "PC2_1", "PC2_2", "PC001001", "PC002001", "PC001002", "PC002002"),
    ]
    tpv = [f"PV{axis}_{i}" for i in range(40) for axis in (1, 2)]
    sip = ["A_ORDER", "B_ORDER", "AP_ORDER", "BP_ORDER"]
    sip += [f"{p}_{i}_{j}" for i in range(10) for j in range(10) for p in ("A", "AP", "B", "BP")]
    frame = ["LONPOLE", "LATPOLE", "CUNIT1", "CUNIT2", "IMAGEW", "IMAGEH", "WCSAXES", "EQUINOX"]
    projp = [f"PROJP{i}" for i in range(40)]
    return [*linear, *tpv, *sip, *frame, *projp, SWARP_FLUX_SCALING_KEY]


all_astrometric_keywords = get_astrometry_keys()

if TYPE_CHECKING:
    __version__: str
    VARIABLES_LOADED: bool
    default_dir: Path
    base_raw_dir: Path
    base_output_dir: Path
    TEMP_DIR: Path
    ml_models_dir: Path
    config_dir: Path
    default_n_cpu: int
    max_n_cpu: int
else:

    def __getattr__(name: str) -> Any:
        """Answer the names whose values depend on the environment, when they are asked for."""
        try:
            compute = _LAZY[name]
        except KeyError:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
        return compute()

    def _version() -> str:
        import mirar_dask

        return mirar_dask.__version__

    _LAZY = {
        "__version__": _version,
        "VARIABLES_LOADED": lambda: _env_loaded,
        "default_dir": Path.home,
        "base_raw_dir": lambda: current_roots().raw,
        "base_output_dir": lambda: current_roots().output,
        "TEMP_DIR": lambda: current_roots().output / f"{PACKAGE_NAME}_temp",
        "ml_models_dir": lambda: current_roots().output / "ml_models",
        "config_dir": lambda: current_roots().output / "configs",
        "default_n_cpu": get_default_n_cpu,
        "max_n_cpu": get_max_n_cpu,
    }
