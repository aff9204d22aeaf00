from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless browser that reaches files and this machine alone."""
    webdriver: Any = pytest.importorskip("selenium.webdriver")
    from selenium.webdriver.chrome.service import Service

    if not (CHROMIUM and DRIVER):
        pytest.skip("no chromium with its driver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    rules = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1200,900", rules):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def width_on_a_phone(browser: Any) -> Callable[[str], int]:
    """Return a function that opens a page on a screen 360 wide, and returns how wide its content is."""

    def width(url: str) -> int:
        size = {"width": 360, "height": 720, "deviceScaleFactor": 2, "mobile": True}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.get(url)
        found: int = browser.execute_script("return document.documentElement.scrollWidth")
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        return found

    return width


@pytest.fixture
def shades(browser: Any) -> Callable[[str], list[str]]:
    """Return a function that returns the backgrounds of a page for readers who prefer light and dark."""

    def backgrounds(url: str) -> list[str]:
        found = []
        for scheme in ("light", "dark"):
            features = [{"name": "prefers-color-scheme", "value": scheme}]
            browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
            browser.get(url)
            found.append(browser.execute_script("return getComputedStyle(document.body).backgroundColor"))
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
        return found

    return backgrounds
