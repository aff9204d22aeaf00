"""The report in a real browser: chromium, headless, driven by selenium."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from itnet_explain import explain
from itnet_explain.report import write_report
from itnet_registry import create_model

selenium = pytest.importorskip("selenium")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no chromium with its driver")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report of a new model of images, as a file's address."""
    folder: Path = tmp_path_factory.mktemp("report")
    torch.manual_seed(0)
    model = create_model("itnet-nano", depth=2, encoder={"name": "patch", "patch_size": 2}, task="digits")
    write_report(explain(model, torch.rand(4, 1, 8, 8)), folder, title="digits")
    return (folder / "report.html").as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless browser without a network."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, Service(str(DRIVER)))
    yield driver
    driver.quit()


def picture(browser: Any) -> str:
    """The content of the map."""
    content: str = browser.execute_script("return document.getElementById('map').toDataURL()")
    return content


def press(browser: Any, selector: str, key: str) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    browser.find_element(By.CSS_SELECTOR, selector).send_keys(getattr(Keys, key))


def chosen(browser: Any) -> str:
    text: str = browser.execute_script("return document.getElementById('which').textContent")
    return text


def test_clicks_choose_a_head_and_a_query_point(browser: Any, report: str) -> None:
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.by import By

    browser.set_window_size(1200, 900)
    browser.get(report)
    first = picture(browser)
    browser.find_elements(By.CSS_SELECTOR, ".head")[5].click()
    assert chosen(browser).startswith("trunk.blocks.1.operator, head 1")
    second = picture(browser)
    canvas = browser.find_element(By.ID, "map")
    ActionChains(browser).move_to_element_with_offset(canvas, 60, 60).click().perform()
    assert len({first, second, picture(browser)}) == 3
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_the_keyboard_alone_does_the_same(browser: Any, report: str) -> None:
    browser.get(report)
    first = picture(browser)
    press(browser, ".head[aria-selected=true]", "ARROW_DOWN")
    assert chosen(browser).startswith("trunk.blocks.0.operator, head 1")
    second = picture(browser)
    press(browser, "#map", "ARROW_RIGHT")
    press(browser, "#map", "ARROW_DOWN")
    assert len({first, second, picture(browser)}) == 3
    label = browser.execute_script("return document.getElementById('map').getAttribute('aria-label')")
    assert label == "Weights of the points around query point 5"  # of a grid of 4 × 4


def test_a_phone_shows_it_without_scrolling_sideways(browser: Any, report: str) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 360, "height": 720, "deviceScaleFactor": 2, "mobile": True}
    )
    browser.get(report)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 360
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_it_is_dark_where_the_reader_prefers_it(browser: Any, report: str) -> None:
    shades = []
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        browser.get(report)
        shades.append(browser.execute_script("return getComputedStyle(document.body).backgroundColor"))
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert shades == ["rgb(255, 255, 255)", "rgb(16, 20, 28)"]
