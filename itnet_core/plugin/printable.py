"""Text that a terminal shows, and does not obey."""

from __future__ import annotations

from unicodedata import category


def printable(text: str, *, keep: str = "") -> str:
    r"""Return text with an escape for each character that is not printable, as `repr` has it: `\x1b`, `\n`, `\udce9`.

    These are control characters, directional overrides, and the lone surrogates that stand for the bytes of a file name
    that is not UTF-8. Spaces of any width stay.

    Args:
        text: any text.
        keep: characters that stay too, such as the newline of a text of several lines.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep or category(c) == "Zs" else repr(c)[1:-1] for c in text)
