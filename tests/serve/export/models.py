"""Small ViT + BERT models, saved, and what other libraries need to be told to run without medistill."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from medistill.data.image import decode_image
from medistill.data.phantom import phantom_studies
from medistill.model.dual import DualEncoder
from medistill.model.saved import save_model
from medistill.recipe import Encoder, Recipe
from tests.conftest import tiny_model, tiny_recipe

VIT = {"hidden_size": 16, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 2}
BERT = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
WITHOUT = """
import sys

class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "medistill":
            raise ImportError("medistill must not be needed")

sys.meta_path.insert(0, Refused())
"""
"""The start of a program that may not import medistill."""


def vit_recipe(pooling: str = "cls", **changes) -> Recipe:
    """ViT + BERT of two layers at 32 pixels."""
    image = Encoder(type="vit", config={**VIT, "patch_size": 8}, pooling=pooling)
    return tiny_recipe(
        **{"image": image, "text": Encoder(type="bert", config=BERT, pooling=pooling), **changes}
    )


def vit_model(pooling: str = "cls", **changes) -> DualEncoder:
    """Random weights, larger than at a start, so that every part of the network matters."""
    model = tiny_model(vit_recipe(pooling, **changes)).eval()
    for name, weights in model.named_parameters():
        if "norm" in name.lower() or name.endswith("bias"):
            weights.data += 0.3 * weights.new_tensor(
                np.random.default_rng(len(name)).normal(size=weights.shape)
            )
    return model


def saved(model: DualEncoder, folder: Path) -> Path:
    save_model(model, folder)
    return folder


def squares(count: int, size: int) -> list[np.ndarray]:
    """Phantoms."""
    return [decode_image(study.images[0].image) for study in phantom_studies(count, seed=3, size=size)]


def run_without_medistill(program: str, *arguments: Path | str, python: str = sys.executable) -> dict:
    """What the program prints as JSON; it may not import medistill, nor reach a network."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""}
    call = [python, "-c", WITHOUT + program, *map(str, arguments)]
    done = subprocess.run(call, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
