"""Models of open_clip through the same command; run by `make check-open-clip`."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from medistill.cli import main
from medistill.errors import CallError
from medistill.model.any_model import open_model
from medistill.model.fingerprint import model_hash
from tests.conftest import tiny_texts
from tests.model.foreign_models import rewrite, tiny_tokenizer
from tests.planted import phantom_corpus

try:
    import open_clip
except (ImportError, RuntimeError) as error:
    pytest.skip(f"open_clip does not import here ({error}): make check-open-clip", allow_module_level=True)

IMAGE = {"image_size": 32, "layers": 1, "width": 16, "head_width": 8, "patch_size": 8}
TEXT = {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
SHAPE = {"embed_dim": 8, "vision_cfg": IMAGE, "text_cfg": TEXT}
PIXELS = {"mean": [0.5] * 3, "std": [0.25] * 3, "interpolation": "bilinear", "resize_mode": "longest"}
BERT = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


def pictures(count: int = 5) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (60, 44), dtype=np.uint8) for _ in range(count)]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder as open_clip writes them for the hub, with random weights."""
    folder = tmp_path_factory.mktemp("open_clip")
    torch.manual_seed(0)
    weights = open_clip.CLIP(**SHAPE, init_logit_scale=2.0).state_dict()
    save_file({k: v.contiguous() for k, v in weights.items()}, folder / "open_clip_model.safetensors")
    rewrite(folder / "open_clip_config.json", model_cfg=SHAPE, preprocess_cfg=PIXELS)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    """A copy that may be changed."""
    return shutil.copytree(saved, tmp_path / "model")


@pytest.fixture
def weights(folder):
    return folder / "open_clip_model.safetensors"


@pytest.fixture(scope="module")
def architecture(tmp_path_factory):
    """Its shape under a name of its own, among those that open_clip knows."""
    path = tmp_path_factory.mktemp("configurations") / "tiny-test.json"
    path.write_text(json.dumps(SHAPE))
    open_clip.add_model_config(path)
    return path.stem


def evaluated(name, corpus, out):
    main(["evaluate", name, "--data", str(corpus), "--out", str(out)])
    return tuple(json.loads((out / file).read_text()) for file in ("metrics.json", "evaluation.json"))


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    return phantom_corpus(tmp_path_factory.mktemp("phantoms") / "corpus", count=60)


def test_a_model_of_open_clip_is_evaluated_by_the_command(phantoms, saved, tmp_path):
    metrics, stated = evaluated(f"open_clip:local-dir:{saved}", phantoms, tmp_path / "out")
    assert {"zero_shot", "retrieval"} <= set(metrics)
    assert stated["model_sha256"] == model_hash(open_model(f"open_clip:local-dir:{saved}"))
    told = stated["preprocessing"]
    assert (told["by"], told["resize"], told["interpolation"]) == ("open_clip", [32, 32], "bilinear")
    assert (told["mean"], told["std"], told["channels"]) == ([0.5] * 3, [0.25] * 3, 3)
    assert told["max_tokens"] == 16


def test_rows_are_those_of_open_clip_itself(saved):
    model = open_model(f"open_clip:local-dir:{saved}")
    network, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{saved}")
    network.eval()
    tokens = open_clip.get_tokenizer(f"local-dir:{saved}")(tiny_texts(5))
    pixels = torch.stack([preprocess(Image.fromarray(x).convert("RGB")) for x in pictures()])
    with torch.no_grad():
        image = network.encode_image(pixels, normalize=True)
        text = network.encode_text(tokens, normalize=True)
    torch.testing.assert_close(model.encode_images(pictures(), batch_size=2), image)
    torch.testing.assert_close(model.encode_texts(tiny_texts(5)), text)
    assert model.scale == pytest.approx(np.exp(2.0))


@pytest.mark.parametrize("changes", [{"mean": [0.1] * 3}, {"resize_mode": "shortest"}])
def test_the_preprocessing_in_the_folder_is_what_images_go_through(folder, changes):
    random = np.random.default_rng(0)
    wide = [random.integers(0, 256, (40, 90), dtype=np.uint8)]
    before = open_model(f"open_clip:local-dir:{folder}").encode_images(wide)
    rewrite(folder / "open_clip_config.json", preprocess_cfg={**PIXELS, **changes})
    after = open_model(f"open_clip:local-dir:{folder}")
    assert not torch.allclose(after.encode_images(wide), before, atol=1e-3)


