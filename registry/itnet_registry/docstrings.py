"""What a configuration's docstring says of its fields."""

from __future__ import annotations

import inspect
import re

_FIELD = re.compile(r"([a-z_]\w*(?:, [a-z_]\w*)*): (.+)")


def field_docs(config: type) -> dict[str, str]:
    """Return the sentence of each field from the `Attributes:` section of a class docstring, bases included.

    The section ends at the next line that stands no deeper than its title; a line that stands deeper than a field's
    goes on with that field.
    """
    docs: dict[str, str] = {}
    for cls in reversed(config.__mro__):
        docs |= _attributes(inspect.cleandoc(cls.__doc__ or ""))
    return docs


def _attributes(docstring: str) -> dict[str, str]:
    docs: dict[str, str] = {}
    _, title, section = docstring.partition("Attributes:")
    title_depth = (
        -1 if docstring.startswith(title) else 0
    )  # `cleandoc` takes its indentation from the lines after the first
    names: list[str] = []
    depth = None
    for number, line in enumerate(section.splitlines() if title else ()):
        text, indent = line.strip(), len(line) - len(line.lstrip())
        if not text:
            continue
        if number > 0 and indent <= title_depth:
            break
        depth = indent if depth is None and number > 0 else depth
        match = _FIELD.fullmatch(text)
        if match and (number == 0 or indent == depth):
            names = match[1].split(", ")
            docs |= dict.fromkeys(names, match[2])
        else:
            docs |= {name: f"{docs[name]} {text}" for name in names}
    return docs
