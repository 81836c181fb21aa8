"""A small model that has learned German, and films for it to label."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from medistill.data.image import encode_image
from medistill.data.prepare.writer import write_corpus
from medistill.data.study import Study, StudyImage
from medistill.pretrain import pretrain
from tests.conftest import each_a_unit, tiny_recipe

PROMPTS = {
    "effusion": {"positive": ["Pleuraerguss."], "negative": ["Kein Pleuraerguss."]},
    "nodule": {"positive": ["Rundherd."], "negative": ["Kein Rundherd."]},
}


def film(effusion: int, nodule: int, seed: int) -> np.ndarray:
    """Noise, bright below where there is an effusion, with a bright square above where there is a nodule."""
    pixels = np.random.default_rng(seed).integers(0, 90, (32, 32), dtype=np.uint8)
    if effusion:
        pixels[20:] += 140
    if nodule:
        pixels[4:12, 10:18] += 140
    return pixels


def shown(number: int) -> tuple[int, int]:
    """Whether the film of that number shows an effusion, and whether a nodule."""
    return number % 2, number // 2 % 2


def write_german_corpus(out: Path, count: int = 160) -> Path:
    studies = []
    for i in range(count):
        effusion, nodule = shown(i)
        text = f"{'' if effusion else 'Kein '}Pleuraerguss. {'' if nodule else 'Kein '}Rundherd. Film {i}."
        studies.append(
            Study(
                study_id=f"s{i:03d}",
                patient_id=f"p{i:03d}",
                images=(StudyImage(image=encode_image(film(effusion, nodule, i))),),
                text=text,
                split="train" if i < count - 80 else "val" if i < count - 20 else "test",
                labels={"effusion": effusion, "nodule": nodule},
            )
        )
    write_corpus(each_a_unit(studies), out, source="test", made_with={}, findings=("effusion", "nodule"))
    return out


def write_films(folder: Path, numbers: range) -> Path:
    """Films that the model has not seen, every third in a folder of its own."""
    for number in numbers:
        path = folder / ("later" if number % 3 == 0 else "") / f"film{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_image(film(*shown(number), 1000 + number)))
    return folder


@pytest.fixture(scope="session")
def german(tmp_path_factory) -> SimpleNamespace:
    """A run trained on German reports, its corpus, and a folder of 100 films."""
    home = tmp_path_factory.mktemp("german")
    corpus = write_german_corpus(home / "corpus")
    recipe = tiny_recipe(epochs=12, lr=1e-2, window=16, micro_batch=16, validate_every=12.0, live_share=0.3)
    pretrain(recipe, corpus, home / "run", watch=lambda *_: None)
    return SimpleNamespace(run=home / "run", corpus=corpus, films=write_films(home / "films", range(100)))
