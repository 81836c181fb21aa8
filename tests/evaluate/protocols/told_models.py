"""Models that know a corpus by heart, or know nothing: what any protocol must make 1 or chance of."""

from hashlib import sha256
from typing import Any

import numpy as np

from medistill.evaluate.protocols.prompts import wording_of
from medistill.evaluate.protocols.protocol import Protocol

_WIDTH = 64


def key_of(image: np.ndarray) -> bytes:
    return sha256(np.ascontiguousarray(image).tobytes()).digest()


def drawn(key: bytes, seed: int = 0) -> np.ndarray:
    """A direction at random, the same for the same key."""
    digest = np.frombuffer(sha256(key).digest(), np.uint32)
    return np.random.default_rng([seed, *digest.tolist()]).standard_normal(_WIDTH)


class Blind:
    """Every image and every text lands somewhere at random."""

    scale = 10.0

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def encode_images(self, images: Any) -> np.ndarray:
        return np.stack([drawn(b"image" + key_of(image), self.seed) for image in images])

    def encode_texts(self, texts: Any) -> np.ndarray:
        return np.stack([drawn(text.encode(), self.seed) for text in texts])


class Perfect(Blind):
    """An axis a finding: images lie on its side where it is present, prompts on the side they ask for.

    A text that several findings ask about, such as that all is well, lies where all images are alike.
    """

    def __init__(self, protocol: Protocol, corpus: Any) -> None:
        super().__init__()
        rows = corpus.split(next(name for name in corpus.splits if name.startswith(protocol.split)))
        every = [(part, i) for part in map(corpus.split, corpus.splits) for i in range(len(part))]
        if protocol.task == "retrieval":
            self.images = {key_of(rows.image(i)): drawn(text.encode()) for i, text in enumerate(rows.texts)}
            self.texts: dict[str, np.ndarray] = {}
            return
        findings = tuple(protocol.findings or protocol.prompts) or corpus.findings
        columns = [corpus.findings.index(finding) for finding in findings]
        axes = np.eye(1 + len(findings))
        self.images = {
            key_of(part.image(i)): axes[0] + np.where(part.labels[i, columns] == 1, 1, -1) @ axes[1:]
            for part, i in every
        }
        self.texts = {}
        for axis, sides in zip(axes[1:], wording_of(protocol, findings, None).prompts.values(), strict=True):
            for side, sign in (("positive", 1), ("negative", -1)):
                for text in sides[side]:
                    self.texts[text] = axes[0] if text in self.texts else sign * axis

    def encode_images(self, images: Any) -> np.ndarray:
        return np.stack([self.images[key_of(image)] for image in images])

    def encode_texts(self, texts: Any) -> np.ndarray:
        return np.stack([self.texts[text] if self.texts else drawn(text.encode()) for text in texts])


class Noisy(Perfect):
    """A perfect model whose rows are mixed with noise of the same length; some classes stand out more."""

    def encode_images(self, images: Any) -> np.ndarray:
        rows = super().encode_images(images)
        noise = super(Perfect, self).encode_images(images)[:, : rows.shape[1]]
        return rows + 1.5 * noise + np.linspace(0, 0.6, rows.shape[1])

    def encode_texts(self, texts: Any) -> np.ndarray:
        rows = super().encode_texts(texts)
        return rows + 0.4 * super(Perfect, self).encode_texts(texts)[:, : rows.shape[1]]
