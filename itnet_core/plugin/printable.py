"""Text without control characters, safe to print in a terminal."""

from __future__ import annotations

from unicodedata import category


def printable(text: str, *, keep: str = "") -> str:
    r"""Escape the characters of a text that are not printable, as `repr` does: `\x1b`, `\n`, `\udce9`.

    These are control characters, directional overrides, and the lone surrogates that represent the bytes of a file name
    that is not UTF-8. Spaces of any width stay.

    Example:
        >>> printable("a\x1b[31m")
        'a\\x1b[31m'

    Args:
        text: any text.
        keep: further characters to keep, such as the newline of a text of several lines.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep or category(c) == "Zs" else repr(c)[1:-1] for c in text)
