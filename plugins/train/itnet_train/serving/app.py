"""The HTTP interface of a checkpoint."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile
from starlette.middleware.trustedhost import TrustedHostMiddleware

from itnet_core import DataError, ITNetError
from itnet_registry import Predictor
from itnet_registry.prediction.uploads import uploaded_value
from itnet_train.serving.batcher import Batcher
from itnet_train.storage.formats import to_json

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class ServeLimits:
    """Limits of a server.

    Attributes:
        max_bytes: size of the body of a request.
        timeout: seconds that a request may take, its body included.
        batch_size: samples of a batch.
        max_wait: seconds that a sample waits for others, to fill a batch. With 0, a batch has the samples that came
            while the one before was computed.
    """

    max_bytes: int = 32 * 2**20
    timeout: float = 60.0
    batch_size: int = 32
    max_wait: float = 0.0


class PredictRequest(BaseModel):
    """A request in JSON."""

    value: Any
    """A text, an array as nested lists, or an object of several by their names, as the task reads them. It cannot name
    a file."""


class PredictResponse(BaseModel):
    """An answer."""

    prediction: dict[str, Any]
    """The task's description of the prediction."""


class Health(BaseModel):
    """The state of a server."""

    status: str
    modality: str
    task: str
    device: str
    waiting: int
    """Requests that are not answered yet."""


BODY = {
    "required": True,
    "content": {
        "application/json": {"schema": PredictRequest.model_json_schema()},
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {
                    "file": {"type": "array", "items": {"type": "string", "format": "binary"}},
                    "text": {"type": "string"},
                },
            }
        },
    },
}
ERRORS: dict[int | str, dict[str, Any]] = {
    413: {"description": "The body is too large."},
    415: {"description": "The body is neither JSON nor multipart/form-data."},
    422: {"description": "The value is not one that the task reads."},
    503: {"description": "Too many connections."},
    504: {"description": "No answer in time."},
}


def create_app(predictor: Predictor, limits: ServeLimits | None = None, host: str = "127.0.0.1") -> FastAPI:
    """Return the application that serves a checkpoint: `POST /predict`, `GET /health`, and `GET /docs` (OpenAPI).

    Requests are predicted in batches. On a loopback address, only requests that name this machine are answered, so that
    no web page reaches the server by a name of its own.

    Example:
        >>> from fastapi.testclient import TestClient
        >>> from itnet_registry import create_model, load, save_model
        >>> encoder = {"name": "patch", "patch_size": 2}
        >>> save_model(create_model("itnet-nano", depth=1, encoder=encoder, task="digits"), "digits")
        >>> with TestClient(create_app(load("digits")), base_url="http://localhost") as client:
        ...     client.post("/predict", json={"value": [[0] * 8] * 8}).json()
        {'prediction': {'label': ..., 'probability': ..., 'likeliest': {...}}}

    Args:
        predictor: the checkpoint.
        limits: limits of a request; by default those of `ServeLimits`.
        host: the address that the server listens at.
    """
    limits = limits or ServeLimits()
    predict_samples = partial(predictor.predict_samples, batch_size=limits.batch_size)
    batcher = Batcher(predict_samples, limits.batch_size, limits.max_wait)
    state = {"waiting": 0}

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        running = asyncio.create_task(batcher.run())
        yield
        running.cancel()

    app = FastAPI(title="ITNet", version=version("itnet-train"), lifespan=lifespan, max_body_size=limits.max_bytes)
    app.state.draining = False
    if host in LOOPBACK:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=[*LOOPBACK, "[::1]"])

    @app.get("/health")
    async def health() -> Health:
        """Return the state of the server."""
        task, device = type(predictor.task).__name__, str(predictor.device)
        return Health(status="ok", modality=predictor.task.modality, task=task, device=device, **state)

    @app.post("/predict", response_model=PredictResponse, responses=ERRORS, openapi_extra={"requestBody": BODY})
    async def predict(request: Request) -> Response:
        """Predict one value: `{"value": …}` in JSON, or `file` and `text` in a form."""
        state["waiting"] += 1
        try:
            async with asyncio.timeout(limits.timeout):
                record = await batcher.predict(await read_request(request, predictor))
        except TimeoutError:
            raise HTTPException(504, f"no answer in {limits.timeout:g} s") from None
        except ITNetError as error:
            raise HTTPException(422, str(error)) from None
        finally:
            state["waiting"] -= 1
        headers = {"connection": "close"} if app.state.draining else {}
        return Response(to_json({"prediction": record}), headers=headers, media_type="application/json")

    return app


async def read_request(request: Request, predictor: Predictor) -> Any:
    """Read the sample of a request.

    Raises:
        HTTPException: the body is no request.
        ITNetError: the value is not one that the task reads.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        try:
            value = PredictRequest.model_validate_json(await request.body()).value
        except ValidationError as error:
            raise HTTPException(422, str(error.errors(include_url=False)[0]["msg"])) from None
        return await run_in_threadpool(_read, predictor, value)
    if kind != "multipart/form-data":
        raise HTTPException(415, f"{kind or 'no content type'}; expected application/json or multipart/form-data")
    async with request.form(max_files=4, max_fields=4) as form:
        uploads = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        text = form.get("text", "")
        with TemporaryDirectory() as folder:
            files = [Path(folder, f"upload{n}{_suffix(upload.filename)}") for n, upload in enumerate(uploads)]
            for file, upload in zip(files, uploads, strict=True):
                await run_in_threadpool(file.write_bytes, await upload.read())
            try:
                value = uploaded_value(files, text if isinstance(text, str) else "")
                return await run_in_threadpool(_read, predictor, value)
            except ITNetError as error:
                error.place = error.place.replace(f"{folder}/", "")
                raise


def _read(predictor: Predictor, value: Any) -> Any:
    try:
        return predictor.task.read(value)
    except ITNetError:
        raise
    except Exception as error:  # of a decoder: it concerns this value alone
        found = f"{type(error).__name__}: {error}"
        raise DataError("input", found=found, expected="a value that the task reads") from error


def _suffix(name: str | None) -> str:
    """Return the suffix of an uploaded file's name, of which nothing else is used."""
    suffix = Path(name or "").suffix
    return suffix if suffix[1:].isalnum() and len(suffix) <= 11 else ""
