import torch
from pydantic import PositiveInt
from torch import nn

from itnet_core import Batch, ComponentConfig, DataError, Encoder, Field, Kernel, Task


class Pixels(Encoder):
    """Images (B, H, W, channels)."""

    modality = "image"

    class Config(ComponentConfig):
        """Attributes:
        channels: of an image.
        bias: whether there is one.
        """

        channels: PositiveInt = 3
        bias: bool = True

    def __init__(self, dim, config=None, **options):
        super().__init__(dim, config, **options)
        self.linear = nn.Linear(self.config.channels, dim, bias=self.config.bias)

    def forward(self, inputs):
        return Field.on_grid(self.linear(inputs), axes="yx")


class Letters(Encoder):
    """Texts (B, N) of numbers."""

    modality = "text"

    class Config(ComponentConfig):
        """Attributes: vocabulary: how many letters."""

        vocabulary: PositiveInt = 26

    def __init__(self, dim, config=None, **options):
        super().__init__(dim, config, **options)
        self.embedding = nn.Embedding(self.config.vocabulary, dim)

    def forward(self, inputs):
        return Field.on_grid(self.embedding(inputs), axes="t")


class Stripes(Task):
    """Images of stripes that run one way or the other."""

    modality = "image"
    monitor = "accuracy"

    class Config(ComponentConfig):
        """Attributes: size: of an image's side. colours: its channels."""

        size: PositiveInt = 4
        colours: PositiveInt = 1

    @property
    def head(self):
        return {"name": "itnet-core/classify", "classes": 2}

    @property
    def encoder_options(self):
        return {"channels": self.config.colours, "unheard_of": 1}

    def dataset(self, split):
        count = 4
        across = torch.arange(self.config.size).remainder(2).float().expand(self.config.size, -1)
        images = [across if i % 2 else across.T for i in range(count)]
        return [(image.unsqueeze(-1).repeat(1, 1, self.config.colours), i % 2) for i, image in enumerate(images)]

    def collate(self, samples):
        return Batch(torch.stack([s[0] for s in samples]), torch.tensor([s[1] for s in samples]))

    def loss(self, prediction, targets):
        return nn.functional.cross_entropy(prediction, targets)

    def metrics(self):
        return {}

    def read(self, path):
        raise DataError(str(path), found="a file", expected="none: stripes are drawn")

    def describe(self, prediction):
        return [{"label": int(each)} for each in prediction.argmax(-1)]


class Vowels(Stripes):
    """A task of another modality."""

    modality = "text"

    class Config(ComponentConfig):
        """No options."""

    @property
    def encoder_options(self):
        return {}


class Constant(Kernel):
    """k = 1."""

    class Config(ComponentConfig):
        """Attributes: heads: scalar kernels."""

        heads: PositiveInt = 1

    def __init__(self, dim, config=None, **options):
        super().__init__()
        self.config = self.configure(config, options)
        self.heads = self.config.heads

    def project(self, query, key):
        return query.positions, key.positions

    def tile(self, query_terms, key_terms):
        return query_terms.new_ones(len(query_terms), self.heads, query_terms.shape[1], key_terms.shape[1])
