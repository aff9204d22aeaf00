from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
from fastapi.testclient import TestClient

from itnet_core import DataError
from itnet_registry import Predictor, load
from itnet_train.serving.app import ServeLimits, create_app
from itnet_train.serving.batcher import Batcher

SIGNAL = [0.0, 1, 0, -1, 0, 1, 0, -1, 0, 1, 0, -1]


@pytest.fixture
def predictor(checkpoint: Path) -> Predictor:
    return load(checkpoint, device="cpu")


@pytest.fixture
def client(predictor: Predictor) -> Iterator[TestClient]:
    limits = ServeLimits(max_bytes=10_000, timeout=20, batch_size=4, max_wait=0.05)
    with TestClient(create_app(predictor, limits), base_url="http://127.0.0.1") as client:
        yield client


def test_a_value_and_a_file_are_predicted_as_in_python(client: TestClient, predictor: Predictor) -> None:
    expected = {"prediction": pytest.approx(predictor(SIGNAL), rel=1e-5)}
    assert client.post("/predict", json={"value": SIGNAL}).json() == expected
    assert client.post("/predict", files={"file": ("any.json", json.dumps(SIGNAL))}).json() == expected


@pytest.mark.parametrize(
    ("request_", "status", "error"),
    [
        ({"json": {"value": "no signal"}}, 422, "input|no signal"),
        ({"json": {}}, 422, "Field required"),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 422, "Invalid JSON"),
        ({"content": b"1"}, 415, "no content type; expected application/json"),
        ({"files": {"file": ("x.json", b"no JSON")}}, 422, "upload0.json: found"),
        ({"data": {"text": "two"}, "files": {"file": b""}}, 422, "found"),
        ({"files": [("file", b"1"), ("file", b"2")]}, 422, "upload: found 2 files"),
        ({"json": {"value": [0.0] * 5000}}, 413, "Too Large"),
        ({"files": {"file": b"1" * 20_000}}, 413, "Too Large"),
        ({"json": {"value": SIGNAL[:5]}}, 200, "prediction"),
    ],
)
def test_a_bad_request_is_refused_with_its_reason(
    client: TestClient, request_: dict[str, Any], status: int, error: str
) -> None:
    found = client.post("/predict", **request_)
    assert (found.status_code, any(part in found.text for part in error.split("|"))) == (status, True), found.text
    assert client.get("/health").json()["waiting"] == 0


def test_a_body_without_a_length_is_limited_too(client: TestClient) -> None:
    def body() -> Iterator[bytes]:
        for _ in range(100):
            yield b"1" * 1000

    found = client.post("/predict", content=body(), headers={"content-type": "application/json"})
    assert found.status_code == 413


def test_no_file_of_this_machine_is_read(client: TestClient, tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text(json.dumps(SIGNAL))
    for value in (str(secret), {"file": str(secret)}, [str(secret)]):
        assert client.post("/predict", json={"value": value}).status_code == 422
    upload = client.post("/predict", files={"file": (f"../../{secret}", b"[]")})
    assert str(tmp_path) not in upload.text


def test_a_bug_of_a_task_is_an_error_of_the_request(
    client: TestClient, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictor.task, "read", lambda value: value[7])
    found = client.post("/predict", json={"value": [1]})
    assert (found.status_code, found.json()["detail"]) == (
        422,
        "input: found IndexError: list index out of range; expected a value that the task reads.",
    )


def test_only_requests_that_name_this_machine_are_answered(predictor: Predictor) -> None:
    with TestClient(create_app(predictor), base_url="http://a.page.example") as client:
        assert client.get("/health").status_code == 400
    with TestClient(create_app(predictor, host="0.0.0.0"), base_url="http://a.page.example") as client:
        assert client.get("/health").json()["status"] == "ok"


def test_the_interface_is_described(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert paths["/predict"]["post"]["requestBody"]["content"].keys() == {"application/json", "multipart/form-data"}
    assert {"200", "413", "422", "504"} <= paths["/predict"]["post"]["responses"].keys()
    assert "/health" in paths


def test_a_request_that_takes_too_long_is_ended(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    ready = threading.Event()
    monkeypatch.setattr(predictor, "predict_samples", lambda samples, batch_size: ready.wait(5) and [{}] * len(samples))
    limits = ServeLimits(timeout=0.2)
    with TestClient(create_app(predictor, limits), base_url="http://127.0.0.1") as client:
        found = client.post("/predict", json={"value": SIGNAL})
        assert (found.status_code, found.json()) == (504, {"detail": "no answer in 0.2 s"})
        ready.set()
        assert client.post("/predict", json={"value": SIGNAL}).status_code == 200


def test_an_error_of_the_machine_is_none_of_the_request(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(samples: Any, batch_size: int) -> Any:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(predictor, "predict_samples", fail)
    app = create_app(predictor)
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        for _ in range(2):
            assert client.post("/predict", json={"value": SIGNAL}).status_code == 500


def batch_sizes(count: int, size: int, wait: float, spread: float = 0.0) -> list[int]:
    """Return the batch size that each of `count` samples gets, which arrive over `spread` seconds."""

    def predict(samples: Any) -> Any:
        time.sleep(0.02)
        return [
            DataError("x", found="1", expected="2") if sample == 13 else {"batch": len(samples)} for sample in samples
        ]

    async def send(batcher: Batcher, number: int) -> int:
        await asyncio.sleep(spread * number / count)
        try:
            return (await batcher.predict(number))["batch"]
        except DataError:
            return -1

    async def main() -> list[int]:
        batcher = Batcher(predict, size, wait)
        running = asyncio.create_task(batcher.run())
        found = await asyncio.gather(*(send(batcher, number) for number in range(count)))
        running.cancel()
        return found

    return asyncio.run(main())


def test_concurrent_samples_share_batches_up_to_a_size() -> None:
    assert batch_sizes(12, size=4, wait=1.0) == [4] * 12
    assert batch_sizes(3, size=4, wait=0.01) == [3] * 3


def test_an_error_of_a_sample_reaches_its_request_alone() -> None:
    found = batch_sizes(16, size=16, wait=1.0)
    assert [number for number, size in enumerate(found) if size == -1] == [13]
    assert found.count(16) == 15


def test_a_sample_waits_for_others_no_longer_than_it_should() -> None:
    start = time.monotonic()
    assert batch_sizes(1, size=100, wait=0.05) == [1]
    assert time.monotonic() - start < 2
