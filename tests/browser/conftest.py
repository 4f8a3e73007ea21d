"""A real browser without a window, which may reach nothing but what a test serves."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server"),
    "--disable-background-networking",
)


@dataclass
class Tab:
    """A page in the browser, with what was wrong in it."""

    page: Any
    errors: list[str] = field(default_factory=list)
    """Console errors and exceptions."""
    outside: list[str] = field(default_factory=list)
    """Requests to anywhere but the server of the test."""

    def open(self, address: str, *, ready: str = "#title") -> None:
        self.page.goto(address)
        self.page.wait_for_selector(ready)

    def close(self) -> None:
        """Close the page, before a server goes that it would ask in vain."""
        self.page.close()

    def axe(self) -> list[str]:
        """Return what the accessibility check finds fault with."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page).response["violations"]
        return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found]

    def shot(self, path: Any, *, whole: bool = False) -> None:
        self.page.screenshot(path=str(path), full_page=whole)


def launch(playwright: Any) -> Any:
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("there is no Chromium here; .ci/browser.sh installs it")
    return playwright.chromium.launch(executable_path=path, headless=True, args=list(ARGUMENTS))


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Start a browser for all tests."""
    module = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with module.sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture
def tab(browser: Any) -> Iterator[Callable[..., Tab]]:
    """Return a function that opens a tab, which must end without an error or a request out."""
    tabs: list[tuple[Any, Tab]] = []

    def make(*, scheme: str = "light", width: int = 1280, height: int = 900) -> Tab:
        context = browser.new_context(
            color_scheme=scheme, viewport={"width": width, "height": height}
        )
        made = Tab(context.new_page())

        def route(route: Any) -> None:
            if urlsplit(route.request.url).hostname in ("127.0.0.1", None, ""):
                route.continue_()
            else:
                made.outside.append(route.request.url)
                route.abort()

        def hear(message: Any) -> None:
            if message.type in ("error", "warning"):
                made.errors.append(message.text)

        context.route("**/*", route)
        made.page.on("console", hear)
        made.page.on("pageerror", lambda error: made.errors.append(str(error)))
        made.page.on("dialog", lambda dialog: made.errors.append(f"dialog {dialog.message}"))
        tabs.append((context, made))
        return made

    yield make
    for context, made in tabs:
        context.close()
        assert made.errors == []
        assert made.outside == []
