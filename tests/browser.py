"""Headless Chromium for tests of pages: Debian's browser, driven by playwright."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


# WebGL without a graphics card.
SOFTWARE_GL = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader")
# The first frame compiles shaders on the processor, beside other tests.
PATIENCE = 120_000


@contextmanager
def open_browser(*arguments: str) -> Iterator[Any]:
    """A browser. Without Chromium or playwright the test is skipped; CI must have both.

    Args:
        arguments: More arguments of Chromium.
    """
    if not os.environ.get("CI"):
        pytest.importorskip("playwright")
        if shutil.which("chromium") is None:
            pytest.skip("needs Chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, launch(playwright.chromium, *arguments) as browser:
        yield browser


@contextmanager
def launch(chromium: Any, *arguments: str) -> Iterator[Any]:
    """Another browser beside one that is open: playwright runs once in a process.

    Args:
        chromium: Playwright's type of the browser, such as the `browser_type` of an open one.
        arguments: More arguments of Chromium.
    """
    path = shutil.which("chromium")
    browser = chromium.launch(executable_path=path, args=[*SOFTWARE_GL, *arguments], timeout=PATIENCE)
    try:
        yield browser
    finally:
        browser.close()


@contextmanager
def open_page(browser: Any, address: str, ready: str, **options: Any) -> Iterator[Any]:
    """A page in a context of its own; an error of its scripts fails the test.

    Args:
        browser: The browser.
        address: Address of the page.
        ready: Selector of what is there once the page is ready.
        options: Those of playwright's `new_context`.
    """
    context = browser.new_context(**options)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    try:
        page.goto(address)
        page.wait_for_selector(ready, state="attached")
        yield page
    finally:
        context.close()
    assert errors == []
