"""Run the server of a checkpoint."""

from __future__ import annotations

import asyncio
import signal
import socket

import uvicorn
from fastapi import FastAPI

from itnet_registry import Predictor
from itnet_train.serving.app import ServeLimits, create_app

GRACE = 0.5
"""Seconds in which clients that keep a connection learn that the server ends."""


class DrainingServer(uvicorn.Server):
    """A server that loses no request when it ends.

    uvicorn closes connections that wait for their next request, which may be on its way. So this server first takes no
    further connections, and asks the clients of the others to close them, by a header of its answers.
    """

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self.app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer the requests that were accepted, and end."""
        for server in self.servers:
            server.close()
        self.app.state.draining = True
        await asyncio.sleep(GRACE)
        await super().shutdown(sockets)


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
    app = create_app(predictor, limits, host)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        access_log=False,
        limit_concurrency=max_connections,
        timeout_graceful_shutdown=round(limits.timeout) + 5,
    )
    # uvicorn raises the signal that ended it again, which would end this process as if it had been killed.
    previous = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        DrainingServer(config, app).run()
    finally:
        signal.signal(signal.SIGTERM, previous)
