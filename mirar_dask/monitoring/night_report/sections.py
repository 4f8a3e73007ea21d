"""The parts of a report that are text: failures, caveats, pictures, products, provenance.

Whatever comes from headers, names and errors passes `escape`; the parts can be read, and printed,
where scripts do not run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from mirar_dask.monitoring.console import plural
from mirar_dask.monitoring.night_report.content import Content, Linker
from mirar_dask.monitoring.outcome_report import Failure
from mirar_dask.processors.base.outcome import Record

MOST_OF_A_KIND = 400
"""Failures of one kind that are listed."""
MOST_TRACEBACKS = 300
OPEN = 12
"""Lines of a kind that are shown without a click."""
MOST_NAMES = 40
"""Frames that are named where a list of them stands in a line."""
MOST_PRODUCTS = 500
"""Products of a kind that are linked one by one; the folder is linked in any case."""


def card(anchor: str, title: str, body: str, *, note: str = "") -> str:
    """Return a section of the page."""
    said = f'<p class="small">{note}</p>' if note else ""
    return (
        f'<section class="card wide" id="{anchor}" aria-labelledby="h-{anchor}">'
        f'<h2 id="h-{anchor}">{escape(title)}</h2>{said}{body}</section>'
    )


def failures_part(content: Content) -> str:
    """Return every failure, by kind, with its traceback; empty if there is none."""
    groups = content.outcome.by_kind()
    if not groups:
        return ""
    left, parts = MOST_TRACEBACKS, []
    for kind, found in groups.items():
        silent = [failure for failure in found if not failure.traceback]
        lines = _alike(silent)
        for failure in [failure for failure in found if failure.traceback][:MOST_OF_A_KIND]:
            lines.append(_failure(failure, with_traceback=left > 0))
            left -= 1
        if len(found) - len(silent) > MOST_OF_A_KIND:
            lines.append(f"<li>and {len(found) - len(silent) - MOST_OF_A_KIND} more</li>")
        opened = " open" if len(lines) <= OPEN else ""
        parts.append(
            f"<details{opened}><summary><b>{escape(kind)} ({len(found)})</b></summary>"
            f'<ul class="plain">{"".join(lines)}</ul></details>'
        )
    note = ""
    if left < 0:
        note = f"Beyond {MOST_TRACEBACKS} tracebacks: <code>mirar-dask report --tracebacks</code>"
    number = len(content.outcome.failures)
    return card("failures", f"Failures, {number}", "".join(parts), note=note)


def _alike(failures: Iterable[Failure]) -> list[str]:
    """Return a line for each reason that failures without a traceback have, with all frames."""
    found: dict[tuple[str, str], list[str]] = {}
    for failure in failures:
        record = failure.record
        found.setdefault((record.step, record.reason), []).extend(record.names)
    return [
        f"<li>at {escape(step)}: {escape(reason)} <b>({plural(len(names), 'frame')})</b>"
        f'<p class="names-of">{escape(" ".join(names))}</p></li>'
        for (step, reason), names in found.items()
    ]


def _failure(failure: Failure, *, with_traceback: bool) -> str:
    line = f'<span class="s-failed told-at">{_said(failure.record)}</span>'
    if failure.traceback and with_traceback:
        line = (
            f"<details><summary>{line}</summary>"
            f'<pre tabindex="0">{escape(failure.traceback.rstrip())}</pre></details>'
        )
    return f"<li>{line}</li>"


def _said(record: Record) -> str:
    where = f"at {escape(record.step)}: "
    return f"{where}<b>{escape(names_line(record.names))}</b> {escape(record.reason)}"


def names_line(names: Iterable[str]) -> str:
    """Name frames, the first of them if there are many."""
    known = list(names)
    if len(known) > MOST_NAMES:
        known = [*known[:MOST_NAMES], f"and {len(known) - MOST_NAMES} more"]
    return ", ".join(known)


def caveats_part(content: Content) -> str:
    """Return what should be known about results that are good otherwise; empty if nothing."""
    found: dict[tuple[str, str], list[str]] = {}
    for record in content.standing.caveats:
        found.setdefault((record.step, record.reason), []).extend(record.names)
    if not found:
        return ""
    lines = [
        f"<li>at {escape(step)}: {escape(reason)}"
        + (f' <span class="small">({escape(names_line(names))})</span>' if names else "")
        + "</li>"
        for (step, reason), names in found.items()
    ]
    body = f'<ul class="plain">{"".join(lines)}</ul>'
    return card("caveats", f"Caveats, {len(content.standing.caveats)}", body)


def pictures_part(content: Content, link: Linker) -> str:
    """Return the thumbnails; empty if there is none."""
    groups: dict[str, list[str]] = {}
    for one in content.pictures:
        name = one.file.rpartition("/")[2]
        source = f"data:image/png;base64,{one.png}"
        groups.setdefault(one.group, []).append(
            f'<figure><a href="{escape(link(one.file))}">'
            f'<img src="{source}" alt="{escape(name)}"></a>'
            f"<figcaption>{escape(name)}<br>{escape(one.words)}</figcaption></figure>"
        )
    if not groups:
        return ""
    body = "".join(f"<h3>{escape(group)}</h3>{''.join(made)}" for group, made in groups.items())
    note = (
        "Black to white by the counts, their logarithm far above the background; violet is masked."
    )
    if content.pictures_left:
        note += (
            f" To save time {plural(content.pictures_left, 'further product')} stayed undrawn; "
            f"<code>mirar-dask report {escape(content.standing.run_id)}</code> draws all."
        )
    return card("pictures", "Pictures", f'<div class="pictures">{body}</div>', note=note)


def products_part(content: Content, link: Linker) -> str:
    """Return links to the files that the run wrote."""
    parts = []
    for kind, paths in content.outcome.products.items():
        folder = link("" if kind == "." else f"{kind}/")
        names = [
            f'<a href="{escape(link(path.relative_to(content.standing.output).as_posix()))}">'
            f"{escape(path.name)}</a>"
            for path in paths[:MOST_PRODUCTS]
            if path.is_relative_to(content.standing.output)
        ]
        more = f" and {len(paths) - len(names)} more" if len(paths) > len(names) else ""
        parts.append(
            f"<details><summary>{plural(len(paths), 'file')} in {escape(kind)}/</summary>"
            f'<p class="small"><a href="{escape(folder)}">the folder</a></p>'
            f'<p class="names-of">{" ".join(names)}{more}</p></details>'
        )
    body = "".join(parts) or '<p class="small">none</p>'
    return card("products", "Products of this run", body)


def provenance_part(content: Content) -> str:
    """Return with what the night was reduced: request, versions, steps, masters and frames."""
    standing, request, plan = content.standing, content.request, content.standing.plan or {}
    summary = standing.summary or {}
    software = summary.get("software") or request.get("software") or {}
    facts = {
        "run": standing.run_id,
        "continues": request.get("continues"),
        "state": f"{standing.state}{f': {standing.why}' if standing.why else ''}",
        "raw frames": request.get("raw")
        or ((standing.summary or {}).get("folders") or {}).get("raw"),
        "products": standing.output,
        "run folder": standing.folder,
        "host": standing.host or None,
        "cluster": summary.get("cluster") or request.get("cluster"),
        "configurations": ", ".join(map(str, request.get("configurations") or ())),
        "instrument": request.get("instrument"),
        "calibrations of": ", ".join(map(str, request.get("calibrations") or ())),
        "software": ", ".join(f"{name} {version}" for name, version in software.items()),
        "this report": f"{content.made:%Y-%m-%d %H:%M:%S} UTC",
    }
    rows = [
        f"<tr><th scope='row'>{name}</th><td>{escape(str(value))}</td></tr>"
        for name, value in facts.items()
        if value
    ]
    parts = [f"<table class='facts-of'><tbody>{''.join(rows)}</tbody></table>"]
    parameters = request.get("parameters") or {}
    if parameters:
        parts += ["<h3>Parameters that were set</h3>", _settings(parameters)]
    parts += ["<h3>Steps</h3>", _steps(plan), *_masters(content, plan)]
    if request:
        text = escape(json.dumps(request, indent=1))
        parts.append(
            f'<details><summary>the whole request</summary><pre tabindex="0">{text}</pre></details>'
        )
    return card("provenance", "Provenance", "".join(parts))


def _settings(parameters: Mapping[str, Any]) -> str:
    lines = [f"<li><code>{escape(f'{k} = {v}')}</code></li>" for k, v in parameters.items()]
    return f'<ul class="plain">{"".join(lines)}</ul>'


def _steps(plan: Mapping[str, Any]) -> str:
    lines = [
        f"<tr><td>{escape(str(step.get('name')))}</td><td>{escape(str(step.get('processor')))}</td>"
        f"<td>{escape(str(step.get('description')))}{_parameters(step.get('parameters'))}</td></tr>"
        for step in plan.get("steps") or ()
    ]
    if not lines:
        return '<p class="small">The run did not come so far as to plan.</p>'
    head = (
        "<thead><tr><th scope='col'>step</th><th scope='col'>processor</th>"
        "<th scope='col'>what it does, with its parameters</th></tr></thead>"
    )
    return (
        '<div class="scroll-wide" tabindex="0" role="region" aria-label="steps">'
        f"<table>{head}<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _parameters(parameters: Any) -> str:
    if not isinstance(parameters, dict) or not parameters:
        return ""
    text = ", ".join(f"{name}={value!r}" for name, value in parameters.items())
    return f'<br><code class="small">{escape(text)}</code>'


def _masters(content: Content, plan: Mapping[str, Any]) -> list[str]:
    """Return the masters of the plan, with what went in by their headers, else by the plan."""
    known = {Path(one.row["file"]).name: one.frames for one in content.masters if one.ours}
    lines = []
    for master in plan.get("masters") or ():
        name = str(master.get("name"))
        frames = known.get(name) or [str(frame) for frame in master.get("frames") or ()]
        made = f"made of {plural(len(frames), 'frame')}" if frames else "there before"
        if frames and name not in known:
            made = f"to be {made}"
        lines.append(
            f"<details><summary>{escape(name)}: {made}, for "
            f"{plural(int(master.get('used_by') or 0), 'image')}</summary>"
            f'<p class="names-of">{escape(" ".join(frames))}</p></details>'
        )
    return ["<h3>Masters, with the frames that went in</h3>", *lines] if lines else []
