from __future__ import annotations

import os
from pathlib import Path

import pytest

from itnet_core import DataError, open_regular
from itnet_tasks import check_inside, decode_text, open_data, read_data


def test_regular_files_and_links_to_them_are_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\x00\r\n\x1a")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with open_data(tmp_path / "b", "four bytes") as file:
        assert file.fileno()
        assert file.read() == b"\x00\r\n\x1a"
    assert read_data(tmp_path / "a", "four bytes") == b"\x00\r\n\x1a"


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "linked").symlink_to(tmp_path / "pipe")
    expected = {
        tmp_path / "pipe": r"found a FIFO \(named pipe\), not a regular file; expected a text",
        tmp_path / "linked": "found a FIFO",
        Path("/dev/zero"): "found a device, not a regular file",
        tmp_path: "found Is a directory",
        tmp_path / "nowhere": "found no such file; expected a text. Write one",
        tmp_path / "pipe/below": "found Not a directory",
        tmp_path / ("long" * 100): "found File name too long",
        tmp_path / "a\0b": "found embedded null byte",
    }
    for path, message in expected.items():
        with pytest.raises(DataError, match=message) as refused:
            open_data(path, "a text", "Write one.")
        assert refused.value.place == str(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_a_text_is_decoded_without_a_byte_order_mark(encoding: str) -> None:
    assert decode_text("ä\nb".encode(encoding), Path("a.txt"), encoding) == "ä\nb"
    assert decode_text("\ufeffb".encode(), Path("a.txt")) == "b"


def test_a_text_of_another_encoding_is_refused_with_its_line() -> None:
    with pytest.raises(DataError, match=r"a.txt, line 2: found bytes that are not utf-8 \(b'\\xe4h'\).*Set encoding"):
        decode_text(b"fine\n\xe4h", Path("a.txt"))
    with pytest.raises(DataError, match="a.txt: found the encoding 'morse'"):
        decode_text(b"a", Path("a.txt"), "morse")


def test_a_refusal_leaves_no_file_open(tmp_path: Path) -> None:
    def next_descriptor() -> int:
        descriptor = os.open(tmp_path, os.O_RDONLY)
        os.close(descriptor)
        return descriptor

    os.mkfifo(tmp_path / "pipe")
    before = next_descriptor()
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(OSError, match="a FIFO|Is a directory"):
            open_regular(path)
    assert next_descriptor() == before


@pytest.mark.parametrize("name", ["a.png", "train/a.png", "a..b/c", "..."])
def test_names_below_the_folder_stay(name: str) -> None:
    assert check_inside(name, "list.json") == name


@pytest.mark.parametrize("name", ["/etc/passwd", "../a.png", "train/../../a.png", ".."])
def test_names_that_leave_the_folder_are_refused(name: str) -> None:
    with pytest.raises(DataError, match=r"list.json: found the file name .*; expected a name below"):
        check_inside(name, "list.json")
