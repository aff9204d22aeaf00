"""Image-text retrieval."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor
from torch.nn import functional as F

from itnet_core import DataError, Metric, ShapeError
from itnet_tasks import HeldOut, Labelled, hold_out
from itnet_vision_language.data.captions import Caption, read_captions
from itnet_vision_language.tasks.image_text_task import ImageTextFiles, ImageTextTask


class ImageTextRetrieval(ImageTextTask):
    """Retrieval of captions by images and of images by captions, by embeddings of each.

    Reads `captions` in `root`: a JSON file of Karpathy's splits (`dataset_flickr30k.json`, `dataset_coco.json`), or a
    CSV, TSV or JSONL file of filenames and captions, with or without splits. An image may have several captions; each
    is a sample. A file without splits is divided by image into `test_folds` folds, of which `test_fold` is the test
    split.

    Example:
        >>> task = ImageTextRetrieval(root="flickr30k", outputs=2)
        >>> images, captions = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
        >>> task.describe(torch.cat([images, captions]))
        [{'similarity': 1.0}, {'similarity': 0.0}]
    """

    class Config(ImageTextTask.Config, HeldOut):
        captions: str = "dataset_flickr30k.json"
        """File of captions, in `root`."""

        images: str | None = None
        """Folder of the images; by default `root`."""

        outputs: PositiveInt = 256
        """Channels of an embedding."""

    monitor = "mean_recall"
    compares_samples = True

    @property
    def head(self) -> Mapping[str, Any]:
        """A contrastive head."""
        return {"name": "itnet-vision-language/contrastive", "outputs": self.config.outputs}

    @property
    def encoder_options(self) -> Mapping[str, Any]:
        """As for every `ImageTextTask`; images and texts are encoded separately."""
        return {**super().encoder_options, "union": False}

    def training(self) -> Labelled:
        """Return the training captions; if the file has no splits, a fold is held out for the test split."""
        return self._train_and_test[0]

    def validation(self) -> Labelled | None:
        """Return the captions of the file's validation split, if it has one."""
        chosen = [caption for caption in self._captions if caption.split == "validation"]
        return self._labelled(chosen) if chosen else None

    def test(self) -> Labelled:
        """Return the captions of the file's test split, or those held out."""
        return self._train_and_test[1]

    def loss(self, prediction: Tensor, targets: Tensor) -> Tensor:
        """Compute the mean cross entropy of finding captions by images and images by captions within the batch.

        In training on several processes, the batch is that of all.

        All captions of the same image in the batch count as right, with equal probabilities.

        Args:
            prediction: embeddings (2B, outputs) of B images and then of their captions; see `ContrastiveHead`.
            targets: the images' numbers, shape (B,).

        Raises:
            ShapeError: the number of embeddings is not twice that of targets.
        """
        if len(prediction) != 2 * len(targets):
            raise ShapeError(
                "ImageTextRetrieval.loss(prediction)",
                found=f"{len(prediction)} embeddings for {len(targets)} images with captions",
                expected="one of each image, and one of each caption",
                hint="Configure the encoder with union: false.",
            )
        images, texts = prediction.chunk(2)
        logits = images @ texts.T
        same = (targets.unsqueeze(1) == targets).to(logits.dtype)
        right = same / same.sum(1, keepdim=True)
        return (F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)) / 2

    def metrics(self) -> Mapping[str, Metric]:
        """Return recall at 1, 5 and 10 in both directions, and their mean."""
        from itnet_vision_language.metrics.recall import MeanRecall  # seconds of imports

        return MeanRecall().with_parts()

    def describe(self, prediction: Tensor) -> list[dict[str, Any]]:
        """Describe each image with its text by the cosine of their embeddings."""
        images, texts = F.normalize(prediction, dim=-1).chunk(2)
        return [{"similarity": similarity} for similarity in (images * texts).sum(-1).tolist()]

    @cached_property
    def _captions(self) -> list[Caption]:
        path = self.root / self.config.captions
        captions = self.drop_errors(read_captions(path), path)
        divided = [caption.split is not None for caption in captions]
        if any(divided) and not all(divided):
            raise DataError(
                str(path),
                found=f"no split for {captions[divided.index(False)].image}, and one for others",
                expected="a split for every caption, or for none",
            )
        return captions

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(dict.fromkeys(caption.image for caption in self._captions))}

    @cached_property
    def _train_and_test(self) -> tuple[Labelled, Labelled]:
        if self._captions[0].split is None:
            return hold_out(self._labelled(self._captions), self.config)
        return self._of("train"), self._of("test")

    def _of(self, split: str) -> Labelled:
        chosen = [caption for caption in self._captions if caption.split == split]
        if not chosen:
            path = self.root / self.config.captions
            raise DataError(str(path), found=f"no caption of split {split}", expected="at least one")
        return self._labelled(chosen)

    def _labelled(self, captions: list[Caption]) -> Labelled:
        folder = Path(self.config.images).expanduser() if self.config.images else self.root
        sources = [ImageTextFiles((folder / caption.image,), caption.text) for caption in captions]
        numbers = torch.tensor([self._numbers[caption.image] for caption in captions])
        return Labelled(sources, numbers, [caption.image for caption in captions])
