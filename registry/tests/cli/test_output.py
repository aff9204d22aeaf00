"""Tables fit the terminal, and show every character."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itnet_registry.cli.output import _column_widths, _row_lines, print_table


def test_a_table_has_a_title_a_head_and_aligned_columns(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("kernels", ("name", "summary"), [("mlp", "the paper's"), ("attention", "")])
    assert capsys.readouterr().out.split("\n") == [
        "kernels",
        "name       summary",
        "──────────────────────",
        "mlp        the paper's",
        "attention",
        "",
        "",
    ]


def test_a_table_without_rows_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("kernels", ("name",), [])
    assert capsys.readouterr().out == ""


@given(
    cells=st.lists(st.tuples(*[st.text("abc é", max_size=60)] * 3), min_size=1, max_size=4),
    total=st.integers(40, 120),
)
def test_no_character_is_lost_and_only_the_first_column_may_be_too_wide(
    cells: list[tuple[str, str, str]], total: int
) -> None:
    widths = _column_widths(cells, total)
    assert sum(widths) + 4 <= max(total, widths[0] + 2 * 10 + 4)
    for row in cells:
        lines = _row_lines(row, widths)
        assert sorted("".join(lines).replace(" ", "")) == sorted("".join(row).replace(" ", ""))
        assert all(len(line) <= sum(widths) + 4 for line in lines)
