"""Frames that mean harm, or look like it: planted to see that they cost themselves alone.

Used by our tests of whole nights; a pipeline of your own can be tried with the same. What merely
happens to frames (cut short, no exposure time) is in `mirar_dask.testing.broken`.
"""

from __future__ import annotations

import bz2
import gzip
import os
import re
import socket
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

CARD, BLOCK = 80, 2880
Plant = Callable[[Path, Path], object]
"""Given a good frame and a path: writes what stands in for a frame there."""

EVIL_TEXTS: Mapping[str, bytes] = {
    "climbs": b"../../../../../../tmp/mirar_dask_escaped",
    "absolute": b"/tmp/mirar_dask_escaped",
    "dots": b"..",
    "hidden": b".hidden",
    "dash": b"-rf",
    "nul": b"a\0b",
    "newline": b"a\nb",
    "escape": b"\x1b[2J\x1b]0;owned\x07",
    "utf8": "Größe→∞\u202efits".encode(),
    "latin": b"\xff\xfe\xe9",
    "percent": b"%s%n%d%%(x)s",
    "braces": b"{0.__class__}{}{x!r}",
    "shell": b"$(touch owned);`id`|&",
    "quotes": b"''\"''",
    "markup": b"<script>alert(1)</script>",
    "rich": b"[bold red]x[/]",
    "blank": b"",
    "long": b"L" * 3000,
    "backslash": b"..\\..\\owned",
}
"""What a header may say in place of a name."""


def write_with(model: Path, path: Path, **texts: bytes) -> None:
    """Write a frame with other cards than its model: raw bytes, as a camera might write them.

    Parameters
    ----------
    model, path : Path
        A good frame, and where the other one shall be.
    **texts : bytes
        What stands behind ``=`` in the card of each keyword; long ones are continued.
    """
    header, pixels = split(model)
    for key, text in texts.items():
        header = [card for card in header if card[:8].rstrip() != key.encode()]
        header += cards(key, text)
    path.write_bytes(join(header, pixels))


