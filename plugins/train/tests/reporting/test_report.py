"""The report of a run: what is in it, and the page in a real browser where there is one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from itnet_registry import load_model
from itnet_registry.build.tasks import create_tasks
from itnet_train import evaluate, report, train
from itnet_train.errors import RunError
from itnet_train.reporting.sample_results import sample_results


def content(file: Path) -> Any:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', file.read_text(encoding="utf-8"))
    assert found
    return json.loads(found[1])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on images of digits."""
    path = tmp_path_factory.mktemp("report") / "run"
    model = {"preset": "itnet-nano", "depth": 1, "encoder": {"name": "patch", "patch_size": 4}, "task": "digits"}
    train({"model": model, "train": {"epochs": 2, "accelerator": "cpu", "loggers": []}}, path)
    return path


@pytest.fixture(scope="module")
def page(run: Path) -> str:
    return report(run).resolve().as_uri()


def test_losses_of_samples_have_the_mean_of_the_evaluation(learned: Path) -> None:
    model = load_model(learned / "best")
    [task] = create_tasks(model).values()
    results = list(sample_results(model, task, task.dataset("test"), batch_size=50))
    assert [result.index for result in results] == list(range(256))
    scores = evaluate(learned / "best")
    assert sum(result.loss for result in results) / 256 == pytest.approx(scores["loss"], rel=1e-4)
    right = sum(int(result.prediction.argmax()) == result.target for result in results)
    assert right / 256 == pytest.approx(scores["accuracy"])


def test_the_report_has_all_samples_in_its_matrix_and_the_worst_first(run: Path, page: str) -> None:
    data = content(run / "report.html")
    [task] = data["tasks"]
    matrix = torch.tensor(task["matrix"])
    assert matrix.sum() == task["samples"] == 359
    accuracy = json.loads((run / "metrics.json").read_text())["test"]["accuracy"]
    assert float(matrix.trace() / matrix.sum()) == pytest.approx(accuracy)
    for row, column, count in task["pairs"]:
        assert matrix[row, column] == count
        assert row != column
    losses = [task["shown"][str(index)]["loss"] for index in task["worst"]]
    assert losses == sorted(losses, reverse=True)
    assert len(losses) == 24
    assert all(sample["image"]["width"] == 8 for sample in task["shown"].values())
    assert [row["epoch"] for row in data["rows"]] == [1, 2]


def test_text_of_the_data_ends_no_script(
    sections: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "</script><b>"
    run.parent.mkdir(parents=True, exist_ok=True)
    sections["train"]["epochs"] = 1
    train(sections, run)
    file = report(run, "validation", samples=3, task={"size": 20}, output=tmp_path / "other.html")
    assert file == tmp_path / "other.html"
    assert "</script><b>" not in file.read_text()
    data = content(file)
    assert data["title"] == run.as_posix()
    assert (data["split"], data["tasks"][0]["samples"], len(data["tasks"][0]["worst"])) == ("validation", 20, 3)
    assert data["tasks"][0]["classes"] == ["0", "1", "2"]  # the toy describes no labels


def test_the_command_names_the_file_and_refuses_what_is_no_run(
    itnet: Callable[..., Any], config_file: Path, tmp_path: Path
) -> None:
    assert itnet("train", config_file, "train.epochs=1").exit_code == 0
    result = itnet("report", "runs/toy", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"report": "runs/toy/report.html"}
    assert itnet("train", config_file, "train.epochs=1", "--overwrite").exit_code == 0
    with pytest.raises(RunError, match="found no run"):
        report(tmp_path)


def press(browser: Any, selector: str) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    browser.find_element(By.CSS_SELECTOR, selector).send_keys(Keys.ENTER)


def test_the_keyboard_chooses_a_pair_of_confused_classes(browser: Any, page: str, run: Path) -> None:
    browser.get(page)
    assert len(browser.find_elements("css selector", ".plots svg")) == 3
    assert (
        browser.execute_script("return document.querySelector('#tasks section').innerText").count("Worst samples") == 1
    )
    assert len(browser.find_elements("css selector", ".card canvas")) == 24
    [row, column, count] = content(run / "report.html")["tasks"][0]["pairs"][0]
    press(browser, f".pairs button[data-pair='{row},{column}']")
    title = browser.execute_script("return [...document.querySelectorAll('h2')].at(-1).textContent")
    assert title == f"{row}, predicted as {column}"
    assert len(browser.find_elements("css selector", ".card")) >= min(count, 4)
    assert len(browser.find_elements("css selector", "button[aria-pressed=true]")) == 2  # in the matrix and below it
    press(browser, f".matrix button[data-pair='{row},{column}']")
    assert len(browser.find_elements("css selector", ".card")) == 24
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_a_phone_shows_it_without_scrolling_sideways(width_on_a_phone: Callable[[str], int], page: str) -> None:
    assert width_on_a_phone(page) <= 360


def test_it_is_dark_where_the_reader_prefers_it(shades: Callable[[str], list[str]], page: str) -> None:
    assert shades(page) == ["rgb(255, 255, 255)", "rgb(16, 20, 28)"]
