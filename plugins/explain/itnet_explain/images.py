"""Images of samples for a report."""

from __future__ import annotations

import base64
from io import BytesIO

from matplotlib.image import imsave
from torch import Tensor


def image_url(images: Tensor | None, sample: int) -> str | None:
    """Return an image of a batch, (B, 1 or 3, H, W), as a data URL; `None` without images."""
    if images is None:
        return None
    image = images[sample].detach().float().cpu()
    image = (image - image.min()) / (image.max() - image.min()).clamp(min=1e-12)
    pixels = image[0] if len(image) == 1 else image.permute(1, 2, 0)
    file = BytesIO()
    imsave(file, pixels.numpy(), cmap="gray", vmin=0, vmax=1, format="png")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
