"""The commands `itnet train-tokenizer` and `itnet glue-average`."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from itnet_core import printable, write_atomically

AsJSON = Annotated[bool, typer.Option("--json", help="Write the result to stdout as one line of JSON.")]


def train(
    files: Annotated[
        list[Path], typer.Argument(help="Files: .txt with one text per line, or tables (.csv, .tsv, .jsonl).")
    ],
    output: Annotated[Path, typer.Option(help="The tokenizer.json to write.")],
    vocabulary: Annotated[int, typer.Option(min=257, help="Largest number of tokens, including the 256 bytes.")] = 8000,
    column: Annotated[
        str | None, typer.Option(help="Column of the texts in tables: its name, or its number from 0 without a header.")
    ] = None,
    case: Annotated[bool, typer.Option("--case", help="Distinguish upper and lower case.")] = False,
    encoding: Annotated[str, typer.Option(help="Encoding of the files.")] = "utf-8",
    json: AsJSON = False,
) -> None:
    """Train a byte-pair tokenizer on texts, for the encoder `token`."""
    from itnet_core import DataError
    from itnet_text.data.rows import read_columns, read_file
    from itnet_text.tokenizer import train_tokenizer

    if output.exists() and not output.is_file():  # replacing a device by a file would remove it
        raise DataError(
            str(output), found="something other than a file", expected="a file, or a path that does not exist"
        )
    texts: list[str] = []
    for file in files:
        if column is None:
            texts += read_file(file, encoding).split("\n")
            continue
        rows = read_columns(str(file), [column], header=not column.isdigit(), encoding=encoding)
        texts += [str(columns[column]) for _, columns in rows if columns.get(column) is not None]
    texts = [text for text in texts if text.strip()]
    if not texts:
        raise DataError(", ".join(map(str, files)), found="no text", expected="texts to train on")
    tokenizer = train_tokenizer(texts, vocabulary, lowercase=not case)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(output, tokenizer.to_str())
    result = {"output": str(output), "texts": len(texts), "tokens": tokenizer.get_vocab_size()}
    _echo(json_module.dumps(result) if json else "\n".join(f"{name}: {value}" for name, value in result.items()))


def average(
    runs: Annotated[list[Path], typer.Argument(help="Directories of runs, one for each task of GLUE.")],
    json: AsJSON = False,
) -> None:
    """Compute GLUE's average over the runs of its nine tasks (MNLI twice, matched and mismatched)."""
    from itnet_text.tasks.glue_average import glue_average, scores_of_runs

    scores = glue_average(scores_of_runs(runs))
    lines = [f"{name:<8} {value:.1f}" for name, value in scores.items()]
    _echo(json_module.dumps(scores) if json else "\n".join(lines))


def _echo(text: str) -> None:
    typer.echo(printable(text, keep="\n"))
