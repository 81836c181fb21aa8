"""What the tests of several parts share: tiny models and windows, a browser."""

import itertools
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from medistill.data.image import encode_image
from medistill.data.loader import Window
from medistill.data.prepare.writer import write_corpus
from medistill.data.study import Study, StudyImage
from medistill.model.dual import DualEncoder, build_model
from medistill.model.saved import save_model
from medistill.model.tokenizer import tokenize
from medistill.recipe import Encoder, Recipe
from medistill.system.checksums import SUMS

os.environ["HF_HUB_OFFLINE"] = "1"
torch.set_num_threads(1)

WORDS = (
    "heart",
    "size",
    "is",
    "normal",
    "small",
    "left",
    "right",
    "effusion",
    "no",
    "edema",
    "lung",
    "clear",
)

_CHROMIUM = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def tiny_recipe(**changes) -> Recipe:
    """A recipe whose model has a few thousand parameters and no dropout."""
    resnet = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}
    bert = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    values = {
        "name": "tiny",
        "image": Encoder(type="resnet", config=resnet),
        "text": Encoder(type="bert", config={**bert, **still}),
        "dim": 8,
        "size": 32,
        "max_tokens": 16,
        "min_patients": 1,
        "window": 8,
        "micro_batch": 4,
        "epochs": 2,
        "augment": False,
    }
    return Recipe(**{**values, **changes})


def tiny_texts(count: int, seed: int = 0) -> list[str]:
    """Sentences of two to nine words, all different."""
    random = np.random.default_rng(seed)
    return [" ".join([*random.choice(WORDS, random.integers(2, 8)), str(i)]) for i in range(count)]


def tiny_model(recipe: Recipe | None = None, seed: int = 0) -> DualEncoder:
    """The model of `tiny_recipe`."""
    torch.manual_seed(seed)
    texts = tiny_texts(20)
    return build_model(recipe or tiny_recipe(), texts, [str(i) for i in range(len(texts))])


def tiny_window(model: DualEncoder, pairs: int = 8, seed: int = 0) -> Window:
    """Random images and sentences; pairs 0 and 1 are of one study, pairs 2 and 3 share a text."""
    random = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (pairs, model.size, model.size), generator=random, dtype=torch.uint8)
    tokens, mask = tokenize(model.tokenizer, tiny_texts(pairs, seed), model.max_tokens)
    study, text = torch.arange(pairs), torch.arange(pairs)
    study[:2], text[2:4] = 0, 2
    return Window(images, tokens, mask, study, text, row=torch.arange(pairs))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with a long test first, else as they were; tests of a card are skipped without one."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("cuda"):
                item.add_marker(pytest.mark.skip(reason="needs a CUDA card, and torch sees none here"))
    long = {item.path for item in items if item.get_closest_marker("long")}
    items.sort(key=lambda item: item.path not in long)


@pytest.fixture(scope="session")
def fabric() -> Fabric:
    return Fabric(accelerator="cpu", devices=1)


def forget_checksums(folder: Path) -> None:
    """As an earlier version wrote it, so that a change of its files is not noticed as such."""
    for sums in folder.rglob(SUMS):
        sums.unlink()


def each_a_unit(items):
    """Studies and rejects as what comes of a source's units."""

    def results(place):
        for item in itertools.islice(items, place.units, None):
            place = place.after(item, 1)
            yield place, (item,)

    return results


def write_noise_corpus(out: Path, seed: int = 0) -> None:
    """60 studies of noise with sentences, 40 to train on, 10 to validate and 10 to test on."""
    random = np.random.default_rng(seed)
    splits = ["train"] * 40 + ["val"] * 10 + ["test"] * 10
    studies = [
        Study(
            study_id=f"s{i}",
            patient_id=f"p{i}",
            images=(StudyImage(image=encode_image(random.integers(0, 256, (32, 32), dtype=np.uint8))),),
            text=text,
            split=split,
            labels={"effusion": int(i % 2), "edema": int(i % 3 == 0)},
        )
        for i, (text, split) in enumerate(zip(tiny_texts(60), splits, strict=True))
    ]
    write_corpus(each_a_unit(studies), out, source="test", made_with={}, findings=("effusion", "edema"))


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """The folder of a model to adapt: a ViT and a BERT of two layers, without dropout."""
    shape = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32, "num_hidden_layers": 2}
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    image = Encoder(type="vit", config={**shape, **still, "patch_size": 8})
    text = Encoder(type="bert", config={**shape, **still})
    folder = tmp_path_factory.mktemp("trained")
    save_model(tiny_model(tiny_recipe(image=image, text=text)), folder)
    return folder


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("tiny") / "corpus"
    write_noise_corpus(out)
    return out


@pytest.fixture(scope="session")
def chromium():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium here: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=_CHROMIUM)
        yield browser
        browser.close()
