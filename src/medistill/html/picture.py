"""An image as part of a page."""

import base64
import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image

_LARGEST = 256
"""Pixels along an image's longer side."""


def data_url(image: UInt8[np.ndarray, "h w"]) -> str:
    """A small PNG of the image, to be written into a page."""
    picture = Image.fromarray(image)
    picture.thumbnail((_LARGEST, _LARGEST), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
