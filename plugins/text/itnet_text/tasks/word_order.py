"""Word order: whether two neighbouring words of a sentence were swapped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

from pydantic import PositiveInt

from itnet_tasks import Classification, HeldOut, Labelled, hold_out
from itnet_text.data.reading import row_of, text_loader
from itnet_text.data.rows import Row, label_rows, read_columns, select_texts
from itnet_text.texts import Text


class WordOrder(Classification):
    """Natural sentences, and the same ones with neighbouring words swapped: classify which one a text is.

    Each sentence is once in its original order and once changed, both in the same split as all other orders of its
    words, so a bag of words is right in exactly half of the cases. Only words of letters alone are swapped, and not
    the first: its capital would tell. Sentences with too few such words are left out.

    Example:
        >>> from pathlib import Path
        >>> rows = ["text", *(f"the film number {number} has a fine plot ." for number in range(20))]
        >>> _ = Path("sentences.tsv").write_text("\\n".join(rows))
        >>> task = WordOrder(table="sentences.tsv")
        >>> for sample in map(task.dataset("test").__getitem__, range(2)):
        ...     print(sample.inputs, task.classes[sample.label])
        the film number 2 has a fine plot . original
        the film number 2 has fine a plot . changed
    """

    class Config(HeldOut, Classification.Config):
        table: str
        """File of the sentences: .csv, .tsv, .txt (tabs) or .jsonl, one sentence in a row."""

        text: str | int = "text"
        """Column of the sentence: its name, or its number from 0 in a file without a header."""

        header: bool = True
        """Whether the first line names the columns."""

        encoding: str = "utf-8"
        """Encoding of the file."""

        swaps: PositiveInt = 1
        """Number of pairs of neighbouring words that are swapped."""

    modality = "text"
    suffixes = (".txt",)
    reads_text = True
    classes = ("original", "changed")

    def training(self) -> Labelled:
        """Return the sentences for training and validation, original and changed."""
        return self._parts[0]

    def test(self) -> Labelled:
        """Return the sentences held out."""
        return self._parts[1]

    def loader(self, *, training: bool) -> Callable[[Row | Path], Text]:
        """Return a function that reads a row, or a user's file."""
        return text_loader(pair=False, encoding=self.config.encoding)

    def source_of(self, value: Any) -> Row:
        """Return a user's text, or row of a table.

        Raises:
            DataError: it is another value.
        """
        return row_of(value, [str(self.config.text)])

    def collate_inputs(self, inputs: Sequence[Text]) -> list[Text]:
        """Return the texts as a list."""
        return list(inputs)

    @cached_property
    def _parts(self) -> tuple[Labelled, Labelled]:
        config, rows, bags = self.config, [], []
        labels: list[int] = []
        columns = read_columns(config.table, [str(config.text)], header=config.header, encoding=config.encoding)
        for place, row in ((place, select_texts(cells, [str(config.text)], place)) for place, cells in columns):
            words = row.texts[0].split()
            changed = swap_neighbours(words, config.swaps, Random(f"{config.seed} {' '.join(words)}"))
            if changed is None and words and not row.problem:
                continue
            orders = [words] if changed is None else [words, changed]  # one alone is a bad row, refused when loaded
            rows += [Row((" ".join(order),), place, row.problem) for order in orders]
            labels += range(len(orders))
            bags += [" ".join(sorted(words))] * len(orders)
        return hold_out(label_rows(rows, labels, config.table)._replace(groups=bags), config)


def swap_neighbours(words: Sequence[str], swaps: int, random: Random) -> list[str] | None:
    """Swap `swaps` random pairs of neighbouring words that have no word in common; `None` if there are too few.

    Example:
        >>> swap_neighbours("It has a fine plot .".split(), 1, Random(0))
        ['It', 'a', 'has', 'fine', 'plot', '.']
    """
    movable = [place > 0 and word.isalpha() for place, word in enumerate(words)]
    places = [
        place
        for place in range(len(words) - 1)
        if movable[place] and movable[place + 1] and words[place].lower() != words[place + 1].lower()
    ]
    random.shuffle(places)
    chosen: list[int] = []
    for place in places:
        if len(chosen) < swaps and all(abs(place - other) > 1 for other in chosen):
            chosen.append(place)
    if len(chosen) < swaps:
        return None
    changed = list(words)
    for place in chosen:
        changed[place : place + 2] = words[place + 1], words[place]
    return changed
