"""Embeddings are computed once for a model and an image, survive kills, and are never another's."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from medistill.model.embedder import UnitEmbedder
from medistill.model.embedding import embed_images, embed_texts
from medistill.model.remembering import Remembering


class Counting(torch.nn.Module):
    """Embeds by the pixels' values and the letters, and counts what it was asked for."""

    def __init__(self, width=5, seed=0):
        super().__init__()
        self.weight = torch.nn.Parameter(
            torch.from_numpy(np.random.default_rng(seed).random((16, width))).float()
        )
        self.asked = 0

    def encode_images(self, images):
        self.asked += len(images)
        return (
            torch.stack([torch.from_numpy(image.reshape(-1)[:16]).float() for image in images]) @ self.weight
        )

    def encode_texts(self, texts):
        self.asked += len(texts)
        return (
            torch.stack([torch.tensor([ord(c) for c in f"{t:<16}"[:16]]).float() for t in texts])
            @ self.weight
        )


@pytest.fixture
def rows():
    pixels = np.random.default_rng(1).integers(1, 255, (150, 4, 4)).astype(np.uint8)
    pixels[149] = pixels[0]
    return SimpleNamespace(image=lambda i: pixels[i], stored=lambda i: pixels[i].tobytes())


TEXTS = [f"report {number}" for number in range(70)]


def test_remembered_embeddings_are_those_of_the_model(tmp_path, rows):
    model = Counting()
    for _ in range(2):
        remembering = Remembering(model, tmp_path)
        for embed, items in ((embed_images, (rows, range(150))), (embed_texts, (TEXTS,))):
            np.testing.assert_array_equal(embed(remembering, *items), embed(UnitEmbedder(model), *items))


def test_nothing_is_embedded_twice(tmp_path, rows):
    model = Counting()
    embed_images(Remembering(model, tmp_path), rows, range(100))
    embed_texts(Remembering(model, tmp_path), TEXTS)
    assert model.asked == 170
    embed_images(Remembering(model, tmp_path), rows, range(50, 150))
    embed_texts(Remembering(model, tmp_path), TEXTS[::-1])
    assert model.asked == 170 + 49  # the last image is the first again


def test_progress_counts_what_is_remembered_too(tmp_path, rows):
    counted: list[int] = []
    embed_images(Remembering(Counting(), tmp_path), rows, range(100))
    embed_images(Remembering(Counting(), tmp_path), rows, range(150), counted.append)
    assert sum(counted) == 150


@pytest.mark.parametrize("other", [Counting(seed=1), Counting(width=6)])
def test_a_model_never_gets_the_embeddings_of_another(tmp_path, rows, other):
    embed_images(Remembering(Counting(), tmp_path), rows, range(20))
    expected = embed_images(UnitEmbedder(other), rows, range(20))
    np.testing.assert_array_equal(embed_images(Remembering(other, tmp_path), rows, range(20)), expected)


def test_other_preprocessing_is_another_model(tmp_path, rows):
    model = Counting()
    embed_images(Remembering(model, tmp_path), rows, range(20))
    model.preprocessing = {"size": 99}
    embed_images(Remembering(model, tmp_path), rows, range(20))
    assert model.asked == 40


@pytest.mark.parametrize("cut", [1, 20, 33, 59, 61])
def test_a_record_cut_short_by_a_kill_is_embedded_again(tmp_path, rows, cut):
    expected = embed_images(Remembering(Counting(), tmp_path), rows, range(100))
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-cut])
    again = Remembering(Counting(), tmp_path)
    np.testing.assert_array_equal(embed_images(again, rows, range(120))[:100], expected)
    assert again.model.asked == 20 + -(-cut // 60)
    np.testing.assert_array_equal(embed_images(Remembering(Counting(), tmp_path), rows, range(100)), expected)


@pytest.mark.parametrize("seed", range(10))
def test_a_record_with_a_flipped_bit_is_embedded_again(tmp_path, rows, seed):
    expected = embed_images(Remembering(Counting(), tmp_path), rows, range(100))
    (path,) = tmp_path.iterdir()
    content, places = bytearray(path.read_bytes()), np.random.default_rng(seed).integers(0, 99 * 60 * 8, 5)
    for place in places:
        content[place // 8] ^= 1 << place % 8
    path.write_bytes(content)
    again = Remembering(Counting(), tmp_path)
    np.testing.assert_allclose(embed_images(again, rows, range(100)), expected, rtol=1e-6)
    assert again.model.asked == len({place // 480 for place in places})
    third = Remembering(Counting(), tmp_path)
    np.testing.assert_allclose(embed_images(third, rows, range(100)), expected, rtol=1e-6)
    assert third.model.asked == 0


def test_two_runs_at_once_both_write(tmp_path, rows):
    one, two = Remembering(Counting(), tmp_path), Remembering(Counting(), tmp_path)
    embed_images(one, rows, range(60))
    embed_images(two, rows, range(30, 90))
    embed_images(one, rows, range(90, 100))
    third = Remembering(Counting(), tmp_path)
    embed_images(third, rows, range(100))
    assert third.model.asked == 0


def test_nothing_asked_is_nothing_given(tmp_path, rows):
    assert not len(embed_images(Remembering(Counting(), tmp_path), rows, []))


def test_another_tokenizer_is_another_model(tmp_path):
    model = Counting()
    for words in ("one", "two", "two"):
        model.tokenizer = SimpleNamespace(to_str=lambda words=words: words)
        embed_texts(Remembering(model, tmp_path), TEXTS)
    assert model.asked == 140
