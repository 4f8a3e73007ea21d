"""What every processor asks of blocks and batches: their raw frames, headers of their own."""

from __future__ import annotations

from collections.abc import Sequence

from mirar_dask.data import DataBatch, DataBlock


def names_of(subject: DataBlock | DataBatch | Sequence[str]) -> tuple[str, ...]:
    """Names of the raw frames behind a block, a batch, or given as such; each once."""
    if isinstance(subject, DataBlock):
        return tuple(path.name for path in subject.get_raw_img_list())
    if isinstance(subject, DataBatch):
        return tuple(dict.fromkeys(name for block in subject for name in names_of(block)))
    return tuple(subject)


def separate_headers(batch: DataBatch) -> None:
    """Give blocks that came to share one Header object headers of their own."""
    seen: set[int] = set()
    for block in batch:
        header = block.__dict__.get("_header")
        if header is None:
            continue
        if id(header) in seen:
            block.own_header()
        seen.add(id(header))
