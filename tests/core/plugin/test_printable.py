from __future__ import annotations

import sys

import pytest

from itnet_core import ConfigError
from itnet_core.plugin.printable import printable


def test_nothing_is_left_that_a_terminal_would_obey() -> None:
    everything = "".join(map(chr, range(sys.maxunicode + 1)))
    shown = printable(everything)
    shown.encode("utf-8")  # with no half of a surrogate pair
    assert all(character.isprintable() or character.isspace() for character in shown)
    assert not set(shown) & {chr(code) for code in (*range(0x20), *range(0x7F, 0xA0), 0x202E, 0x2028)}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\r\n\x9b\x07", r"\x1b[2J\r\n\x9b\x07"),
        ("caf\udce9", r"caf\udce9"),
        ("gpj.\u202eexe", r"gpj.\u202eexe"),
        ("C:\\é 京都\u3000\u202f😀", "C:\\é 京都\u3000\u202f😀"),
    ],
)
def test_what_is_printable_stays_as_it_is(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_lines_are_kept_where_they_are_meant() -> None:
    assert printable("a\n\tb\x1b", keep="\n\t") == "a\n\tb\\x1b"


def test_the_message_of_an_error_is_printable() -> None:
    error = ConfigError("\x1b[2J\nb.yaml", found="caf\udce9", expected="one of\n  - \x07", hint="\x1b")
    assert str(error) == "\\x1b[2J\\nb.yaml: found caf\\udce9; expected one of\n  - \\x07. \\x1b"
    assert error.place == "\x1b[2J\nb.yaml"
