"""The vector to search by."""

import numpy as np


def query_vector(image, text, *, weight: float = 0.5):
    if image is None or text is None:
        return image if text is None else text
    both = weight * image + (1 - weight) * text
    return (both / max(float(np.linalg.norm(both)), 1e-12)).astype(np.float32)
