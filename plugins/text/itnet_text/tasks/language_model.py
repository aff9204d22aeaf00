"""Language models: predict the next token of natural text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any, Self

import torch
from pydantic import Field as ConfigField
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F

from itnet_core import ConfigError, DataError, Detection, Metric, ShapeError, Split
from itnet_tasks import HeldOut, Labelled, LabelledDataset, LabelledTask, hold_out, split
from itnet_text.data.reading import row_of
from itnet_text.data.rows import Row, check_row, read_columns, read_file, read_paragraphs, select_texts
from itnet_text.texts import TokenBatch
from itnet_text.tokenizer import (
    TokenizerOption,
    completed_tokenizer,
    load_tokenizer,
    tokenizer_content,
    vocabulary_size,
)

TABLES = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".parquet", ".arrow")

SMALLEST = 10_000
"""Bytes of text files that `detect` takes for a corpus."""

LEAK = 1e-5
"""Largest change of earlier predictions, relative to that of later ones, that counts as rounding."""


class LanguageModel(LabelledTask):
    """Prediction of the next token of natural text, at every token of a stretch.

    The texts are the paragraphs of text files, or the rows of tables. They are held out for validation and test whole,
    and equal texts together; the texts of a split are joined, in their order, and cut into stretches of `length`
    tokens. A remainder shorter than a stretch is left out. The target at each token is the token after it.

    The model must be causal: `check_model`, which `itnet validate`, `train` and `evaluate` call, changes the tokens in
    the second half of a stretch, and refuses a model whose predictions in the first half change.

    Example:
        >>> paragraphs = (f"Film number {number} is fine." for number in range(40))
        >>> _ = Path("films.txt").write_text("\\n\\n".join(paragraphs))
        >>> task = LanguageModel(train="films.txt", length=16)
        >>> inputs, label = task.dataset("train")[0]
        >>> bytes(inputs.tolist()), bytes(label.tolist())
        (b'Film number 0 is', b'ilm number 0 is ')
    """

    class Config(HeldOut, LabelledTask.Config):
        train: str
        """Text file, table, or folder of such files, with the training texts."""

        validation_file: str | None = None
        """File or folder of the validation texts; by default a part of `train`."""

        test: str | None = None
        """File or folder of the test texts; by default a fold of `train`."""

        text: str | int | None = None
        """Column of the texts in tables: its name, or its number from 0 in files without a header. By default, the
        files are plain text (in a folder: .txt), and the texts are their paragraphs, separated by empty lines."""

        header: bool = True
        """Whether the first line of a table names the columns."""

        encoding: str = "utf-8"
        """Encoding of the files."""

        tokenizer: TokenizerOption | None = None
        """Content of a Hugging Face tokenizer.json, or the path of one, which `completed` reads. By default, tokens are
        the bytes of UTF-8. The encoder `token` gets the same tokenizer."""

        length: Annotated[int, ConfigField(ge=2)] = 256
        """Number of tokens of a stretch."""

        def completed(self) -> Self:
            """Read the tokenizer if it is a path."""
            if not isinstance(self.tokenizer, str):
                return self
            return self.model_copy(update={"tokenizer": completed_tokenizer(self.tokenizer, "LanguageModel.tokenizer")})

    @classmethod
    def detect(cls, path: Path) -> Detection | None:
        """Detect text files without class folders."""
        files = [path] if path.is_file() else sorted(path.iterdir()) if path.is_dir() else []
        texts = [file for file in files if file.suffix.lower() == ".txt" and file.is_file()]
        size = sum(file.stat().st_size for file in texts)
        if size < SMALLEST or any(file.is_dir() and not file.name.startswith(".") for file in files):
            return None
        kernel = {"name": "itnet-core/mlp", "normalization": "softmax", "support": {"causal": "t"}}
        model = {"preset": "itnet-core/itnet-nano", "encoder": {"name": "itnet-text/token"}, "kernel": kernel}
        found = f"{len(texts):,} text files of {size:,} bytes together: a language model learns their next byte"
        return Detection(found, len(texts), [(model, {"train": str(path), "length": n}) for n in (256, 128, 64)])

    modality = "text"
    suffixes = (".txt",)
    reads_text = True
    monitor = "bits"
    monitor_mode = "min"

    @property
    def head(self) -> Mapping[str, Any]:
        """A head with a logit for each token of the vocabulary at every token."""
        return {"name": "itnet-core/per-point", "outputs": self._vocabulary}

    @property
    def encoder_options(self) -> Mapping[str, Any]:
        """The tokenizer, if there is one."""
        return {} if self._content is None else {"tokenizer": self._content}

    def training(self) -> Labelled:
        """Return the stretches for training."""
        return self._stretches["train"]

    def validation(self) -> Labelled:
        """Return the stretches for validation."""
        return self._stretches["validation"]

    def test(self) -> Labelled:
        """Return the stretches for test."""
        return self._stretches["test"]

    def loader(self, *, training: bool) -> Callable[[Tensor | Path | Row], Tensor]:
        """Return a function that returns a stretch, or the last tokens of a user's file."""
        return partial(_load, tokenizer=self._tokenizer, length=self.config.length, encoding=self.config.encoding)

    def source_of(self, value: Any) -> Row:
        """Return a user's text, or row of a table.

        Raises:
            DataError: it is another value.
        """
        return row_of(value, [str(self.config.text or "text")])

    def collate_inputs(self, inputs: Sequence[Tensor]) -> TokenBatch:
        """Stack token numbers; texts of different lengths lose their first tokens."""
        shortest = min(map(len, inputs))
        ids = torch.stack([stretch[-shortest:] for stretch in inputs]).long()
        return TokenBatch(ids, torch.zeros_like(ids), torch.ones_like(ids, dtype=torch.bool))

    def collate_targets(self, labels: Sequence[Tensor]) -> Tensor:
        """Stack the following tokens, (B, N)."""
        return torch.stack(list(labels)).long()

    def check_model(self, predict: Callable[[Any], Tensor]) -> None:
        """Check that the predictions at a token do not depend on later tokens.

        Raises:
            ConfigError: they do.
            ShapeError: the prediction has another shape than `loss` takes.
        """
        length = self.config.length
        earlier = min(length // 2 + 1, length - 1)
        stretch = torch.randint(self._vocabulary, (length,), generator=torch.Generator().manual_seed(0))
        changed = stretch.clone()
        changed[earlier:] = (changed[earlier:] + 1) % self._vocabulary
        predictions = []
        for tokens in (stretch, changed):
            with torch.random.fork_rng(devices=[]):  # a sampler draws the same points for both
                torch.manual_seed(0)
                predictions.append(predict(self.collate_inputs([tokens])))
            self._check_shape(predictions[-1], (1, length), "LanguageModel.check_model(predict)")
        change = (predictions[0].double() - predictions[1].double()).abs()
        leak, scale = change[:, :earlier].max().item(), change[:, earlier:].max().item()
        if leak > LEAK * scale:
            raise ConfigError(
                "model",
                found=f"predictions that depend on later tokens (by {leak:.1g}; later ones change by {scale:.1g})",
                expected="a causal model, since the target is the next token",
                hint="Give every kernel support: {causal: t}, or use a recurrence or a state space; and leave out "
                "window of the encoder 'token', and samplers that represent points by others.",
            )

    def loss(self, prediction: Tensor, targets: Tensor) -> Tensor:
        """Compute the mean cross entropy, in nats, of logits (B, N, vocabulary) and targets (B, N).

        Raises:
            ShapeError: the prediction is at other points than the tokens, or of another vocabulary.
        """
        self._check_shape(prediction, targets.shape, "LanguageModel.loss(prediction)")
        return F.cross_entropy(prediction.flatten(0, 1), targets.flatten())

    def metrics(self) -> Mapping[str, Metric]:
        """Return the bits per token."""
        from itnet_text.tasks.token_bits import TokenBits  # seconds of imports, for training alone

        return {"bits": TokenBits()}

    def describe(self, prediction: Tensor) -> list[dict[str, Any]]:
        """Describe each text by the token after its end: the likeliest, its probability, and the `top_k` likeliest."""
        top = prediction[:, -1].softmax(-1).topk(min(self.top_k, self._vocabulary))
        records = []
        for probabilities, tokens in zip(top.values.tolist(), top.indices.tolist(), strict=True):
            likeliest = dict(zip(map(self._name, tokens), probabilities, strict=True))
            records.append({"token": self._name(tokens[0]), "probability": probabilities[0], "likeliest": likeliest})
        return records

    @cached_property
    def _content(self) -> dict[str, Any] | None:
        option = self.config.tokenizer
        return None if option is None else tokenizer_content(option, "LanguageModel.tokenizer")

    @cached_property
    def _tokenizer(self) -> Tokenizer | None:
        return None if self._content is None else load_tokenizer(self._content)

    @cached_property
    def _vocabulary(self) -> int:
        return vocabulary_size(self._content)

    def _name(self, token: int) -> str:
        if self._tokenizer is None:
            return bytes([token]).decode("ascii", "backslashreplace")
        return str(self._tokenizer.id_to_token(token))

    def _check_shape(self, prediction: Tensor, tokens: Sequence[int], place: str) -> None:
        expected = (*tokens, self._vocabulary)
        if prediction.shape != expected:
            raise ShapeError(
                place,
                found=f"shape {tuple(prediction.shape)}",
                expected=f"logits of the tokenizer's {self._vocabulary} tokens at each token, {expected}",
                hint="Use the encoder 'token' and the task's own head. If the trunk changes its query points, end it "
                "with {query: {block: encoder}}.",
            )

    @cached_property
    def _stretches(self) -> dict[Split, Labelled]:
        config = self.config
        training = self._read(config.train)
        if config.test is None:
            training, test = hold_out(training, config)
        else:
            test = self._read(config.test)
        if config.validation_file is None:
            training, validation = split(training, config.validation, config.seed)
        else:
            validation = self._read(config.validation_file)
        return {
            "train": self._cut(training, "train"),
            "validation": self._cut(validation, "validation"),
            "test": self._cut(test, "test"),
        }

    def _read(self, path: str) -> Labelled:
        """Read the texts of a file or folder, each its own group, so that a split keeps equal texts together."""
        config, files, column = self.config, [Path(path).expanduser()], self.config.text
        if files[0].is_dir():
            suffixes = (".txt",) if column is None else TABLES
            files = sorted(file for file in files[0].iterdir() if file.suffix.lower() in suffixes)
        found: list[Row] = []
        for file in files:
            if column is None:
                found += read_paragraphs(file, config.encoding)
            else:
                rows = read_columns(str(file), [str(column)], header=config.header, encoding=config.encoding)
                found += [select_texts(cells, [str(column)], place) for place, cells in rows]
        if not found:
            raise DataError(path, found="no text", expected="a text file, a table, or a folder of such files")
        samples = LabelledDataset(Labelled(found, [None] * len(found)), check_row, config.on_bad_sample)
        read = (samples[number] for number in range(len(samples)))
        texts = [sample.inputs for sample in read if sample is not None]
        return Labelled(texts, [None] * len(texts), groups=texts)

    def _cut(self, texts: Labelled, name: Split) -> Labelled:
        length, separator = self.config.length, "\n\n" if self.config.text is None else "\n"
        tokens = _tokens(separator.join(texts.sources), self._tokenizer)
        if len(tokens) <= length:
            raise DataError(
                f"LanguageModel.dataset({name!r})",
                found=f"{len(tokens)} tokens in {len(texts.sources)} texts",
                expected=f"more than {length}, the length of a stretch",
                hint="Set a smaller length. Texts are held out whole; in plain files, empty lines separate them.",
            )
        stretches = tokens.unfold(0, length + 1, length)  # each begins with the last target of the one before
        return Labelled(list(stretches[:, :-1]), list(stretches[:, 1:]))


def _load(source: Tensor | Path | Row, *, tokenizer: Tokenizer | None, length: int, encoding: str) -> Tensor:
    if isinstance(source, Tensor):
        return source
    if isinstance(source, Path):
        source = Row((read_file(source, encoding).removesuffix("\n"),), str(source))
    text = check_row(source)
    tokens = _tokens(str(text), tokenizer)[-length:]
    if not len(tokens):
        raise DataError(source.place, found="a text without a token", expected="a text of the tokenizer's vocabulary")
    return tokens


def _tokens(text: str, tokenizer: Tokenizer | None) -> Tensor:
    """Return the token numbers of a text, (N,), without special tokens."""
    if tokenizer is None:
        content = bytearray(text.encode())  # torch.frombuffer takes no empty one, and torch.tensor is slow
        return torch.frombuffer(content, dtype=torch.uint8) if content else torch.empty(0, dtype=torch.uint8)
    try:
        return torch.tensor(tokenizer.encode(text, add_special_tokens=False).ids, dtype=torch.int32)
    except Exception as error:  # the library raises bare exceptions
        raise DataError("tokenizer", found=f"an error, {error}", expected="one that can tokenize the texts") from None
