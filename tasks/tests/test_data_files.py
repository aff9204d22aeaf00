from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from itnet_core import DataError
from itnet_tasks.data_files import data_files


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """The address of a server of two files."""
    (tmp_path / "site").mkdir()
    for number in range(2):
        (tmp_path / f"site/{number}.tar").write_bytes(b"%d" % number)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Silent, directory=str(tmp_path / "site")))
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_names_patterns_and_ranges(tmp_path: Path) -> None:
    for name in ("a-08.tar", "a-09.tar", "a-10.tar", "b.tar"):
        (tmp_path / name).touch()
    (tmp_path / "folder").mkdir()
    expected: dict[Any, list[str]] = {
        "b.tar": ["b.tar"],
        str(tmp_path / "b.tar"): ["b.tar"],
        str(tmp_path / "a-*.tar"): ["a-08.tar", "a-09.tar", "a-10.tar"],
        "a-?[89].tar": ["a-08.tar", "a-09.tar"],
        "a-{09..10}.tar": ["a-09.tar", "a-10.tar"],
        "folder": ["folder"],
        ("b.tar", "a-{08..08}*"): ["b.tar", "a-08.tar"],
    }
    for names, files in expected.items():
        assert [file.name for file in data_files(str(tmp_path), names)] == files, names
    for missing in ("c.tar", "c*.tar", ("b.tar", "a-{8..8}.tar")):
        with pytest.raises(DataError, match="no such file"):
            data_files(str(tmp_path), missing)


@pytest.mark.parametrize("name", ["pipe:curl x | sh", "s3://a/b.tar", "file:///etc/passwd", "PIPE:x", "gs://{0..3}"])
def test_other_addresses_are_refused_even_for_download(name: str, tmp_path: Path, no_network: None) -> None:
    with pytest.raises(DataError, match="found an address in .*; expected a path, or an address in http"):
        data_files(str(tmp_path), name, download=True)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("name", ["https://example.org/a.tar", "hf://datasets/someone/pets/a.tar"])
def test_the_network_is_used_only_where_download_is_set(name: str, tmp_path: Path, no_network: None) -> None:
    with pytest.raises(DataError, match="Set download: true"):
        data_files(str(tmp_path), name)
    with pytest.raises(DataError, match="a download that failed"):
        data_files(str(tmp_path), name, download=True)


def test_files_are_downloaded_once(address: str, tmp_path: Path) -> None:
    for _ in range(2):
        files = data_files(str(tmp_path / "new"), f"{address}/{{0..1}}.tar", download=True)
        assert [(file.name, file.read_bytes()) for file in files] == [("0.tar", b"0"), ("1.tar", b"1")]
        (tmp_path / "site/0.tar").unlink(missing_ok=True)
    assert data_files(str(tmp_path / "new"), f"{address}/1.tar") == files[1:]
    with pytest.raises(DataError, match="404"):
        data_files(str(tmp_path / "new"), f"{address}/2.tar", download=True)
    assert sorted(file.name for file in (tmp_path / "new").iterdir()) == ["0.tar", "1.tar"]


def test_files_of_the_hub_are_those_of_its_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def hub(cached: bool) -> Callable[..., str]:
        def download(*arguments: str, repo_type: str, revision: str | None, local_files_only: bool) -> str:
            asked.append((*arguments, repo_type, revision, local_files_only))
            if local_files_only and not cached:
                raise FileNotFoundError
            return str(tmp_path / "a.tar")

        return download

    monkeypatch.setattr("huggingface_hub.hf_hub_download", hub(cached=True))
    assert data_files("", "hf://datasets/some/pets/v/a.tar") == [tmp_path / "a.tar"]
    monkeypatch.setattr("huggingface_hub.hf_hub_download", hub(cached=False))
    assert data_files("", "hf://datasets/some/pets@v1/a.tar", download=True) == [tmp_path / "a.tar"]
    with pytest.raises(DataError, match="no such file in the cache"):
        data_files("", "hf://datasets/some/pets/a.tar")
    assert asked == [
        ("some/pets", "v/a.tar", "dataset", None, True),
        ("some/pets", "a.tar", "dataset", "v1", True),
        ("some/pets", "a.tar", "dataset", "v1", False),
        ("some/pets", "a.tar", "dataset", None, True),
    ]
    with pytest.raises(DataError, match="expected hf://datasets/OWNER/NAME/FILE"):
        data_files("", "hf://models/a", download=True)