def split(model: Path) -> tuple[list[bytes], bytes]:
    """Return the cards of a frame, without END, and what follows the header."""
    raw = model.read_bytes()
    found = [raw[i : i + CARD] for i in range(0, len(raw), CARD)]
    end = next(i for i, card in enumerate(found) if card.rstrip() == b"END")
    return found[:end], raw[-(-(end + 1) * CARD // BLOCK) * BLOCK :]


def join(header: list[bytes], pixels: bytes) -> bytes:
    """Return the bytes of a frame."""
    head = b"".join(card[:CARD].ljust(CARD) for card in [*header, b"END"])
    return head.ljust(-(-len(head) // BLOCK) * BLOCK) + pixels


def cards(key: str, text: bytes) -> list[bytes]:
    """Return the card, or cards, of a keyword."""
    first = key.encode().ljust(8) + b"= "
    if len(text) <= 68 or not text.startswith(b"'"):
        return [first + text]
    inner = text.strip(b"'")
    parts = [inner[i : i + 66] for i in range(0, len(inner), 66)]
    return [
        (first if not i else b"CONTINUE  ")
        + b"'"
        + part
        + (b"&'" if part is not parts[-1] else b"'")
        for i, part in enumerate(parts)
    ]


def _says(**texts: bytes) -> Plant:
    return lambda model, path: write_with(model, path, **texts)


def _quoted(key: str, text: bytes) -> Plant:
    return _says(**{key: b"'" + text.replace(b"'", b"''").ljust(8) + b"'"})


def _header(change: Callable[[list[bytes]], list[bytes]]) -> Plant:
    def plant(model: Path, path: Path) -> None:
        header, pixels = split(model)
        path.write_bytes(join(change(header), pixels))

    return plant


def _alone(header: str, behind: bytes = b"") -> Plant:
    """Write a header of its own, one card a line."""
    lines = [line.strip().encode() for line in header.splitlines() if line.strip()]
    return lambda model, path: path.write_bytes(join(lines, behind))


def _without_pixels(**texts: bytes) -> Plant:
    def plant(model: Path, path: Path) -> None:
        write_with(model, path, **texts)
        header, _ = split(path)
        path.write_bytes(join(header, b""))

    return plant


def _gzipped(plant: Plant, length: int | None = None) -> Plant:
    """Compress what another plants; with ``length``, say that it was so long."""

    def compressed(model: Path, path: Path) -> None:
        plant(model, path)
        data = gzip.compress(path.read_bytes())
        if length is not None:
            data = data[:-4] + (length % 2**32).to_bytes(4, "little")
        path.write_bytes(data)

    return compressed


def _bzipped(plant: Plant) -> Plant:
    def compressed(model: Path, path: Path) -> None:
        plant(model, path)
        path.write_bytes(bz2.compress(path.read_bytes()))

    return compressed


def _bomb(n_bytes: int) -> Plant:
    """Write a true frame of zeros, compressed a thousandfold."""

    def plant(model: Path, path: Path) -> None:
        header = [c for c in split(model)[0] if not c.startswith((b"NAXIS1", b"NAXIS2"))]
        side = int((n_bytes // 2) ** 0.5)
        header += cards("NAXIS1", b"%d" % side) + cards("NAXIS2", b"%d" % side)
        piece = bytes(1 << 24)
        member = gzip.compress(piece)
        n_members = side * side * 2 // len(piece) + 1
        path.write_bytes(gzip.compress(join(header, b"")) + member * n_members)

    return plant


def _sparse(side: int) -> Plant:
    """Write a frame that is as large as it says, and takes no space on the disk."""

    def plant(model: Path, path: Path) -> None:
        _without_pixels(NAXIS1=b"%d" % side, NAXIS2=b"%d" % side)(model, path)
        os.truncate(path, path.stat().st_size + -(-side * side * 2 // BLOCK) * BLOCK)

    return plant


def _link(target: str) -> Plant:
    return lambda model, path: path.symlink_to(target)


def _socket(model: Path, path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        here = os.open(path.parent, os.O_RDONLY)  # the path of a socket must be short
        try:
            made.bind(f"/proc/self/fd/{here}/{path.name}")
        finally:
            os.close(here)


_IMAGE = """
SIMPLE  =                    T
BITPIX  = {bitpix}
NAXIS   = {naxis}
NAXIS1  = {nx}
NAXIS2  = {ny}
"""


def _image(bitpix: object = 16, naxis: object = 2, nx: object = 64, ny: object = 64) -> Plant:
    return _alone(_IMAGE.format(bitpix=bitpix, naxis=naxis, nx=nx, ny=ny), bytes(BLOCK))


_STRUCTURE = (b"SIMPLE", b"BITPIX", b"NAXIS", b"EXTEND", b"BZERO", b"BSCALE")
_TABLE = """
XTENSION= 'BINTABLE'
BITPIX  =                    8
NAXIS   =                    2
NAXIS1  =                   16
NAXIS2  =                    1
PCOUNT  = {pcount}
GCOUNT  =                    1
TFIELDS = {fields}
ZIMAGE  =                    T
ZCMPTYPE= '{codec}'
ZBITPIX =                   16
ZNAXIS  =                    2
ZNAXIS1 = {side}
ZNAXIS2 = {side}
ZTILE1  = {side}
ZTILE2  = 1
TTYPE1  = 'COMPRESSED_DATA'
TFORM1  = '1QB(1)'
"""


def _tiles(
    pcount: object = 2000, codec: str = "RICE_1", side: object = 64, fields: object = 1
) -> Plant:
    primary = join([b"SIMPLE  =                    T", b"BITPIX  = 8", b"NAXIS   = 0"], b"")
    lines = _TABLE.format(pcount=pcount, codec=codec, side=side, fields=fields).strip().splitlines()

    def plant(model: Path, path: Path) -> None:
        own = [card for card in split(model)[0] if not card.startswith(_STRUCTURE)]
        path.write_bytes(
            primary + join([*(line.encode() for line in lines), *own], b"\xff" * BLOCK)
        )

    return plant


_ODD_NUMBERS = {
    "nan": b"NaN",
    "inf": b"Infinity",
    "overflow": b"1.0E999",
    "minus": b"-1.0E30",
    "zero": b"0",
    "text": b"'thirty  '",
    "none": b"",
    "sexagesimal": b"'00:00:30'",
    "huge": b"9" * 60,
    "bool": b"T",
    "complex": b"(1.0, 2.0)",
}
_DATES = {
    "us": b"'03/14/2026'",
    "old": b"'14/03/99'",
    "year": b"'2026    '",
    "far": b"'99999-12-31T25:61:61.999999999999'",
    "before": b"'-4712-01-01T12:00:00'",
    "zone": b"'2026-03-14T20:00:00.123+05:30'",
    "zulu": b"'2026-03-14T20:00:00Z'",
    "julian": b"2461114.5",
    "words": b"'Sat Mar 14 20:00:00 CET 2026'",
    "space": b"'2026-03-14 20:00:00'",
    "arabic": "'٢٠٢٦-٠٣-١٤'".encode(),
    "nan": b"NaN",
}
_NAME_KEYS = ("BASENAME", "OBJECT", "TARGET", "FILTER", "OBSCLASS", "IMAGETYP", "RAWPATH")
_NUMBER_KEYS: tuple[str, ...] = (
    "EXPTIME",
    "GAIN",
    "COADDS",
    "BSCALE",
    "BZERO",
    "BLANK",
    "XBINNING",
    "SATURATE",
)
_NUMBER_KEYS += ("CRVAL1", "CD1_1", "CRPIX1", "EQUINOX")

HOSTILE_HEADERS: Mapping[str, Plant] = {
    **{
        f"{key}_{kind}": _quoted(key, text)
        for key in _NAME_KEYS
        for kind, text in EVIL_TEXTS.items()
    },
    **{
        f"{key}_{kind}": _says(**{key: text})
        for key in _NUMBER_KEYS
        for kind, text in _ODD_NUMBERS.items()
    },
    **{f"DATE-OBS_{kind}": _says(**{"DATE-OBS": text}) for kind, text in _DATES.items()},
    "CTYPE_nonsense": _quoted("CTYPE1", b"RA---XYZ"),
    "BIASSEC_huge": _quoted("BIASSEC", b"[1:99999999999,-5:1e9]"),
    "TRIMSEC_backwards": _quoted("TRIMSEC", b"[64:1,0:0]"),
    "CALSTEPS_long": _says(CALSTEPS=b"'" + b"x," * 20_000 + b"'"),
    "TFIELDS_huge": _says(TFIELDS=b"9" * 60),
    "PRODKEY_forged": _quoted("PRODKEY", b"../../0000"),
}
"""Frames with whole pixels whose headers are odd: key and kind -> how it is written."""

HOSTILE_FILES: Mapping[str, Plant] = {
    "megabyte_card": _says(NOTES=b"'" + b"m" * 1_000_000 + b"'"),
    "megabyte_history": _header(lambda h: h + [b"HISTORY " + b"h" * 72] * 13_000),
    "endless_header": _gzipped(_header(lambda h: h + [b"COMMENT"] * 80_000)),
    "duplicates": _header(lambda h: h * 20),
    "control_characters": _header(lambda h: [*h, b"COMMENT " + bytes(range(32))]),
    "high_bytes": _header(lambda h: [*h, bytes(range(160, 240))]),
    "end_inside": _header(lambda h: [*h[:6], b"END", *h[6:]]),
    "no_simple": _header(lambda h: h[1:]),
    "simple_false": _header(lambda h: [b"SIMPLE  =                    F", *h[1:]]),
    "claims_100_gb": _without_pixels(NAXIS1=b"223607", NAXIS2=b"223607"),
    "claims_100_gb_gz": _gzipped(_without_pixels(NAXIS1=b"223607", NAXIS2=b"223607")),
    "claims_100_gb_gz_forged": _gzipped(
        _without_pixels(NAXIS1=b"223607", NAXIS2=b"223607"), 223607**2 * 2 + 5760
    ),
    "claims_1_gb_gz_forged": _gzipped(
        _without_pixels(NAXIS1=b"20000", NAXIS2=b"20000"), 20000**2 * 2 + 5760
    ),
    "claims_100_gb_bz2": _bzipped(_without_pixels(NAXIS1=b"223607", NAXIS2=b"223607")),
    "claims_1_gb_bz2": _bzipped(_without_pixels(NAXIS1=b"20000", NAXIS2=b"20000")),
    "claims_beyond_all": _without_pixels(NAXIS1=b"9" * 60, NAXIS2=b"9" * 60),
    "claims_100_gb_tiles": _tiles(side=223607),
    "bomb_gz": _bomb(1 << 31),
    "sparse_2_gb": _sparse(32_000),
    "twice_compressed": _gzipped(
        _gzipped(lambda model, path: path.write_bytes(model.read_bytes()))
    ),
    "naxis_wrong": _image(naxis=3),
    "naxis_huge": _image(naxis=999),
    "naxis_negative": _image(naxis=-1),
    "axis_zero": _image(nx=0),
    "axis_negative": _image(nx=-64),
    "axis_nan": _image(nx="NaN"),
    "axis_infinite": _image(nx="1E400"),
    "bitpix_zero": _image(bitpix=0),
    "bitpix_17": _image(bitpix=17),
    "bitpix_text": _image(bitpix="'sixteen'"),
    "pcount_negative": _says(PCOUNT=b"-4096"),
    "tiles_of_garbage": _tiles(),
    "tiles_gzip": _tiles(codec="GZIP_1"),
    "tiles_hcompress": _tiles(codec="HCOMPRESS_1"),
    "tiles_plio": _tiles(codec="PLIO_1"),
    "tiles_unknown": _tiles(codec="../../x"),
    "tiles_pcount_negative": _tiles(pcount=-5),
    "tiles_pcount_huge": _tiles(pcount=10**15),
    "tiles_zero": _tiles(side=0),
    "tiles_of_many_fields": _tiles(fields="9" * 60),
    "directory": lambda model, path: path.mkdir(),
    "pipe": lambda model, path: os.mkfifo(path),
    "socket": _socket,
    "link_dangling": _link("nowhere.fits"),
    "link_loop": lambda model, path: path.symlink_to(path.name),
    "link_to_folder": _link("/"),
    "link_to_device": _link("/dev/zero"),
    "link_to_text": _link("/etc/passwd"),
    "link_to_proc": _link("/proc/self/mem"),
}
"""Files that are no whole frame, or no file: kind -> how it is made."""

EVIL_NAMES: tuple[bytes, ...] = (
    b"new\nline.fits",
    b"quote'\".fits",
    b"$(touch owned).fits",
    b"-rf.fits",
    b"latin\xff\xe9.fits",
    b"utf8-\xe2\x86\x92.fits",
    b"%s{0}.fits",
    b"<img src=x onerror=alert(1)>.fits",
    b"[red]x[nonsense].fits",
    b"x" * 240 + b".fits",
    b"esc\x1b[31m.fits",
    b" .fits",
)
"""Names of files."""


def plant_hostile_frames(
    folder: Path, model: Path, kinds: Iterable[str] | None = None
) -> dict[str, str]:
    """Put hostile frames into a folder of frames.

    Parameters
    ----------
    folder : Path
        The night's raw folder.
    model : Path
        A good frame of the night, of which theirs are copies.
    kinds : iterable of str, optional
        What to plant, of `HOSTILE_HEADERS`, `HOSTILE_FILES` and `EVIL_NAMES` (as text); by default
        all of it.

    Returns
    -------
    dict
        Name of the file -> its kind.
    """
    plants = {**HOSTILE_HEADERS, **HOSTILE_FILES}
    names = [os.fsdecode(name) for name in EVIL_NAMES]
    planted = {}
    for kind in [*plants, *names] if kinds is None else kinds:
        if kind in names:
            planted[kind] = kind
            (folder / kind).write_bytes(model.read_bytes())
        else:
            planted[file := "z_" + re.sub(r"\W", "_", kind) + ".fits"] = kind
            plants[kind](model, folder / file)
    return planted
