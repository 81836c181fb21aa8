"""ViT + BERT as transformers' VisionTextDualEncoderModel, in a process that has no medistill."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import VisionTextDualEncoderModel

from medistill.errors import CallError, MedistillError
from medistill.model.any_model import open_model
from medistill.model.saved import load
from medistill.model.tokenizer import tokenize
from medistill.pretrain import pretrain
from medistill.recipe import RECIPES, Encoder
from medistill.serve.export import hub
from medistill.serve.export.export import export
from tests.conftest import tiny_model
from tests.serve.export.models import (
    BERT,
    TEXTS,
    apart,
    given_to,
    phantoms,
    real_films,
    run_without_medistill,
    saved,
    squared,
    vit_model,
    vit_recipe,
)

USE = """
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoTokenizer
from transformers import VisionTextDualEncoderModel, VisionTextDualEncoderProcessor

folder, given, mean, std = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
model = VisionTextDualEncoderModel.from_pretrained(folder).eval()
processor = VisionTextDualEncoderProcessor(
    AutoImageProcessor.from_pretrained(folder, backend="pil"), AutoTokenizer.from_pretrained(folder)
)
pictures = [Image.open(path) for path in sorted(given.glob("*.png"))]
texts = json.loads((given / "texts.json").read_text())
unit = torch.nn.functional.normalize
with torch.no_grad():
    inputs = processor(images=pictures, text=texts, padding=True, truncation=True, return_tensors="pt")
    found = model(**inputs)
    told = {"image": found.image_embeds, "text": found.text_embeds, "logits": found.logits_per_image}
    side = model.config.vision_config.image_size
    fitting = [np.array(picture) for picture in pictures if picture.size == (side, side)]
    pixels = ((torch.from_numpy(np.stack(fitting))[:, None] / 255 - mean) / std).expand(-1, 3, -1, -1)
    told["pixels"] = unit(model.get_image_features(pixel_values=pixels).pooler_output)
