"""The report in a real browser: chromium, headless, driven by selenium."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from itnet_explain import explain
from itnet_explain.report import write_report
from itnet_registry import create_model


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report of a new model of images, as a file's address."""
    folder: Path = tmp_path_factory.mktemp("report")
    torch.manual_seed(0)
    model = create_model("itnet-nano", depth=2, encoder={"name": "patch", "patch_size": 2}, task="digits")
    write_report(explain(model, torch.rand(4, 1, 8, 8)), folder, title="digits")
    return (folder / "report.html").as_uri()


def drawn_map(browser: Any) -> str:
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
    first = drawn_map(browser)
    browser.find_elements(By.CSS_SELECTOR, ".head")[5].click()
    assert chosen(browser).startswith("trunk.blocks.1.operator, head 1")
    second = drawn_map(browser)
    canvas = browser.find_element(By.ID, "map")
    ActionChains(browser).move_to_element_with_offset(canvas, 60, 60).click().perform()
    assert len({first, second, drawn_map(browser)}) == 3
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_the_mass_received_and_the_rollout_are_shown(browser: Any, report: str) -> None:
    browser.set_window_size(1200, 900)
    browser.get(report)
    first = drawn_map(browser)
    press(browser, "#view", "ARROW_DOWN")
    received = drawn_map(browser)
    browser.execute_script("document.querySelector('.head[data-at=\"2.0\"]').click()")
    assert chosen(browser) == "all blocks, head 0: what each point reads"
    assert len({first, received, drawn_map(browser)}) == 3


def test_the_position_part_and_the_spectrum_follow_the_head(browser: Any, report: str) -> None:
    browser.get(report)
    plots = []
    for _ in range(2):
        plots += [
            browser.execute_script(f"return document.getElementById('{name}').toDataURL()")
            for name in ("position", "energy")
        ]
        press(browser, ".head[aria-selected=true]", "ARROW_DOWN")
    assert len(set(plots)) == 4
    assert "Effective rank" in browser.execute_script("return document.getElementById('rank').textContent")


def test_pairs_of_modalities_have_a_table(browser: Any, tmp_path: Path) -> None:
    from itnet_core import Field, IntegralOperator, MLPKernel, union

    operator = IntegralOperator(8, MLPKernel(8, position_dim=2))
    fields = [Field(torch.randn(3, n, 8), torch.rand(3, n, 2)) for n in (5, 4)]
    write_report(explain(operator, union(fields)), tmp_path)
    browser.get((tmp_path / "report.html").as_uri())
    table = browser.execute_script("return document.getElementById('between').innerText")
    assert "part 0 reads part 1" in table
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_the_keyboard_alone_does_the_same(browser: Any, report: str) -> None:
    browser.get(report)
    first = drawn_map(browser)
    press(browser, ".head[aria-selected=true]", "ARROW_DOWN")
    assert chosen(browser).startswith("trunk.blocks.0.operator, head 1")
    second = drawn_map(browser)
    press(browser, "#map", "ARROW_RIGHT")
    press(browser, "#map", "ARROW_DOWN")
    assert len({first, second, drawn_map(browser)}) == 3
    label = browser.execute_script("return document.getElementById('map').getAttribute('aria-label')")
    assert label == "Weights of the points around query point 5"  # of a grid of 4 × 4


def test_a_phone_shows_it_without_scrolling_sideways(width_on_a_phone: Callable[[str], int], report: str) -> None:
    assert width_on_a_phone(report) <= 360


def test_it_is_dark_where_the_reader_prefers_it(shades: Callable[[str], list[str]], report: str) -> None:
    assert shades(report) == ["rgb(255, 255, 255)", "rgb(16, 20, 28)"]
