"""Our ViT + BERT models in open_clip: run by `make check-open-clip`, in its own environment."""

import json

import pytest
from safetensors.torch import load_file, save_file

from medistill.errors import CallError, MedistillError
from medistill.model.any_model import open_model
from medistill.model.embedder import UnitEmbedder
from medistill.recipe import Encoder
from medistill.serve.export import open_clip as export_of_open_clip
from medistill.serve.export.export import export
from medistill.serve.export.open_clip import check
from tests.conftest import forget_checksums, tiny_model
from tests.serve.export.models import (
    BERT,
    TEXTS,
    VIT,
    apart,
    given_to,
    phantoms,
    real_films,
    run_without_medistill,
    saved,
    vit_model,
)

pytest.importorskip("open_clip", reason="make check-open-clip")

USE = """
import json
from pathlib import Path

import tests.open_clip.operators
import open_clip
import torch
from PIL import Image

folder, given = sys.argv[1], Path(sys.argv[2])
model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
model.eval()
pixels = torch.stack([preprocess(Image.open(path)) for path in sorted(given.glob("*.png"))])
with torch.no_grad():
    image = model.encode_image(pixels, normalize=True)
    text = model.encode_text(tokenizer(json.loads((given / "texts.json").read_text())), normalize=True)
scale = model.logit_scale.exp()
print(json.dumps({"image": image.tolist(), "text": text.tolist(), "scale": scale.tolist()}))
"""
RATIO = {**VIT, "patch_size": 16, "intermediate_size": 47, "num_attention_heads": 4, "layer_norm_eps": 1e-3}


@pytest.fixture(scope="module", params=["cls", "mean", "color", "roberta", "odd"])
def exported(request, tmp_path_factory):
    """(our model, its export): both poolings, three channels, another text tower, and an image tower whose
    inner width is no simple multiple, without biases of its queries, keys and values."""
    home = tmp_path_factory.mktemp("open_clip")
    roberta = Encoder(type="roberta", config={**BERT, "max_position_embeddings": 24}, pooling="cls")
    odd = Encoder(type="vit", config={**RATIO, "qkv_bias": False}, pooling="cls")
    changes = {"color": {"channels": 3}, "roberta": {"text": roberta}, "odd": {"image": odd}}
    pooling = request.param if request.param == "mean" else "cls"
    model = vit_model(pooling, mean=0.4, std=0.2, **changes.get(request.param, {}))
    told = export(str(saved(model, home / "model")), "open_clip", home / "out")
    assert told["checked"]["largest_difference"] < 1e-5
    return model, home / "out"


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The same, of the towers of our recipe."""
    home = tmp_path_factory.mktemp("plain")
    model = vit_model()
    export(str(saved(model, home / "model")), "open_clip", home / "out")
    return model, home / "out"


def test_films_of_any_shape_and_texts_give_the_same_embeddings(exported):
    model, folder = exported
    films = [*phantoms(4), phantoms(5)[4][20:84], phantoms(6)[5][:, 30:70]]
    theirs = UnitEmbedder(open_model(f"open_clip:local-dir:{folder}"))
    assert apart(theirs.encode_images(films), model.encode_images(films)) < 1e-5
    assert apart(theirs.encode_texts(TEXTS), model.encode_texts(TEXTS)) < 1e-5


def test_they_do_so_in_a_process_without_medistill(plain, tmp_path):
    model, folder = plain
    films = phantoms(8)
    found = run_without_medistill(USE, folder, given_to(tmp_path / "given", films))
    assert apart(found["image"], model.encode_images(films)) < 1e-5
    assert apart(found["text"], model.encode_texts(TEXTS)) < 1e-5
    assert found["scale"] == pytest.approx(model.scale)


@pytest.mark.real
def test_32_real_radiographs_give_the_same_embeddings(plain, tmp_path):
    model, folder = plain
    films = real_films(32)
    found = run_without_medistill(USE, folder, given_to(tmp_path / "given", films))
    assert apart(found["image"], model.encode_images(films)) < 1e-4


def test_a_bias_of_the_similarities_comes_along(tmp_path):
    model = vit_model(objective="siglip", bias=-3.0)
    export(str(saved(model, tmp_path / "model")), "open_clip", tmp_path / "out")
    assert open_model(f"open_clip:local-dir:{tmp_path / 'out'}").bias == pytest.approx(
        float(model.bias.detach())
    )


def test_a_long_text_is_cut_where_the_model_cuts_it(exported):
    model, folder = exported
    long = [" ".join(["heart", "lung"] * 40)]
    theirs = UnitEmbedder(open_model(f"open_clip:local-dir:{folder}"))
    assert apart(theirs.encode_texts(long), model.encode_texts(long)) < 1e-5


def test_a_moved_folder_works_again_once_it_is_told_where_it_lies(plain, tmp_path):
    model, folder = plain
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in folder.iterdir():
        (moved / path.name).write_bytes(path.read_bytes())
    config = json.loads((moved / "open_clip_config.json").read_text())
    assert config["model_cfg"]["text_cfg"]["hf_model_name"] == str(folder)
    config["model_cfg"]["text_cfg"]["hf_model_name"] = str(moved)
    (moved / "open_clip_config.json").write_text(json.dumps(config))
    theirs = UnitEmbedder(open_model(f"open_clip:local-dir:{moved}"))
    assert apart(theirs.encode_images(phantoms()), model.encode_images(phantoms())) < 1e-5


@pytest.mark.parametrize("name", ["visual.transformer.resblocks.1.attn.in_proj_bias", "text.proj.weight"])
def test_the_check_finds_a_changed_weight(plain, tmp_path, name):
    model, folder = plain
    weights = load_file(folder / "open_clip_model.safetensors")
    weights[name].view(-1)[-1] += 1  # of the values: a shift of the keys alone changes no attention
    changed = tmp_path / "changed"
    changed.mkdir()
    for path in folder.iterdir():
        (changed / path.name).write_bytes(path.read_bytes())
    save_file(weights, changed / "open_clip_model.safetensors")
    forget_checksums(changed)
    with pytest.raises(MedistillError, match="differ from the model by"):
        check(model, changed)


@pytest.mark.parametrize("activation", ["relu", "quick_gelu"])
def test_an_activation_open_clip_does_not_have_there_is_refused(tmp_path, activation):
    image = Encoder(type="vit", config={**VIT, "patch_size": 16, "hidden_act": activation}, pooling="cls")
    folder = saved(vit_model(image=image), tmp_path / "model")
    with pytest.raises(CallError, match=rf"activation '{activation}', only gelu: use --to onnx"):
        export(str(folder), "open_clip", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("width", "inner"), [(768, 3072), (16, 40), (7, 47), (192, 511), (1000, 1001)])
def test_the_ratio_arrives_at_the_inner_width(width, inner):
    assert int(width * export_of_open_clip._ratio(width, inner)) == inner


def test_a_resnet_is_refused(tmp_path):
    with pytest.raises(CallError, match="an image tower of type resnet, only ViT: use --to onnx"):
        export(str(saved(tiny_model(), tmp_path / "model")), "open_clip", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
