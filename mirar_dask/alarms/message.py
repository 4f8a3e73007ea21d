"""The e-mail with news of a run: subject, the same body as text and as HTML, attachments.

It is made of a notice alone; `mail` sends it. Whatever comes from frames, headers and errors is
escaped in the HTML, and can add no line to the mail's own header.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from html import escape
from pathlib import Path
from typing import Any

from mirar_dask.alarms.notice import Notice
from mirar_dask.monitoring.console import plural
from mirar_dask.monitoring.report import utc_now
from mirar_dask.monitoring.run_folder import LOG
from mirar_dask.monitoring.state import PLAN_STEP
from mirar_dask.processors.base.outcome import Status

REPORT = "report.html"
"""The night's report, in the run's folder."""
KINDS_SHOWN, FRAMES_SHOWN = 20, 3
"""Kinds of failures, and frames of each, that the body lists."""
REASON_SHOWN = 300
"""Characters of a reason that the body shows."""
TEXT_BYTES = 200_000
"""Bytes, the last ones, of a text file that is attached."""
REPORT_BYTES = 5_000_000
"""A report that is larger stays where it is."""


def compose(notice: Notice, *, sender: str, to: tuple[str, ...]) -> EmailMessage:
    """Write the e-mail.

    Parameters
    ----------
    notice : Notice
        What is told.
    sender : str
        Address.
    to : tuple of str
        Addresses.
    """
    message = EmailMessage()
    message["Subject"] = _plain(f"[mirar-dask] {notice.title}: {notice.outcome}")
    message["From"] = sender
    message["To"] = ", ".join(to)
    message["Date"] = format_datetime(utc_now())
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2])
    message["Auto-Submitted"] = "auto-generated"  # no machine's "out of office" answers it
    rows = list(_rows(notice))
    lists = [("failures", _listed(notice.document["failures"]))]
    lists.append(("caveats", _listed(notice.document["caveats"])))
    message.set_content(_text(notice, rows, lists))
    message.add_alternative(_html(notice, rows, lists), subtype="html")
    for name, content, subtype in attachments(notice):
        if subtype == "plain":
            message.add_attachment(content.decode("utf-8", "replace"), filename=name)
        else:
            message.add_attachment(content, maintype="text", subtype=subtype, filename=name)
    return message


def attachments(notice: Notice) -> Iterator[tuple[str, bytes, str]]:
    """Yield what goes with the mail: name, content and kind of text of each file.

    The stack of errors and the log where something failed, the report if it is small.
    """
    document = notice.document
    output, folder = document["folders"]["output"], notice.folder
    if not notice.well and folder is not None:
        stack = Path(output, f"{document['night']}_error_stack.txt")
        # That of an earlier run stands there until this one has come to its end.
        if notice.path is not None and notice.path.name == "summary.json":
            yield from _file(stack, "plain")
        yield from _file(folder / LOG, "plain")
    if folder is not None:
        report = folder / REPORT
        if report.is_file() and report.stat().st_size <= REPORT_BYTES:
            yield report.name, report.read_bytes(), "html"


def _file(path: Path, subtype: str) -> Iterator[tuple[str, bytes, str]]:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TEXT_BYTES))
            content = file.read()
    except OSError:
        return
    if size > TEXT_BYTES:
        content = f"... the last of {size} bytes of {path}:\n".encode() + content
    yield path.name, content, subtype


def _rows(notice: Notice) -> Iterator[tuple[str, str]]:
    document = notice.document
    yield "state", notice.state
    if notice.why:
        yield "why", notice.why
    counts = {k: n for k, n in document["counts"].items() if n and k != "frames"}
    found = ", ".join(f"{n} {status}" for status, n in counts.items())
    yield "frames", f"{document['counts']['frames']}" + (f" ({found})" if found else "")
    yield "products", str(len(document["products"]))
    yield "failures", str(len(document["failures"]))
    yield "caveats", str(len(document["caveats"]))
    if document["started"]:
        started = datetime.fromisoformat(document["started"])
        yield "started", f"{started:%Y-%m-%d %H:%M:%S} UTC"
    if document["seconds"] is not None:
        yield "seconds", f"{document['seconds']:.1f}"
    for name in ("raw", "output", "run"):
        if document["folders"].get(name):
            yield f"{name} folder" if name == "run" else name, document["folders"][name]


def _listed(records: list[Mapping[str, Any]]) -> list[str]:
    """List records, those of one reason together, the most frequent first."""
    by_reason: dict[tuple[str, str, str], list[str]] = {}
    for record in records:
        key = (record["status"], record["step"], record["reason"])
        by_reason.setdefault(key, []).extend(record["frames"])
    ordered = sorted(by_reason.items(), key=lambda item: -len(item[1]))
    lines = []
    for (status, step, reason), frames in ordered[:KINDS_SHOWN]:
        names = ", ".join(frames[:FRAMES_SHOWN])
        more = f" and {len(frames) - FRAMES_SHOWN} more" if len(frames) > FRAMES_SHOWN else ""
        who = f"{names}{more}: " if names else ""
        short = reason if len(reason) <= REASON_SHOWN else f"{reason[:REASON_SHOWN]}..."
        kind = "" if status == Status.CAVEATS else f"{status} "
        where = "" if step == PLAN_STEP else f"at {step}: "
        lines.append(_plain(f"{kind}{where}{who}{short}"))
    if len(ordered) > KINDS_SHOWN:
        lines.append(f"... and {plural(len(ordered) - KINDS_SHOWN, 'more reason')}")
    return lines


def _text(notice: Notice, rows: list[tuple[str, str]], lists: list[tuple[str, list[str]]]) -> str:
    lines = [f"{notice.title}: {notice.outcome}", ""]
    lines += [f"{name:11} {_plain(value)}" for name, value in rows]
    for name, found in lists:
        if found:
            lines += ["", f"{name}:", *(f"  {line}" for line in found)]
    return "\n".join(lines) + "\n"


def _html(notice: Notice, rows: list[tuple[str, str]], lists: list[tuple[str, list[str]]]) -> str:
    cell = "padding:2px 12px 2px 0;text-align:left;vertical-align:top;font-weight:normal"
    table = "".join(
        f'<tr><th scope="row" style="{cell};opacity:.7">{escape(name)}</th>'
        f'<td style="{cell}">{escape(_plain(value))}</td></tr>'
        for name, value in rows
    )
    parts = [f"<h1 style='font-size:1.2em'>{escape(f'{notice.title}: {notice.outcome}')}</h1>"]
    parts.append(f"<table style='border-collapse:collapse'>{table}</table>")
    for name, found in lists:
        if found:
            items = "".join(f"<li>{escape(line)}</li>" for line in found)
            parts.append(f"<h2 style='font-size:1em'>{escape(name)}</h2><ul>{items}</ul>")
    body = "".join(parts)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>'
        f"{escape(notice.title)}</title></head>"
        f'<body style="font-family:sans-serif">{body}</body></html>'
    )


def _plain(text: str) -> str:
    """Put a text on one line, without what a terminal or a mail's header would obey."""
    line = " ".join(text.split())
    # What UTF-8 cannot hold stands in names of files of another encoding.
    safe = line.encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else "?" for c in safe)
