"""Classification of images in WebDataset shards."""

from __future__ import annotations

from typing import Self

from itnet_image.tasks.photographs import OwnPhotographs
from itnet_tasks.shard_files import ShardFiles


class ImageShards(ShardFiles, OwnPhotographs):
    """Images in WebDataset shards: tar files with an image and a label of each sample, `000123.jpg` and `000123.cls`.

    The shards are indexed at the start, and samples read by their offset. So they need not be unpacked, and shuffling,
    resume and the number of processes are those of any data. `train.shuffle_buffer` reads shard by shard.

    Example:
        >>> import tarfile
        >>> from io import BytesIO
        >>> from PIL import Image
        >>> def add(tar, name, content):
        ...     member = tarfile.TarInfo(name)
        ...     member.size = len(content)
        ...     tar.addfile(member, BytesIO(content))
        >>> with tarfile.open("pets-0.tar", "w") as tar:
        ...     for number in range(10):
        ...         file = BytesIO()
        ...         Image.new("RGB", (40, 30)).save(file, "png")
        ...         add(tar, f"{number}.png", file.getvalue())
        ...         add(tar, f"{number}.cls", b"cat" if number % 2 else b"dog")
        >>> task = ImageShards(train="pets-*.tar", image_size=32)
        >>> task.classes, len(task.dataset("train")), task.dataset("test")[0].inputs.shape
        (('cat', 'dog'), 6, torch.Size([3, 32, 32]))
    """

    class Config(ShardFiles.Config, OwnPhotographs.Config):
        image: str | None = None
        """Ending of the images' members, such as `jpg` or `left.png`; by default every ending of an image."""

        def completed(self) -> Self:
            """Fill in `classes` from the shards, if they exist already."""
            return self.complete(ImageShards)
