"""A local page to try a checkpoint: upload a sample, see the prediction and what the kernels read."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as LateError
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, cast

import torch
from pydantic import Base64Bytes, BaseModel, Field, StringConstraints, ValidationError

from itnet_core import ConfigError, DataError, Encoder, ITNetError
from itnet_explain.checkpoint import spread_samples
from itnet_explain.explanation import explain
from itnet_explain.images import image_url
from itnet_explain.report import write_report
from itnet_registry import load
from itnet_registry.prediction.uploads import uploaded_value

HOST = "127.0.0.1"
MOST_BYTES = 32 * 2**20
"""Largest body of a request."""
SECONDS = 60.0
"""Longest time of an upload, and of an answer."""
REPORTS = 8
"""Reports that are kept, the latest ones."""
REFERENCES = 3
"""Samples of the test split that the report compares an upload with."""
IMAGES = {"image-text": 1, "image-pair-text": 2}
"""Modalities of a text with images, and how many."""
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:; "
    "connect-src 'self'; frame-src 'self'; frame-ancestors 'self'"
)


class DemoFile(BaseModel):
    """A file of an upload; of its name only the suffix is used."""

    suffix: Annotated[str, StringConstraints(pattern=r"^(\.[A-Za-z0-9]{1,10})?$")] = ""
    """The end of its name, `.png`."""
    data: Base64Bytes
    """Its content."""


class DemoUpload(BaseModel):
    """A sample: files, a text, or both.

    Example:
        >>> DemoUpload(text="A fine film.").files
        []
    """

    files: Annotated[list[DemoFile], Field(max_length=2)] = []
    """An image, a recording, a mesh, …; two images for a model of pairs."""
    text: Annotated[str, StringConstraints(max_length=100_000)] = ""
    """A text, or the question about an image."""

    def write(self, folder: Path) -> Any:
        """Write the files, and return what tasks read: a file, a text, or a mapping of images and a text.

        Raises:
            DataError: there is neither a file nor a text.
        """
        paths = [folder / f"upload{number}{file.suffix}" for number, file in enumerate(self.files)]
        for path, file in zip(paths, self.files, strict=True):
            path.write_bytes(file.data)
        return uploaded_value(paths, self.text)


@dataclass(frozen=True)
class DemoAnswer:
    """The prediction for an upload, and its report.

    Example:
        >>> DemoAnswer({"label": "7", "probability": 0.9}, "<!doctype html>").record["label"]
        '7'

    Attributes:
        record: the task's description of the prediction.
        report: HTML of the kernels' maps on the sample.
    """

    record: dict[str, Any]
    report: str


class Demo:
    """A checkpoint that predicts and explains uploads.

    Example:
        >>> from itnet_registry import create_model, save_model
        >>> encoder = {"name": "patch", "patch_size": 2}
        >>> save_model(create_model("itnet-nano", depth=1, encoder=encoder, task="digits"), "digits")
        >>> demo = Demo("digits")
        >>> demo.modality
        'image'
        >>> demo.answer(DemoUpload(text="no image"))
        Traceback (most recent call last):
        itnet_core.plugin.errors.DataError: input: found the text 'no image'; ...

    Args:
        checkpoint: a checkpoint directory, or an address as for `itnet_registry.load`.
        modality: the task of a model of several.

    Raises:
        ITNetError: the checkpoint or its task cannot be used.
    """

    def __init__(self, checkpoint: str | PathLike[str], modality: str | None = None) -> None:
        self.predictor = load(checkpoint, modality=modality, device="cpu")
        self.model, self.task = self.predictor.model, self.predictor.task
        self.modality: str = self.task.modality
        self.title = "/".join(Path(checkpoint).resolve().parts[-2:])
        self._references = self._find_references()

    def answer(self, upload: DemoUpload) -> DemoAnswer:
        """Predict and explain a sample.

        Raises:
            DataError: the upload is not a sample of the task.
        """
        with TemporaryDirectory() as folder:
            home = Path(folder)
            try:
                sample = self.task.read(self._checked(upload).write(home))
                [record] = self.predictor.describe([sample])
            except ITNetError as error:
                error.place = error.place.replace(f"{home}/", "")
                raise
            self._write_report(sample, home)
            return DemoAnswer(record, (home / "report.html").read_text(encoding="utf-8"))

    def _checked(self, upload: DemoUpload) -> DemoUpload:
        """Refuse images without a text, and a JSON file that would name images of this machine."""
        images = IMAGES.get(self.modality, 0)
        if images and (len(upload.files) != images or not upload.text.strip()):
            expected = "an image and a text" if images == 1 else f"{images} images and a text"
            found = f"{len(upload.files)} files and {'a' if upload.text.strip() else 'no'} text"
            raise DataError("upload", found=found, expected=expected)
        return upload

    def _write_report(self, sample: Any, folder: Path) -> None:
        try:
            inputs = self.task.collate([sample, *(self._references or [sample])]).inputs
        except ITNetError:  # such as images of other sizes
            inputs = self.task.collate([sample, sample]).inputs
        explanation = explain(self.model, inputs, modality=self.modality, maps=1, pairs=64, contents=4)
        encoder = cast(Encoder, self.model.encoders[self.modality])
        with torch.no_grad():
            image, labels = image_url(encoder.images(inputs), 0), encoder.labels(inputs)
        write_report(
            explanation,
            folder,
            title=self.title,
            images={} if image is None else {0: image},
            labels={} if labels is None else {0: labels[0]},
        )

    def _find_references(self) -> Sequence[Any]:
        """Return samples of the test split, or none if its data are not here."""
        try:
            return spread_samples(self.task.dataset("test"), REFERENCES)
        except ITNetError:
            return ()


class DemoServer(ThreadingHTTPServer):
    """The page of a `Demo`, for this machine alone.

    It answers requests to 127.0.0.1 and localhost from its own page, one upload at a time, and requests nothing itself.

    Example:
        >>> from itnet_registry import create_model, save_model
        >>> encoder = {"name": "patch", "patch_size": 2}
        >>> save_model(create_model("itnet-nano", depth=1, encoder=encoder, task="digits"), "digits")
        >>> with DemoServer(Demo("digits"), port=0) as server:
        ...     server.url
        'http://127.0.0.1:...'

    Args:
        demo: the checkpoint.
        port: of 127.0.0.1; 0 for any free one.
        seconds: longest time of an upload, and of an answer.

    Raises:
        ConfigError: the port is not free.
    """

    daemon_threads = True

    def __init__(self, demo: Demo, port: int = 7860, seconds: float = SECONDS) -> None:
        self.demo, self.seconds = demo, seconds
        self.reports: dict[int, str] = {}
        self.worker = ThreadPoolExecutor(max_workers=1)
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            found = f"{port} ({error.strerror})"
            raise ConfigError("--port", found=found, expected="a free port", hint="--port 0 takes any.") from None

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"http://{HOST}:{self.server_port}/"

    def server_close(self) -> None:
        """Close the socket; an answer that is being computed is dropped."""
        super().server_close()
        self.worker.shutdown(wait=False, cancel_futures=True)

    def keep(self, report: str) -> str:
        """Keep a report, and return its path."""
        number = max(self.reports, default=0) + 1
        self.reports[number] = report
        self.reports.pop(number - REPORTS, None)
        return f"/reports/{number}.html"


class _Handler(BaseHTTPRequestHandler):
    server: DemoServer
    timeout = SECONDS

    def do_GET(self) -> None:
        if not self._is_ours():
            return
        reports = {f"/reports/{number}.html": report for number, report in self.server.reports.items()}
        if self.path == "/":
            page = files("itnet_explain").joinpath("demo.html").read_text(encoding="utf-8")
            about = {"title": self.server.demo.title, "modality": self.server.demo.modality, "most": MOST_BYTES}
            self._send(HTTPStatus.OK, page.replace("/*about*/", json.dumps(about).replace("<", "\\u003c")))
        elif self.path in reports:
            self._send(HTTPStatus.OK, reports[self.path])
        else:
            self._refuse(HTTPStatus.NOT_FOUND, f"{self.path} is not a page; reports are kept for {REPORTS} uploads")

    def do_POST(self) -> None:
        if not self._is_ours():
            return
        status, content = self._answer()
        self.close_connection = status != HTTPStatus.OK  # the body may not have been read
        self._send_json(status, content)

    def _answer(self) -> tuple[HTTPStatus, dict[str, Any]]:
        length = self.headers.get("Content-Length", "")
        if self.headers.get("Content-Type") != "application/json" or not length.isdecimal() or self.path != "/answer":
            return HTTPStatus.BAD_REQUEST, {"error": "expected JSON with its length at /answer"}
        if int(length) > MOST_BYTES:
            error = f"{int(length):,} bytes; expected at most {MOST_BYTES:,}"
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"error": error}
        try:
            upload = DemoUpload.model_validate_json(self._body(int(length)))
            future = self.server.worker.submit(self.server.demo.answer, upload)
            answer = future.result(self.server.seconds)
        except LateError:
            future.cancel()
            return HTTPStatus.SERVICE_UNAVAILABLE, {"error": f"no answer in {self.server.seconds:g} s"}
        except ValidationError as invalid:
            return HTTPStatus.BAD_REQUEST, {"error": str(invalid.errors(include_url=False)[0]["msg"])}
        except Exception as failure:  # of a decoder or an encoder: it concerns this upload alone
            return HTTPStatus.UNPROCESSABLE_ENTITY, {"error": f"{type(failure).__name__}: {failure}"}
        return HTTPStatus.OK, {"record": answer.record, "report": self.server.keep(answer.report)}

    def log_message(self, *args: Any) -> None:
        """Log nothing."""

    def _is_ours(self) -> bool:
        """Whether the request is to this machine and from our page; others, such as another site's, are refused."""
        port = self.server.server_port
        hosts = {f"{host}:{port}" for host in (HOST, "localhost")}
        origin = self.headers.get("Origin")
        if self.headers.get("Host") in hosts and (origin is None or origin.removeprefix("http://") in hosts):
            return True
        self._refuse(HTTPStatus.FORBIDDEN, f"requests to {self.server.url} alone")
        return False

    def _body(self, length: int) -> bytes:
        body, until = b"", time.monotonic() + self.server.seconds
        while len(body) < length:
            part = self.rfile.read1(min(2**16, length - len(body)))
            if not part or time.monotonic() > until:
                raise DataError("upload", found=f"{len(body)} of {length} bytes", expected="all of them, in time")
            body += part
        return body

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        self.close_connection = True
        self._send_json(status, {"error": message})

    def _send_json(self, status: HTTPStatus, content: Any) -> None:
        self._send(status, json.dumps(content), "application/json")

    def _send(self, status: HTTPStatus, text: str, kind: str = "text/html") -> None:
        data = text.encode()
        self.send_response(status)
        for name, value in {
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Length": str(len(data)),
            "Content-Security-Policy": POLICY,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
