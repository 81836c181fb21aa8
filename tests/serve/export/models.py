"""Small ViT + BERT models, pictures, and programs that use an export where medistill cannot be imported."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from medistill.data.image import decode_image, letterbox
from medistill.data.phantom import phantom_studies
from medistill.model.dual import DualEncoder
from medistill.model.saved import save_model
from medistill.recipe import Encoder, Recipe
from tests.conftest import tiny_model, tiny_recipe, tiny_texts

VIT = {"hidden_size": 16, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 2}
BERT = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
SIZE = 64
WITHOUT = """
import sys

class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "medistill":
            raise ImportError("medistill must not be needed")

sys.meta_path.insert(0, Refused())
"""
"""The start of a program that may not import medistill."""
TEXTS = [*tiny_texts(7), "heart"]
REAL = Path(os.environ.get("MEDISTILL_REAL_DATA", Path(__file__).parents[4] / "shared" / "data"))


def vit_recipe(pooling: str = "cls", **changes) -> Recipe:
    """ViT + BERT of two layers at 64 pixels."""
    image = Encoder(type="vit", config={**VIT, "patch_size": 16}, pooling=pooling)
    text = Encoder(type="bert", config=BERT, pooling=pooling)
    return tiny_recipe(**{"image": image, "text": text, "size": SIZE, **changes})


def vit_model(pooling: str = "cls", seed: int = 0, **changes) -> DualEncoder:
    """A model whose every part matters to its embeddings: biases and norms are not 0 and 1 as at a start."""
    model = tiny_model(vit_recipe(pooling, **changes), seed).eval()
    random = torch.Generator().manual_seed(1)
    for name, weights in model.named_parameters():
        if weights.ndim < 2 and name != "log_scale":
            weights.data += 0.3 * torch.randn(weights.shape, generator=random)
        if "position_embeddings" in name:
            weights.data += torch.randn(weights.shape, generator=random)
        elif "backbone" in name and weights.ndim > 1:
            weights.data *= 10
    return model


def saved(model: DualEncoder, folder: Path) -> Path:
    save_model(model, folder)
    return folder


def phantoms(count: int = 4, size: int = 96) -> list[np.ndarray]:
    """Squares larger than the models take."""
    return [decode_image(study.images[0].image) for study in phantom_studies(count, seed=3, size=size)]


def real_films(count: int) -> list[np.ndarray]:
    """Chest radiographs of children; the test is skipped where they are absent."""
    files = sorted((REAL / "kermany" / "images").glob("*.jp*g"))[:count]
    if len(files) < count:
        pytest.skip("no real data here: set MEDISTILL_REAL_DATA to the folder that holds it")
    return [decode_image(file.read_bytes()) for file in files]


def squared(films: Sequence[np.ndarray], size: int = SIZE) -> list[np.ndarray]:
    return [letterbox(film, size) for film in films]


def given_to(folder: Path, films: Sequence[np.ndarray]) -> Path:
    """Films and texts as files that any program reads."""
    folder.mkdir()
    for number, film in enumerate(films):
        Image.fromarray(film).save(folder / f"{number:03}.png")
    (folder / "texts.json").write_text(json.dumps(TEXTS))
    return folder


def run_without_medistill(program: str, *arguments: Path | str) -> dict[str, np.ndarray]:
    """The arrays the program prints as JSON; it may import neither medistill nor read the network."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(Path(__file__).parents[3])}
    call = [sys.executable, "-c", WITHOUT + program, *map(str, arguments)]
    done = subprocess.run(call, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {name: np.array(rows) for name, rows in json.loads(done.stdout).items()}


def apart(found: np.ndarray | torch.Tensor, expected: torch.Tensor) -> float:
    return float(np.abs(np.asarray(found) - expected.numpy()).max())
