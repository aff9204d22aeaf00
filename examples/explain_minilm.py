"""Explain the heads of a pretrained sentence encoder: which are positional, and which read content.

Run `python examples/fetch_data.py minilm reviews`, then `python examples/explain_minilm.py [--output DIR]`, about a
minute of one core. The table has the share of the variance of each head's logits that x − y alone explains, the places
of the two tokens; the rest is content. The report goes to runs/minilm-explained.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from claims import DATA
from rich.console import Console
from rich.table import Table
from torch import nn

from itnet_explain import Explanation, explain
from itnet_explain.report import write_report
from itnet_kernels import convert_model

ROOT = Path(__file__).parent.parent
SENTENCES = 24


def explain_minilm(data: Path, sentences: int = SENTENCES) -> tuple[Explanation, dict[int, list[str]]]:
    """Return the explanation, and the tokens of its first sentences."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(data / "minilm", local_files_only=True)
    lines = (data / "reviews/movieReviewSnippets_GroundTruth.txt").read_text(errors="replace").splitlines()
    texts = [line.split("\t")[2] for line in lines[:sentences]]
    batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    model: nn.Module = AutoModel.from_pretrained(data / "minilm", local_files_only=True).eval()
    convert_model(model)
    explanation = explain(model, dict(batch))
    return explanation, {number: tokenizer.tokenize(texts[number], add_special_tokens=True) for number in range(2)}


def table(explanation: Explanation) -> Table:
    """Return the share of each head that places explain, for the terminal."""
    heads = max(len(layer.heads) for layer in explanation.layers)
    rows = Table("block", *map(str, range(heads)), title="explained by x − y alone, %")
    for number, layer in enumerate(explanation.layers):
        rows.add_row(str(number), *(f"{100 * max(head.equals['convolution'], 0):.0f}" for head in layer.heads))
    return rows


def main() -> None:
    """Explain, print the table, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=DATA, help="where fetch_data.py put the data (default: data)")
    parser.add_argument("--output", type=Path, default=ROOT / "runs/minilm-explained", help="the folder to write")
    arguments = parser.parse_args()
    with Console(stderr=True).status("explaining 72 heads"):
        explanation, labels = explain_minilm(arguments.data)
    Console().print(table(explanation))
    write_report(explanation, arguments.output, title="MiniLM-L6", labels=labels)
    print(f"report: {arguments.output / 'report.html'}")


if __name__ == "__main__":
    main()