print(json.dumps({name: rows.tolist() for name, rows in told.items()}))
"""


@pytest.fixture(scope="module", params=[1, 3], ids=["grey", "color"])
def exported(request, tmp_path_factory):
    """(our model, its export), the towers with one channel and with three."""
    home = tmp_path_factory.mktemp("hub")
    model = vit_model(channels=request.param, mean=0.4, std=0.2)
    export(str(saved(model, home / "model")), "hub", home / "hub")
    return model, home / "hub"


def used(model, folder, films, tmp_path):
    return run_without_medistill(USE, folder, given_to(tmp_path / "given", films), model.mean, model.std)


@pytest.mark.slow
def test_squares_give_the_same_embeddings_by_pixels_and_by_the_processor(exported, tmp_path):
    model, folder = exported
    fitting, larger = squared(phantoms(8)), [*phantoms(4, size=96), *phantoms(2, size=131)]
    found = used(model, folder, [*fitting, *larger], tmp_path)
    image, text = model.encode_images([*fitting, *larger]), model.encode_texts(TEXTS)
    assert apart(found["pixels"], image[: len(fitting)]) < 1e-5
    assert apart(found["image"], image) < 1e-5
    assert apart(found["text"], text) < 1e-5
    assert apart(found["logits"], model.scale * image @ text.T) < 1e-3


@pytest.mark.slow
@pytest.mark.real
def test_32_real_radiographs_give_the_same_embeddings(exported, tmp_path):
    model, folder = exported
    films = real_films(32)
    found = used(model, folder, squared(films), tmp_path)
    expected = model.encode_images(films)
    assert max(apart(found["pixels"], expected), apart(found["image"], expected)) < 1e-4


def test_what_is_compared_differs_from_film_to_film_and_from_text_to_text(exported):
    model, _ = exported
    for rows in (model.encode_images(phantoms(6)), model.encode_texts(TEXTS)):
        between = torch.pdist(rows)
        assert between.min() > 0.01


def test_rows_have_the_length_they_have_in_the_model_before_they_are_made_unit(exported):
    model, folder = exported
    tokens, mask = tokenize(model.tokenizer, TEXTS, model.max_tokens)
    read = VisionTextDualEncoderModel.from_pretrained(folder).eval()
    with torch.no_grad():
        ours = model.text_projection(model.text(tokens, mask))
        theirs = read.get_text_features(input_ids=tokens, attention_mask=mask.long()).pooler_output
    torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-5)


def test_color_is_seen_as_the_grey_it_would_become(exported):
    model, folder = exported
    color = np.random.default_rng(0).integers(0, 256, (5, model.size, model.size, 3), dtype=np.uint8)
    pictures = [Image.fromarray(picture) for picture in color]
    found = open_model(f"hf:{folder}").encode_images(pictures)
    assert (found - model.encode_images(pictures)).abs().max() < 5e-3  # grey is rounded to 8 bits


def test_other_shapes_are_nearly_letterboxed(exported):
    model, folder = exported
    wide = [film[20:84] for film in phantoms(6)]
    cosine = (open_model(f"hf:{folder}").encode_images(wide) * model.encode_images(wide)).sum(dim=1)
    squashed = [np.array(Image.fromarray(film).resize((64, 64))) for film in wide]
    worse = (model.encode_images(squashed) * model.encode_images(wide)).sum(dim=1)
    assert cosine.min() > 0.99
    assert cosine.mean() > worse.mean()
    assert "within one pixel" in json.loads((folder / "export.json").read_text())["letterbox"]


def test_a_long_text_is_cut_where_the_model_cuts_it(exported):
    model, folder = exported
    long = [" ".join(["heart", "lung"] * 40)]
    torch.testing.assert_close(
        open_model(f"hf:{folder}").encode_texts(long), model.encode_texts(long), atol=1e-5, rtol=0
    )


def test_a_model_folder_gets_a_card_that_claims_nothing(exported):
    _, folder = exported
    card = ModelCard.load(folder / "README.md")
    assert card.data.library_name == "transformers"
    assert "no claim is made" in card.text
    assert 'backend="pil"' in card.text


def test_the_card_of_a_run_is_that_of_medistill_card_with_how_transformers_loads_it(tiny_corpus, tmp_path):
    pretrain(vit_recipe(epochs=1), tiny_corpus, tmp_path / "run", watch=lambda *_: None)
    export(str(tmp_path / "run"), "hub", tmp_path / "hub")
    card = ModelCard.load(tmp_path / "hub" / "README.md")
    assert card.data.library_name == "transformers"
    assert "## Recipe" in card.text
    assert card.text.count("## Use it") == 1
    assert "VisionTextDualEncoderModel.from_pretrained" in card.text
    assert "medistill.load" not in card.text
    assert str(tmp_path) not in card.text


def test_a_roberta_tower_is_expressed(tmp_path):
    text = Encoder(type="roberta", config={**BERT, "max_position_embeddings": 24}, pooling="cls")
    model = vit_model(text=text)
    told = export(str(saved(model, tmp_path / "model")), "hub", tmp_path / "hub")
    assert told["checked"]["largest_difference"] < 1e-5


def test_the_ready_recipe_of_vit_and_bert_is_one_that_can_be_exported(tmp_path):
    recipe = RECIPES["chest_vitb"]()
    small = vit_recipe("mean")
    image = dataclasses.replace(recipe.image, config=small.image.config)
    text = dataclasses.replace(recipe.text, config=small.text.config)
    folder = saved(tiny_model(vit_recipe("mean", image=image, text=text)), tmp_path / "model")
    assert export(str(folder), "hub", tmp_path / "hub")["checked"]["largest_difference"] < 1e-5


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"image": None}, "an image tower of type resnet"),
        ({"pooling": "mean"}, "the image tower's pooling 'mean'"),
        ({"text": Encoder(type="distilbert", config={"dim": 16, "n_heads": 2, "n_layers": 1})}, "distilbert"),
    ],
)
def test_what_the_class_cannot_express_is_refused_in_one_line_that_names_onnx(tmp_path, changes, said):
    model = tiny_model() if "image" in changes else tiny_model(vit_recipe(**changes))
    folder = saved(model, tmp_path / "model")
    with pytest.raises(CallError, match=said) as refused:
        export(str(folder), "hub", tmp_path / "hub")
    assert "--to onnx" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "hub").exists()


@pytest.mark.parametrize("to", ["hub", "open_clip"])
def test_a_gated_head_is_refused_in_one_line(tmp_path, to):
    folder = saved(vit_model(head="gated"), tmp_path / "model")
    with pytest.raises(CallError, match="cannot express a gated head, only a linear one: use") as said:
        export(str(folder), to, tmp_path / "out")
    assert "\n" not in str(said.value)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_an_export_that_embeds_otherwise_is_refused_and_leaves_nothing(tmp_path, monkeypatch):
    folder = saved(vit_model(), tmp_path / "model")
    monkeypatch.setattr(hub, "_SMALL", 0.1)  # the tanh bends what it should pass on
    with pytest.raises(MedistillError, match="differ from the model by"):
        export(str(folder), "hub", tmp_path / "hub")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_changed_weight_changes_the_export(tmp_path):
    """The check compares with the folder as it is read back."""
    folder = saved(vit_model(), tmp_path / "model")
    export(str(folder), "hub", tmp_path / "hub")
    model = load(folder)
    weights = load_file(tmp_path / "hub" / "model.safetensors")
    weights["text_model.encoder.layer.1.output.dense.bias"][0] += 1
    shutil.copytree(tmp_path / "hub", tmp_path / "other")
    save_file(weights, tmp_path / "other" / "model.safetensors", metadata={"format": "pt"})
    assert hub._largest_difference(model, tmp_path / "hub") < 1e-5
    assert hub._largest_difference(model, tmp_path / "other") > 1e-3
