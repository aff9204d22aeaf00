"""Train a small streaming model of characters, and generate text one character at a time.

Run `python examples/fetch_data.py reviews`, then `python examples/generate_text.py --kernel mamba` (minutes on one
thread). Any causal kernel of the registry is supported: retention, mamba, mamba2, s4d, gru, attention, mlp …
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from time import process_time
from timeit import repeat
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._pytree import tree_leaves

from itnet_core import Block, Field, IntegralOperator, Trunk
from itnet_registry import create

ROOT = Path(__file__).parent.parent
UNKNOWN = "\N{REPLACEMENT CHARACTER}"
OPTIONS: dict[str, dict[str, Any]] = {
    "attention": {"support": {"causal": "t"}, "alibi": True},  # unlike `rotary`, good beyond the length of training
    "linear-attention": {"support": {"causal": "t"}},
    "mlp": {"support": {"causal": "t"}, "normalization": "softmax"},
}
"""Options of kernels that differ from their defaults."""


class CharacterModel(nn.Module):
    """Embeddings, a streaming trunk, and logits of the next character.

    Args:
        characters: size of the alphabet.
        kernel: name of the kernel.
        dim: channels.
        depth: blocks.
        options: options of the kernel.
    """

    def __init__(self, characters: int, kernel: str, dim: int, depth: int, options: dict[str, Any]) -> None:
        super().__init__()
        self.embedding = nn.Embedding(characters, dim)
        nn.init.normal_(self.embedding.weight, std=0.5)
        kernels = [create("kernel", kernel, dim=dim, **options) for _ in range(depth)]
        self.trunk = Trunk(Block(IntegralOperator(dim, item)) for item in kernels)
        self.head = nn.Linear(dim, characters)

    def forward(self, text: Tensor) -> Tensor:
        """Compute logits of the next character, (B, N, characters), after each character of (B, N)."""
        return self.head(self.trunk(self._field(text, 0)).values)

    def step(self, states: Sequence[Any] | None, text: Tensor, place: int) -> tuple[Sequence[Any], Tensor]:
        """Advance the states by one character, (B, 1), at a place, and compute the logits, (B, characters)."""
        states, field = self.trunk.step(states, self._field(text, place))
        return states, self.head(field.values)[:, -1]

    def _field(self, text: Tensor, start: int) -> Field:
        """Return characters as a function of time t = start, start + 1, …, by the counting measure."""
        positions = torch.zeros(*text.shape, 4)
        positions[..., 0] = torch.arange(start, start + text.shape[1])
        return Field(self.embedding(text), positions, torch.ones(text.shape))


def read_texts(folder: Path) -> tuple[str, str]:
    """Return the reviews' lines for training and, a twentieth of them, for validation; the split is fixed."""
    files = sorted(folder.glob("*.txt"))
    if not files:
        raise SystemExit(f"{folder}: no *.txt. Run python examples/fetch_data.py reviews")
    lines = [line for file in files for line in file.read_text(encoding="utf-8", errors="replace").splitlines()]
    texts = sorted({line.split("\t")[-1].strip() for line in lines})
    random.Random(0).shuffle(texts)
    part = max(1, len(texts) // 20)
    return "\n".join(texts[part:]), "\n".join(texts[:part])


def ngram_bits(train: str, text: str, order: int) -> float:
    """Compute the bits per character of a text by an n-gram model with Witten-Bell smoothing (1991)."""
    probability = [1 / len(set(train))] * len(text)
    for n in range(order):  # characters of context
        contexts = {text[i - n : i] for i in range(n, len(text))}
        grams = Counter(train[i - n : i + 1] for i in range(n, len(train)) if train[i - n : i] in contexts)
        seen, different = Counter[str](), Counter[str]()
        for gram, count in grams.items():
            seen[gram[:-1]] += count
            different[gram[:-1]] += 1
        for i in range(n, len(text)):
            if total := seen[context := text[i - n : i]]:
                kinds = different[context]
                probability[i] = (grams[text[i - n : i + 1]] + kinds * probability[i]) / (total + kinds)
    return -sum(map(math.log2, probability)) / len(text)


@torch.no_grad()
def bits(model: CharacterModel, text: Tensor, window: int = 512) -> float:
    """Compute the bits per character of a text, (N,), with an empty context at the start of each window."""
    window = min(window, len(text) - 1)
    length = (len(text) - 1) // window * window
    given, following = text[:length].view(-1, window), text[1 : length + 1].view(-1, window)
    total = 0.0
    for at in range(0, len(given), 16):
        logits = model(given[at : at + 16]).flatten(0, 1)
        total += float(F.cross_entropy(logits, following[at : at + 16].flatten(), reduction="sum"))
    return total / given.numel() / math.log(2)


def train(model: CharacterModel, text: Tensor, steps: int, length: int, batch: int, *, show: bool) -> list[float]:
    """Train on random stretches of a text, (N,), and return the losses of all steps."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=max(steps, 2), pct_start=0.1)
    losses = []
    for _ in track(range(steps), "learning", console=Console(stderr=True), disable=not show):
        starts = torch.randint(len(text) - length, (batch, 1))
        stretch = text[starts + torch.arange(length + 1)]
        loss = F.cross_entropy(model(stretch[:, :-1]).flatten(0, 1), stretch[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
    return losses


@torch.no_grad()
def stream(model: CharacterModel, start: Tensor, count: int, temperature: float = 0.7) -> tuple[Tensor, Tensor, int]:
    """Continue a text, (N,), by `count` characters, one step each.

    Returns:
        The whole text, (N + count,), the logits after each of its characters, and the number of numbers in the states.
    """
    text, logits = start.tolist(), list[Tensor]()
    states: Sequence[Any] | None = None
    for place in range(len(start) + count):
        if place == len(text):
            text.append(int(torch.multinomial((logits[-1] / temperature).softmax(-1), 1)))
        states, following = model.step(states, torch.tensor([[text[place]]]), place)
        logits.append(following[0])
    return torch.tensor(text), torch.stack(logits), sum(leaf.numel() for leaf in tree_leaves(states))


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, validate, write, and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kernel", default="mamba", help="a causal kernel (default: %(default)s)")
    parser.add_argument("--options", type=json.loads, default={}, help="of the kernel, as JSON: '{\"heads\": 8}'")
    parser.add_argument("--data", type=Path, default=ROOT / "data", help="where fetch_data.py put the data")
    parser.add_argument("--steps", type=int, default=2000, help="of training (default: %(default)s)")
    parser.add_argument("--dim", type=int, default=96, help="channels (default: %(default)s)")
    parser.add_argument("--depth", type=int, default=2, help="blocks (default: %(default)s)")
    parser.add_argument("--length", type=int, default=128, help="characters of a stretch (default: %(default)s)")
    parser.add_argument("--start", default="The film ", help="what the text begins with")
    parser.add_argument("--count", type=int, default=400, help="characters to write (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    given = parser.parse_args(arguments)
    torch.manual_seed(given.seed)
    torch.set_num_threads(1)
    texts = read_texts(given.data / "reviews")
    alphabet = [UNKNOWN, *sorted(c for c, count in Counter(texts[0]).items() if count >= 20 and c != UNKNOWN)]
    index = {c: i for i, c in enumerate(alphabet)}
    known = ["".join(c if c in index else UNKNOWN for c in text) for text in texts]
    learned, validation = (torch.tensor([index[c] for c in text]) for text in known)
    model = CharacterModel(
        len(alphabet), given.kernel, given.dim, given.depth, OPTIONS.get(given.kernel, {}) | given.options
    )
    begin = process_time()
    train(model, learned, given.steps, given.length, 16, show=not given.json)
    minutes = (process_time() - begin) / 60
    model.eval()
    start = torch.tensor([index.get(c, 0) for c in given.start])
    text, stepped, state = stream(model, start, given.count)
    with torch.no_grad():
        whole = model(text.unsqueeze(0))[0]
        difference = float((stepped - whole).abs().max() / whole.abs().max())
        assert difference < 1e-4, f"stepping and the whole pass differ by {difference:.1e} of the largest logit"
        again = min(repeat(lambda: model(text.unsqueeze(0)), number=1, repeat=5))
    seconds = min(repeat(lambda: stream(model, text, 0), number=1, repeat=5)) / len(text)
    results = {
        "kernel": given.kernel,
        "parameters": sum(p.numel() for p in model.parameters()),
        "training_minutes_of_a_core": minutes,
        "bits": bits(model, validation),
        **{f"bits_of_{n}-grams": ngram_bits(known[0], known[1], n) for n in (1, 3, 5, 6)},
        "stepping_differs_by": difference,
        "numbers_of_state": state,
        "characters": len(text),
        "stepping_characters_a_second": 1 / seconds,
        "whole_characters_a_second": 1 / again,
        "text": "".join(alphabet[i] for i in text.tolist()),
    }
    if given.json:
        print(json.dumps(results, indent=2))
        return
    print(f"\n{results['text']}\n")
    for name, value in results.items():
        if name != "text":
            print(f"{name.replace('_', ' '):30}{f'{value:.3g}' if isinstance(value, float) else value}")


if __name__ == "__main__":
    main()
