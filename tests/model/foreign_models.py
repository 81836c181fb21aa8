"""Small models of other libraries, random, made without a network."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig,
    CLIPConfig,
    CLIPModel,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipModel,
    VisionTextDualEncoderConfig,
    VisionTextDualEncoderModel,
    ViTConfig,
)

from medistill.model.tokenizer import train_tokenizer
from tests.conftest import tiny_texts

TOKENS = 16
LAYER = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
IMAGE = {**LAYER, "image_size": 32, "patch_size": 8}
SPECIAL = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
TEXT = {**LAYER, **SPECIAL, "vocab_size": 200, "max_position_embeddings": TOKENS}
PROCESSORS = {
    "clip": {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": 36},
        "crop_size": {"height": 32, "width": 32},
    },
    "siglip": {"image_processor_type": "SiglipImageProcessor", "size": {"height": 32, "width": 32}},
    "dual": {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}},
}


def save_foreign(folder: Path, kind: str = "clip", **text: object) -> Path:
    """A model folder of transformers: `clip`, `siglip` or `dual` (vision-text dual encoder)."""
    torch.manual_seed(0)
    _network(kind, {**TEXT, **text}).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    rewrite(folder / "preprocessor_config.json", **PROCESSORS[kind])
    return folder


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Words of `tiny_texts`, at most 16 tokens."""
    texts = tiny_texts(20)
    trained = train_tokenizer(texts, [str(i) for i in range(20)], vocabulary=200, min_patients=1)
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=trained, model_max_length=TOKENS, **names)


def rewrite(path: Path, **changes: object) -> None:
    """Fields of a JSON file, made if missing."""
    before = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps({**before, **changes}))


def edit_weights(folder: Path, edit) -> None:
    """Let `edit` change the tensors of the folder's checkpoint by name."""
    weights = load_file(folder / "model.safetensors")
    edit(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _network(kind: str, text: dict[str, object]):
    if kind == "clip":
        return CLIPModel(CLIPConfig(vision_config=IMAGE, text_config=text, projection_dim=8))
    if kind == "siglip":
        network = SiglipModel(SiglipConfig(vision_config=IMAGE, text_config={**text, "projection_size": 16}))
        network.logit_scale.data.fill_(2.0)
        network.logit_bias.data.fill_(-7.0)
        return network
    config = VisionTextDualEncoderConfig.from_vision_text_configs(
        ViTConfig(**IMAGE), BertConfig(**text), projection_dim=8
    )
    return VisionTextDualEncoderModel(config)
