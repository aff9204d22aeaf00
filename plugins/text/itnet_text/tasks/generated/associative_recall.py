"""Multi-query associative recall: the value of a key, at each place where the key is queried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log
from random import Random
from typing import Annotated, Any, Self

from pydantic import Field as ConfigField
from pydantic import PositiveFloat, PositiveInt, model_validator
from torch import Tensor
from torch.nn import functional as F

from itnet_core import Metric, ShapeError
from itnet_tasks import Sample
from itnet_text.tasks.generated.generated_task import GeneratedTask

UNASKED = -100
"""Target at tokens that are not queries."""

BLANK = "-"


class AssociativeRecall(GeneratedTask):
    """Multi-query associative recall, MQAR (Arora et al. 2023, "Zoology", arXiv 2312.04927).

    A sequence begins with pairs of a key and its value, `k3 v1 k7 v4`. Some keys follow as queries, among blanks; the
    head predicts the value at each token, and loss and accuracy count queries alone. All keys and values of a sequence
    differ. The places of the queries are a gap from the pairs of 2g tokens, with P(g) ∝ (g + 1)^(power − 1), as in
    the paper. Blanks are one token, as in the paper's experiments (`random_non_queries=False` in its code).

    Example:
        >>> task = AssociativeRecall(pairs=2, vocabulary=12, length=8)
        >>> inputs, label = task.dataset("train")[0]
        >>> inputs, label
        ('k0 v2 k4 v5 k0 - k4 -', [-100, -100, -100, -100, 2, -100, 5, -100])
    """

    class Config(GeneratedTask.Config):
        pairs: PositiveInt = 8
        """Number of pairs of a key and a value."""

        queries: PositiveInt | None = None
        """Number of keys that are queried, once each; all of them by default."""

        vocabulary: Annotated[int, ConfigField(ge=4)] = 64
        """Number of different tokens: a blank, then keys up to half of it, and values."""

        length: Annotated[int, ConfigField(ge=4)] = 64
        """Number of tokens of a sequence."""

        power: PositiveFloat = 0.01
        """Exponent of the power law of the gaps; 1 for uniform gaps, less for short gaps."""

        @model_validator(mode="after")
        def _check_sizes(self) -> Self:
            queries = self.queries or self.pairs
            if queries > self.pairs:
                raise ValueError("queries up to pairs")
            if self.vocabulary // 2 - 1 < self.pairs:
                raise ValueError(f"a vocabulary of at least {2 * self.pairs + 2}, so that all keys differ")
            if self.length < 2 * (self.pairs + queries):
                raise ValueError(f"a length of at least {2 * (self.pairs + queries)}, for pairs and queries")
            return self

    monitor = "accuracy"

    @property
    def vocabulary(self) -> Sequence[str]:
        """The blank, keys and values."""
        return [BLANK, *(f"k{number}" for number in range(self._keys)), *self.values]

    @property
    def values(self) -> Sequence[str]:
        """The values, in the order of their class numbers."""
        return [f"v{number}" for number in range(self.config.vocabulary - 1 - self._keys)]

    @property
    def longest(self) -> int:
        """Number of tokens of a sequence."""
        return int(self.config.length)

    @property
    def head(self) -> Mapping[str, Any]:
        """A head with a logit for each value at every token."""
        return {"name": "itnet-core/per-point", "outputs": len(self.values)}

    @property
    def _keys(self) -> int:
        return int(self.config.vocabulary) // 2 - 1

    def draw(self, random: Random) -> Sequence[Sample]:
        """Draw pairs and queries."""
        config = self.config
        keys = random.sample(range(self._keys), config.pairs)
        values = random.sample(range(len(self.values)), config.pairs)
        words, targets = [BLANK] * config.length, [UNASKED] * config.length
        words[: 2 * config.pairs : 2] = [f"k{key}" for key in keys]
        words[1 : 2 * config.pairs : 2] = [f"v{value}" for value in values]
        asked = sorted(random.sample(range(config.pairs), config.queries or config.pairs))
        gaps = _gaps(random, (config.length - 2 * config.pairs) // 2, config.power)
        for pair, gap in zip(asked, gaps, strict=False):
            place = 2 * (config.pairs + gap)
            words[place], targets[place] = f"k{keys[pair]}", values[pair]
        return [Sample(" ".join(words), targets)]

    def loss(self, prediction: Tensor, targets: Tensor) -> Tensor:
        """Compute the mean cross entropy of logits (B, N, values) and targets (B, N) over the queries.

        Raises:
            ShapeError: the prediction is at other points than the tokens.
        """
        if prediction.shape[:2] != targets.shape:
            raise ShapeError(
                "AssociativeRecall.loss(prediction)",
                found=f"shape {tuple(prediction.shape)}",
                expected=f"a prediction for each token, {tuple(targets.shape)}",
                hint="Use the encoder 'token' with the task's tokenizer and max_length. If the trunk changes its query "
                "points, end it with {query: {block: encoder}}.",
            )
        return F.cross_entropy(prediction.flatten(0, 1), targets.flatten(), ignore_index=UNASKED)

    def metrics(self) -> Mapping[str, Metric]:
        """Return the share of the queries whose value is predicted correctly."""
        from itnet_tasks.point_accuracy import AccuracyOverPoints  # seconds of imports, for training alone

        return {"accuracy": AccuracyOverPoints(len(self.values), ignore_index=UNASKED)}

    def describe(self, prediction: Tensor) -> list[dict[str, Any]]:
        """Describe each sequence by the value predicted at each of its tokens; only those at queries mean something."""
        return [{"values": [self.values[number] for number in row]} for row in prediction.argmax(-1).tolist()]


def _gaps(random: Random, count: int, power: float) -> list[int]:
    """Order the gaps 0 to count − 1 as draws without replacement with P(g) ∝ (g + 1)^(power − 1).

    The order is that of exponential variables whose rates are the weights (Efraimidis & Spirakis 2006).
    """
    return sorted(range(count), key=lambda gap: -log(1 - random.random()) * (gap + 1) ** (1 - power))
