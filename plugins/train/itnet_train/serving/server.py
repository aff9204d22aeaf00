"""Run the server of a checkpoint."""

from __future__ import annotations

import signal

import uvicorn

from itnet_registry import Predictor
from itnet_train.serving.app import ServeLimits, create_app


def serve(
    predictor: Predictor, host: str = "127.0.0.1", port: int = 8000, *, limits: ServeLimits, max_connections: int = 1000
) -> None:
    """Serve a checkpoint until SIGTERM or SIGINT; then answer the requests that were accepted, and return.

    Args:
        predictor: the checkpoint.
        host: the address to listen at.
        port: the port.
        limits: limits of a request.
        max_connections: connections above which new ones are answered with 503.
    """
    config = uvicorn.Config(
        create_app(predictor, limits, host),
        host=host,
        port=port,
        access_log=False,
        limit_concurrency=max_connections,
        timeout_graceful_shutdown=round(limits.timeout) + 5,
    )
    # uvicorn raises the signal that ended it again, which would end this process as if it had been killed.
    previous = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        uvicorn.Server(config).run()
    finally:
        signal.signal(signal.SIGTERM, previous)