@pytest.mark.parametrize("kind", ["safetensors", "pt"])
def test_weights_in_a_file_go_with_the_name_of_their_architecture(architecture, weights, tmp_path, kind):
    file = tmp_path / f"weights.{kind}"
    if kind == "pt":
        torch.save({"epoch": 3, "state_dict": load_file(weights)}, file)
    else:
        shutil.copy(weights, file)
    model = open_model(f"open_clip:{architecture}:{file}")
    same = open_model(f"open_clip:local-dir:{weights.parent}")
    torch.testing.assert_close(model.encode_texts(["clear"]), same.encode_texts(["clear"]))
    assert model.preprocessing["mean"] == pytest.approx(open_clip.OPENAI_DATASET_MEAN)


def test_a_text_tower_of_transformers_brings_its_tokenizer_and_old_buffers(tmp_path):
    tiny_tokenizer().save_pretrained(tmp_path)
    rewrite(tmp_path / "config.json", model_type="bert", vocab_size=200, **BERT)
    text = {"hf_model_name": str(tmp_path), "hf_tokenizer_name": str(tmp_path), "context_length": 16}
    shape = {"embed_dim": 8, "vision_cfg": IMAGE, "text_cfg": {**text, "hf_model_pretrained": False}}
    network = open_clip.CustomTextCLIP(**shape)
    weights = {k: v.contiguous() for k, v in network.state_dict().items()}
    weights["text.transformer.embeddings.position_ids"] = torch.arange(512)[None]
    save_file(weights, tmp_path / "open_clip_model.safetensors")
    rewrite(tmp_path / "open_clip_config.json", model_cfg=shape, preprocess_cfg=PIXELS)
    model = open_model(f"open_clip:local-dir:{tmp_path}")
    assert model.encode_texts(tiny_texts(3)).shape == (3, 8)


class RunsCode:
    """What a pickle may do when it is read."""

    def __reduce__(self):
        return (print, ("was run",))


def test_a_pickle_that_runs_code_is_refused(architecture, tmp_path, capsys):
    torch.save({"state_dict": RunsCode()}, tmp_path / "weights.pt")
    with pytest.raises(CallError, match="cannot load"):
        open_model(f"open_clip:{architecture}:{tmp_path / 'weights.pt'}")
    assert "was run" not in capsys.readouterr().out


def test_a_tokenizer_that_asks_to_run_its_code_is_refused(folder):
    asks = {**TEXT, "hf_tokenizer_name": "x", "tokenizer_kwargs": {"trust_remote_code": True}}
    rewrite(folder / "open_clip_config.json", model_cfg={**SHAPE, "text_cfg": asks})
    with pytest.raises(CallError, match="code of its own"):
        open_model(f"open_clip:local-dir:{folder}")


def test_a_missing_weight_is_refused(folder, weights):
    kept = load_file(weights)
    kept.pop("text_projection")
    save_file(kept, weights)
    with pytest.raises(CallError, match="text_projection"):
        open_model(f"open_clip:local-dir:{folder}")


def test_a_folder_without_weights_is_refused(folder, weights):
    weights.unlink()
    with pytest.raises(CallError, match="could not be loaded"):
        open_model(f"open_clip:local-dir:{folder}")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ViT-B-32", r"names no weights; give .* one of its tags: openai"),
        ("ViT-B-33:openai", "knows no model 'ViT-B-33'; near: ViT-B-32"),
        ("ViT-B/32:nowhere.pt", "'nowhere.pt' is neither a file nor a tag; tags of ViT-B-32: openai"),
        ("local-dir:nowhere", "cannot load open_clip:local-dir:nowhere"),
        ("hf-hub:nobody/nothing", "cannot load open_clip:hf-hub:nobody/nothing"),
        ("", "knows no model ''"),
    ],
)
def test_a_name_that_leads_nowhere_is_one_line(name, said, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CallError, match=said) as error:
        open_model(f"open_clip:{name}")
    assert "\n" not in str(error.value)


def test_a_folder_of_open_clip_without_its_prefix_is_pointed_to_it(folder):
    with pytest.raises(CallError, match="give open_clip:local-dir:"):
        open_model(folder)
