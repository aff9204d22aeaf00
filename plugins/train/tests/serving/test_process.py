from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

SIGNAL = [0.0, 1, 0, -1, 0, 1, 0, -1, 0, 1, 0, -1]


def get(url: str, value: Any = None) -> Any:
    body = None if value is None else json.dumps({"value": value}).encode()
    request = urllib.request.Request(url, body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


@pytest.fixture
def server(checkpoint: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server whose requests wait a second for others, and its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--port", str(port), "--max-wait-ms", "1500", "--batch-size", "100", "--device", "cpu"]
    command = [sys.executable, "-m", "itnet_registry", "serve", str(checkpoint), *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        url = f"http://127.0.0.1:{port}"
        for _ in range(600):
            try:
                get(f"{url}/health")
                break
            except urllib.error.URLError:
                assert process.poll() is None, process.stderr and process.stderr.read()
                time.sleep(0.1)
        yield process, url
        process.kill()


def test_requests_in_flight_are_answered_after_sigterm(server: tuple[subprocess.Popen[str], str]) -> None:
    process, url = server
    with ThreadPoolExecutor(20) as pool:
        answers = [pool.submit(get, f"{url}/predict", SIGNAL) for _ in range(20)]
        while get(f"{url}/health")["waiting"] < 20:
            time.sleep(0.01)
        assert not any(answer.done() for answer in answers)
        process.send_signal(signal.SIGTERM)
        assert all(answer.result()["prediction"].keys() == {"tone", "probability"} for answer in answers)
    assert process.wait(timeout=30) == 0
    with pytest.raises(urllib.error.URLError):
        get(f"{url}/health")
