from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from itnet_core import DataError
from itnet_registry.prediction.uploads import uploaded_value

ONE, TWO = Path("1.png"), Path("2.png")


@pytest.mark.parametrize(
    ("files", "text", "value"),
    [
        ([ONE], "", ONE),
        ([], "a film", "a film"),
        ([ONE], "red?", {"image": ONE, "text": "red?"}),
        ([ONE, TWO], "same?", {"images": [ONE, TWO], "text": "same?"}),
    ],
)
def test_files_and_a_text_are_one_value(files: list[Path], text: str, value: Any) -> None:
    assert uploaded_value(files, text) == value


@pytest.mark.parametrize(("files", "text"), [([], ""), ([], "  "), ([ONE, TWO], "")])
def test_nothing_or_too_much_is_refused(files: list[Path], text: str) -> None:
    with pytest.raises(DataError, match="upload: found"):
        uploaded_value(files, text)
