from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itnet_core import DataError
from itnet_tasks.shards import index_shard, read_member


def write(path: Path, members: Mapping[str, bytes], **options: object) -> Path:
    with tarfile.open(path, "w", **options) as tar:  # type: ignore[call-overload]
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="./\0"), min_size=1, max_size=150)


@given(
    samples=st.dictionaries(NAMES, st.binary(min_size=1, max_size=2000), min_size=1, max_size=5),
    form=st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
)
def test_every_sample_is_found_whole(
    samples: dict[str, bytes], form: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Long names, and those in other alphabets, have headers of their own in each format."""
    members = {f"{key}.{ending}": content for key, content in samples.items() for ending in ("left.PNG", "txt", "cls")}
    path = write(tmp_path_factory.mktemp("shard") / "a.tar", members, format=form)
    found = index_shard(path, ["left.png"], "cls")
    assert [sample.key for sample in found] == list(samples)
    assert {sample.key: read_member(path, sample.offset, sample.size).data for sample in found} == samples
    assert found == index_shard(path, ["left.png"], "cls")  # as the cache has it


def test_keys_end_at_the_first_dot_and_hidden_files_and_folders_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    (tmp_path / "a").mkdir()
    for name in ("1.jpg", "1.cls", "._1.jpg", "readme"):
        (tmp_path / "a" / name).write_bytes(b"3\n")
    with tarfile.open(path, "w") as tar:
        tar.add(tmp_path / "a", "./v1.2/a")
    [sample] = index_shard(path, ["jpg"], "cls")
    assert (sample.key, sample.label) == ("./v1.2/a/1", "3")
    assert read_member(path, sample.offset, sample.size) == (b"3\n", f"{path}, ./v1.2/a/1.jpg")


def test_a_new_content_of_the_same_name_is_indexed_again(tmp_path: Path) -> None:
    for key in ("old", "new"):
        write(tmp_path / "a.tar", {f"{key}.jpg": b"1" * (1 if key == "old" else 1000)})
        assert [sample.key for sample in index_shard(tmp_path / "a.tar", ["jpg"], "cls")] == [key]


GOOD = {"0.jpg": b"a" * 600, "0.cls": b"1", "1.jpg": b"b" * 600, "1.cls": b"0"}


def cut(size: int) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(path.read_bytes()[:size])


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[2560:2600] = b"\xff" * 40  # the header of the third member
    path.write_bytes(content)


def link(path: Path) -> None:
    with tarfile.open(path, "a") as tar:
        member = tarfile.TarInfo("2.jpg")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(member)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (cut(2100), r"a damaged file \(unexpected end of data\)"),
        (cut(2560), "byte 2560: found no mark of the end"),
        (cut(2800), "byte 2560: found a damaged header"),
        (damage, "a damaged header of a member"),
        (link, "2.jpg: found a member that is a link"),
        (lambda path: path.write_bytes(gzip.compress(path.read_bytes())), "unpack a compressed one"),
        (lambda path: path.write_bytes(b""), "a damaged file"),
        (lambda path: path.unlink(), "no such file"),
        (lambda path: write(path, {}), "found no member"),
        (lambda path: write(path, {"0.txt": b"", "readme": b""}), "no sample among 1; expected members ending in .jpg"),
        (lambda path: write(path, {"0.jpg": b"", "0.JPG": b""}), "a second member of the sample '0' with its data"),
    ],
    ids=[
        "cut",
        "cut between members",
        "cut in a header",
        "damaged",
        "link",
        "compressed",
        "no bytes",
        "missing",
        "empty",
        "other endings",
        "twice",
    ],
)
def test_a_shard_that_would_give_other_samples_is_refused(
    change: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.tar", GOOD)
    assert len(index_shard(path, ["jpg"], "cls")) == 2
    change(path)
    with pytest.raises(DataError, match=message) as refused:
        index_shard(path, ["jpg"], "cls")
    assert refused.value.place.startswith(str(path))


def test_a_shard_that_has_become_shorter_is_refused(tmp_path: Path) -> None:
    sample = index_shard(path := write(tmp_path / "a.tar", GOOD), ["jpg"], "cls")[1]
    path.write_bytes(path.read_bytes()[: sample.offset + 9])
    with pytest.raises(DataError, match="found 9 bytes; expected 600"):
        read_member(path, sample.offset, sample.size)


def test_a_shard_that_has_changed_is_refused(tmp_path: Path) -> None:
    sample = index_shard(path := write(tmp_path / "a.tar", GOOD), ["jpg"], "cls")[1]
    damage(path)
    with pytest.raises(DataError, match=f"byte {sample.offset - 512}: found a damaged header of a member"):
        read_member(path, sample.offset, sample.size)


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ITNET_CACHE", str(tmp_path / "file/below"))
    assert len(index_shard(write(tmp_path / "a.tar", GOOD), ["jpg"], "cls")) == 2
