"""Load test of `itnet serve`: `python benchmarks/serving.py` writes docs/benchmarks/serving.md.

A server process on this machine predicts images of 8 × 8 pixels, as JSON, by an itnet-nano; clients in this process
send their next request once the last is answered. The last test sends SIGTERM in the middle of the load, and counts the
requests that the server had accepted and did not answer.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory

import httpx2
from provenance import provenance

from itnet_registry import create_model, save_model

PAGE = Path(__file__).parents[1] / "docs/benchmarks/serving.md"
BODY = json.dumps({"value": [[(17 * row * column) % 256 for column in range(8)] for row in range(8)]})
JSON = {"content-type": "application/json"}
CLIENTS, REQUESTS = (1, 8, 64), 2000


@asynccontextmanager
async def server(checkpoint: str, *options: str) -> AsyncIterator[tuple[subprocess.Popen[bytes], httpx2.AsyncClient]]:
    """Start a server; yield the process and its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "itnet_registry",
        "serve",
        checkpoint,
        "--port",
        str(port),
        "--device",
        "cpu",
        *options,
    ]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"}) as process:
        connections = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60, limits=connections) as client:
            for _ in range(300):
                try:
                    await client.get("/health")
                    break
                except httpx2.TransportError:
                    await asyncio.sleep(0.1)
            yield process, client
        process.terminate()


async def load(client: httpx2.AsyncClient, clients: int, requests: int) -> tuple[float, list[float]]:
    """Return the seconds of all requests, and of each."""
    taken: list[float] = []
    left = iter(range(requests))

    async def send() -> None:
        for _ in left:
            start = time.perf_counter()
            answer = await client.post("/predict", content=BODY, headers=JSON)
            taken.append(time.perf_counter() - start)
            assert answer.status_code == 200, answer.text

    start = time.perf_counter()
    await asyncio.gather(*(send() for _ in range(clients)))
    return time.perf_counter() - start, taken


async def terminate(process: subprocess.Popen[bytes], client: httpx2.AsyncClient, clients: int) -> tuple[int, int, int]:
    """Send SIGTERM in the middle of a load; return the numbers of answers and of lost requests, and the exit code.

    A request for which there was no connection any more is not lost: the server did not accept it.
    """
    answered = lost = 0

    async def send() -> None:
        nonlocal answered, lost
        while True:
            try:
                answer = await client.post("/predict", content=BODY, headers=JSON)
            except httpx2.ConnectError:
                return
            except httpx2.TransportError:
                lost += 1
                return
            answered += answer.status_code == 200
            lost += answer.status_code != 200

    sending = asyncio.gather(*(send() for _ in range(clients)))
    await asyncio.sleep(3)
    process.send_signal(signal.SIGTERM)
    await sending
    return answered, lost, await asyncio.to_thread(process.wait)


async def main() -> None:
    """Measure, and write the page."""
    rows = []
    with TemporaryDirectory() as folder:
        checkpoint = str(Path(folder, "digits"))
        encoder = {"name": "patch", "patch_size": 4}
        save_model(create_model("itnet-nano", depth=1, encoder=encoder, task="digits"), checkpoint)
        for batch_size in (1, 32):
            async with server(checkpoint, "--batch-size", str(batch_size)) as (_, client):
                await load(client, 8, 200)
                for clients in CLIENTS:
                    seconds, taken = await load(client, clients, REQUESTS)
                    cuts = [1000 * cut for cut in quantiles(taken, n=100)]
                    rate = REQUESTS / seconds
                    rows.append(f"| {batch_size} | {clients} | {rate:.0f} | {cuts[49]:.1f} | {cuts[98]:.1f} |")
        async with server(checkpoint) as (process, client):
            answered, lost, code = await terminate(process, client, clients=64)
    lines = [
        "# Load of a server",
        "",
        f"`python benchmarks/serving.py` on {provenance(1)}. Clients and server share the machine.",
        "",
        "| `--batch-size` | clients | requests a second | median, ms | 99th percentile, ms |",
        "|---|---|---|---|---|",
        *rows,
        "",
        f"SIGTERM under the load of 64 clients: {answered} requests answered, {lost} lost, exit code {code}.",
    ]
    PAGE.write_text("\n".join([*lines, ""]), encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    asyncio.run(main())
