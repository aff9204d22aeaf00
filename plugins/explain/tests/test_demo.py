"""The page to try a checkpoint: over HTTP, and in a real browser."""

from __future__ import annotations

import base64
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import itnet_explain.demo
from itnet_core import ConfigError
from itnet_explain import Demo, DemoServer, DemoUpload
from itnet_registry import create_model, save_model


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image of a stroke."""
    file = tmp_path_factory.mktemp("image") / "one.png"
    drawn = Image.new("L", (8, 8))
    for y in range(8):
        drawn.putpixel((4, y), 255)
    drawn.save(file)
    return file


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoServer]:
    """The page of a new model of digits."""
    folder = tmp_path_factory.mktemp("run") / "best"
    save_model(create_model("itnet-nano", depth=1, encoder={"name": "patch", "patch_size": 2}, task="digits"), folder)
    with DemoServer(Demo(folder), port=0) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def request(server: DemoServer, method: str, path: str, body: str = "", **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    sent = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    connection.request(method, path, body or None, sent)
    response = connection.getresponse()
    return response.status, response.read().decode()


def upload(file: Path) -> str:
    return json.dumps({"files": [{"suffix": file.suffix, "data": base64.b64encode(file.read_bytes()).decode()}]})


def test_an_upload_is_answered_by_probabilities_and_a_report(server: DemoServer, image: Path) -> None:
    status, text = request(server, "POST", "/answer", upload(image))
    answer = json.loads(text)
    assert status == 200, text
    assert answer["record"]["label"] in set("0123456789")
    assert 0 < answer["record"]["probability"] <= 1
    assert request(server, "GET", answer["report"])[1].startswith("<!doctype html>")


def test_the_page_names_the_modality_and_loads_nothing_from_elsewhere(server: DemoServer) -> None:
    status, page = request(server, "GET", "/")
    assert status == 200
    assert '"modality": "image"' in page
    assert "http" not in page


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ("{}", 422, "DataError: upload: found nothing; expected a file or a text"),
        ("[", 400, "Invalid JSON"),
        ('{"files": [{"suffix": "/../x", "data": ""}]}', 400, "String should match pattern"),
        ('{"files": [{"suffix": ".png", "data": "AAAA"}]}', 422, "DataError: upload0.png"),
        ('{"text": "seven"}', 422, "DataError: input: found the text 'seven'; expected an image"),
    ],
)
def test_what_is_no_sample_is_refused_with_its_reason(server: DemoServer, body: str, status: int, error: str) -> None:
    found, text = request(server, "POST", "/answer", body)
    assert found == status
    assert error in json.loads(text)["error"]


def test_other_sites_and_other_names_of_this_machine_are_refused(server: DemoServer, image: Path) -> None:
    assert request(server, "POST", "/answer", upload(image), Origin="https://example.org")[0] == 403
    assert request(server, "GET", "/", Host="example.org")[0] == 403
    assert request(server, "POST", "/answer", upload(image), Content_Type="text/plain")[0] == 400
    assert request(server, "GET", "/reports/999.html")[0] == 404
    assert server.server_address[0] == "127.0.0.1"


def test_uploads_are_limited_in_size_and_answers_in_time(
    server: DemoServer, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(itnet_explain.demo, "MOST_BYTES", 50)
    assert request(server, "POST", "/answer", upload(image))[0] == 413
    monkeypatch.undo()
    monkeypatch.setattr(server, "seconds", 0.05)
    monkeypatch.setattr(server.demo, "answer", lambda upload: time.sleep(0.5))
    status, text = request(server, "POST", "/answer", upload(image))
    assert (status, json.loads(text)["error"]) == (503, "no answer in 0.05 s")


def test_only_the_latest_reports_are_kept(server: DemoServer) -> None:
    paths = [server.keep(str(number)) for number in range(20)]
    assert [request(server, "GET", path)[0] for path in paths] == [404] * 12 + [200] * 8


def test_a_port_that_is_taken_is_refused(server: DemoServer) -> None:
    with pytest.raises(ConfigError, match=r"--port: found \d+ \(Address already in use\); expected a free port"):
        DemoServer(server.demo, server.server_port)


def test_images_with_a_text_are_written_as_tasks_read_them(tmp_path: Path, image: Path) -> None:
    files = json.loads(upload(image))["files"]
    sample = DemoUpload.model_validate({"files": files * 2, "text": "Both are strokes."}).write(tmp_path)
    assert sample == {"images": [tmp_path / "upload0.png", tmp_path / "upload1.png"], "text": "Both are strokes."}
    assert (tmp_path / "upload1.png").read_bytes() == image.read_bytes()


def test_a_phone_shows_it_without_scrolling_sideways(
    width_on_a_phone: Callable[[str], int], server: DemoServer
) -> None:
    assert width_on_a_phone(server.url) <= 360


def test_it_is_dark_where_the_reader_prefers_it(shades: Callable[[str], list[str]], server: DemoServer) -> None:
    assert shades(server.url) == ["rgb(255, 255, 255)", "rgb(16, 20, 28)"]


def test_the_keyboard_reaches_every_control_in_order(browser: Any, server: DemoServer) -> None:
    from selenium.webdriver import ActionChains, Keys

    browser.get(server.url)
    reached = []
    for _ in range(2):
        ActionChains(browser).send_keys(Keys.TAB).perform()
        reached.append(browser.switch_to.active_element.get_attribute("id"))
    assert reached == ["file", "go"]


def test_the_likeliest_class_comes_first(browser: Any, server: DemoServer) -> None:
    browser.get(server.url)
    record = {
        "label": "9",
        "likeliest": {"3": 0.25, "9": 0.5},
    }  # a browser sorts the keys of an object that are numbers
    browser.execute_script("show({ record: arguments[0], report: 'about:blank' })", record)
    names = browser.execute_script("return [...document.querySelectorAll('#answer .row span')].map(e => e.textContent)")
    assert names == ["label", "9", "9", "3"]
