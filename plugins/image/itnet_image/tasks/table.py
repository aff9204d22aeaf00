"""Classification of images in the tables of Hugging Face datasets."""

from __future__ import annotations

from typing import Self

from itnet_image.tasks.photographs import OwnPhotographs
from itnet_tasks.table_files import TableFiles


class ImageTable(TableFiles, OwnPhotographs):
    """Images in a column of tables: parquet files, Arrow files, or folders that `Dataset.save_to_disk` wrote.

    Tables are read by Hugging Face's `datasets`, as memory-mapped Arrow files with random access; from parquet, it
    writes those once to its own cache. No script and no decoder of a data set runs: the bytes of an image are decoded
    as those of a file.

    Example:
        >>> from io import BytesIO
        >>> from datasets import ClassLabel, Dataset
        >>> from PIL import Image
        >>> file = BytesIO()
        >>> Image.new("RGB", (40, 30)).save(file, "png")
        >>> images = Dataset.from_dict({"image": [{"bytes": file.getvalue()}] * 10, "label": [0, 1] * 5})
        >>> _ = images.cast_column("label", ClassLabel(names=["cat", "dog"])).to_parquet("pets.parquet")
        >>> task = ImageTable(train="pets.parquet", image_size=32)
        >>> task.classes, len(task.dataset("train")), task.dataset("test")[0].inputs.shape
        (('cat', 'dog'), 6, torch.Size([3, 32, 32]))
    """

    class Config(TableFiles.Config, OwnPhotographs.Config):
        image: str = "image"
        """Column of the images: their bytes, or mappings with a field `bytes`."""

        def completed(self) -> Self:
            """Fill in `classes` from the tables, if they exist already."""
            return self.complete(ImageTable)
