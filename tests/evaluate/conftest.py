"""A corpus and models of plain arrays, for evaluation without towers or files."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

FINDINGS = ("alpha", "beta", "gamma")
DIRECTIONS = np.random.default_rng(0).standard_normal((len(FINDINGS), 16))


@dataclass
class FakeRows:
    """The attributes of `data.corpus.Rows`; an image holds its row's labels in its first pixels."""

    study_ids: list[str]
    patient_ids: list[str]
    views: list[str | None]
    texts: list[str]
    labels: np.ndarray
    pixels: np.ndarray

    def __len__(self) -> int:
        return len(self.study_ids)

    def image(self, i: int) -> np.ndarray:
        return self.pixels[i]

    def column(self, name: str) -> list[Any]:
        return self.views if name == "view" else [None] * len(self)

    def regions(self, i: int) -> dict[str, np.ndarray]:
        return {}

    def shuffled(self, seed: int) -> "FakeRows":
        order = np.random.default_rng(seed).permutation(len(self))
        return FakeRows(
            *(
                [column[i] for i in order]
                for column in (self.study_ids, self.patient_ids, self.views, self.texts)
            ),
            self.labels[order],
            self.pixels[order],
        )


def fake_rows(count: int, name: str, seed: int = 0) -> FakeRows:
    rng = np.random.default_rng([seed, *name.encode()])
    labels = (rng.random((count, len(FINDINGS))) < 0.3).astype(np.float32)
    pixels = np.zeros((count, 4, 4), np.uint8)
    pixels.reshape(count, 16)[:, : len(FINDINGS)] = labels * 200
    pixels.reshape(count, 16)[:, len(FINDINGS) :] = rng.integers(0, 40, (count, 13))
    texts = []
    for row, present in enumerate(labels == 1):
        named = " and ".join(f for f, p in zip(FINDINGS, present, strict=True) if p)
        texts.append(f"Secret report {row}: {named}." if named else "Normal chest.")
    return FakeRows(
        [f"{name}-study-{i:04d}" for i in range(count)],
        [f"{name}-patient-{i // 2:04d}" for i in range(count)],
        ["PA"] * count,
        texts,
        labels,
        pixels,
    )


@dataclass
class FakeCorpus:
    rows: dict[str, FakeRows]
    card: dict[str, Any] = field(default_factory=lambda: {"source": "folder"})
    findings: tuple[str, ...] = FINDINGS

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(self.rows)

    def split(self, name: str) -> FakeRows:
        return self.rows[name]


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


class KnowingModel:
    """Reads the labels off the pixels, and the findings off the text."""

    scale = 20.0

    def encode_images(self, images: list[np.ndarray]) -> np.ndarray:
        present = np.stack([image.reshape(-1)[: len(FINDINGS)] for image in images]) / 200
        return unit((2 * present - 1) @ DIRECTIONS)

    def encode_texts(self, texts: list[str]) -> np.ndarray:
        return unit(np.stack([self._signs(text.lower()) for text in texts]) @ DIRECTIONS)

    def _signs(self, text: str) -> np.ndarray:
        if text.startswith(("no ", "there is no ")):
            return np.array([-1.0 if finding in text else 0.0 for finding in FINDINGS])
        asked = not text.startswith(("secret", "normal"))
        return np.array([1.0 if finding in text else (0.0 if asked else -1.0) for finding in FINDINGS])


class BlindModel(KnowingModel):
    """Every image lands somewhere at random, whatever it shows."""

    def encode_images(self, images: list[np.ndarray]) -> np.ndarray:
        seeds = [image.astype(np.int64).sum() * 7919 + int(image.reshape(-1)[-1]) for image in images]
        return unit(np.stack([np.random.default_rng(int(seed)).standard_normal(16) for seed in seeds]))


def fake_corpus() -> FakeCorpus:
    return FakeCorpus({name: fake_rows(n, name) for name, n in (("train", 160), ("val", 60), ("test", 120))})


@pytest.fixture
def corpus() -> FakeCorpus:
    """For one test, which may change it."""
    return fake_corpus()


@pytest.fixture(scope="session")
def unchanged() -> FakeCorpus:
    """The same for all tests: none may change it."""
    return fake_corpus()


@pytest.fixture(scope="session")
def knowing() -> KnowingModel:
    return KnowingModel()


@pytest.fixture
def blind() -> BlindModel:
    return BlindModel()
