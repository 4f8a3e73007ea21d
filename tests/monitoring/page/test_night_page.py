"""One HTML file that holds a night, with the scripts that draw it inside."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

from mirar_dask.engine.events import Event
from mirar_dask.monitoring.night import NightView, everything
from mirar_dask.monitoring.page import night_page
from mirar_dask.monitoring.page.assets import SCRIPTS, STYLE, asset

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


class Elements(HTMLParser):
    """Keeps the elements of a page with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def page_of(events: list[Event], name: str) -> str:
    from mirar_dask.engine.journal import as_json

    view = NightView()
    text = json.dumps([{"event": type(event).__name__, **as_json(event)} for event in events])
    view.take(enumerate(json.loads(text.replace("b.fits", json.dumps(name)[1:-1]))))
    return night_page({**everything(view), "failed": []}, title=name)


def test_a_page_of_a_night_asks_for_nothing(events: list[Event]):
    """It opens from a disk, wherever that is: no element names anything outside."""
    for tag, attributes in Elements(page_of(events, "b.fits")).found:
        assert not attributes.keys() & {"src", "href", "data", "action", "style"}, (tag, attributes)


def test_names_from_the_night_are_never_markup(events: list[Event]):
    """A frame whose name is a script is shown by that name."""
    page = page_of(events, HOSTILE)
    tags = [tag for tag, _ in Elements(page).found]
    assert tags.count("script") == 2  # the data and the one that draws them
    assert "img" not in tags
    data = re.search(r'id="night">(.*?)</script>', page, re.DOTALL)
    assert data is not None
    assert HOSTILE in json.loads(data[1])["frames"][0]


def test_no_script_makes_markup_of_text():
    """What is shown is set as text; no script asks for anything outside its own server."""
    for name in (*SCRIPTS, "page.js"):
        text = asset(name).decode()
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert word not in text, (name, word)
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), name
    assert "url(" not in asset(STYLE).decode()
    assert "@import" not in asset(STYLE).decode()
