"""A model as a folder of open_clip, which needs nothing of ours."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from medistill.errors import CallError
from medistill.model.dual import DualEncoder
from medistill.model.embedder import UnitEmbedder
from medistill.model.foreign.open_clip import PREFIX, open_clip_library, open_open_clip
from medistill.serve.export.faithful import ALLOWED, described, expect_equal, write_account
from medistill.serve.export.vit_bert import (
    TEXTS,
    color_patches,
    expect_vit_and_bert,
    patch_embedding,
    refusal,
    write_tokenizer,
)

LIBRARY = "open_clip"
CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"
_POOLING = {"cls": ("tok", "cls_last_hidden_state_pooler"), "mean": ("avg", "mean_pooler")}
"""What open_clip calls our poolings, of its own image tower and of a text tower of transformers."""
PLACE = (
    "text_cfg.hf_model_name in open_clip_config.json is this folder, where open_clip reads config.json: "
    "change it when the folder is moved, and to the name of the repository when it is published"
)
LETTERBOX = (
    "images are fitted and padded as medistill does it, but for a side that comes out at half a pixel, which "
    "open_clip rounds to the even number and medistill up"
)


def export_open_clip(model: DualEncoder, folder: Path, out: Path) -> dict[str, Any]:
    """Write config, weights, tokenizer and export.json; returns the account.

    out   where the folder will lie in the end
    CallError for towers that open_clip's own vision transformer or its text tower cannot express,
    MedistillError if open_clip is installed and embeds otherwise.
    """
    _expect_expressible(model)
    _write_json(
        folder / "config.json",
        model.text.config.to_dict() | {"model_type": str(model.text.config.model_type)},
    )
    write_tokenizer(model, folder)
    weights = {**_image_weights(model), **_text_weights(model), "logit_scale": model.log_scale.detach()}
    if model.bias is not None:
        weights["logit_bias"] = model.bias.detach()
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, folder / WEIGHTS)
    account = described(model, "open_clip") | {"letterbox": LETTERBOX, "place": PLACE}
    _write_json(folder / CONFIG, _config(model, folder.absolute()))
    account["checked"] = check(model, folder)
    _write_json(folder / CONFIG, _config(model, out.absolute()))
    write_account(folder, account)
    return account


def _expect_expressible(model: DualEncoder) -> None:
    expect_vit_and_bert(model, LIBRARY)
    image, patch = model.image.config, patch_embedding(model)
    if image.hidden_act != "gelu":
        raise CallError(refusal(LIBRARY, f"an image tower with the activation {image.hidden_act!r}", "gelu"))
    if patch.kernel_size[0] != patch.kernel_size[1]:
        raise CallError(refusal(LIBRARY, f"patches of {tuple(patch.kernel_size)} pixels", "square ones"))


def _config(model: DualEncoder, place: Path) -> dict[str, Any]:
    image = model.image.config
    pool, pooler = _POOLING[model.image.pooling][0], _POOLING[model.text.pooling][1]
    vision = {
        "image_size": model.size,
        "patch_size": patch_embedding(model).kernel_size[0],
        "layers": image.num_hidden_layers,
        "width": image.hidden_size,
        "head_width": image.hidden_size // image.num_attention_heads,
        "mlp_ratio": _ratio(image.hidden_size, image.intermediate_size),
        "no_ln_pre": True,
        "pool_type": pool,
        "norm_kwargs": {"eps": image.layer_norm_eps},
    }
    text = {
        "hf_model_name": str(place),
        "hf_model_pretrained": False,
        "hf_tokenizer_name": str(place),
        "hf_proj_type": "linear",
        "hf_pooler_type": pooler,
        "context_length": model.max_tokens,
    }
    pixels = {
        "size": model.size,
        "mean": [model.mean] * 3,
        "std": [model.std] * 3,
        "interpolation": "bicubic",
        "resize_mode": "longest",
        "fill_color": 0,
    }
    biased = {} if model.bias is None else {"init_logit_bias": 0.0}
    shape = {"embed_dim": model.dim, "vision_cfg": vision, "text_cfg": text, "custom_text": True, **biased}
    return {"model_cfg": shape, "preprocess_cfg": pixels}


def _ratio(width: int, inner: int) -> float:
    """What open_clip multiplies the width by and cuts to a whole number, to arrive at `inner`."""
    ratio = inner / width
    return ratio if int(width * ratio) == inner else (inner + 0.5) / width


def _image_weights(model: DualEncoder) -> dict[str, Tensor]:
    """Ours under open_clip's names: its patches have no bias, so the places of the patches carry it."""
    ours = model.image.backbone.state_dict()
    places = ours["embeddings.position_embeddings"][0].clone()
    places[1:] += patch_embedding(model).bias.detach()
    weights = {
        "visual.conv1.weight": color_patches(model),
        "visual.class_embedding": ours["embeddings.cls_token"].flatten(),
        "visual.positional_embedding": places,
        "visual.ln_post.weight": ours["layernorm.weight"],
        "visual.ln_post.bias": ours["layernorm.bias"],
        "visual.proj": model.image_projection.get_parameter("weight").detach().T,
    }
    for layer in range(model.image.config.num_hidden_layers):
        weights |= _block(ours, f"layers.{layer}", f"visual.transformer.resblocks.{layer}")
    return weights


def _block(ours: dict[str, Tensor], layer: str, block: str) -> dict[str, Tensor]:
    """One layer; query, key and value are one matrix in open_clip, and always have a bias."""
    names = {
        "ln_1": "layernorm_before",
        "ln_2": "layernorm_after",
        "attn.out_proj": "attention.o_proj",
        "mlp.c_fc": "mlp.fc1",
        "mlp.c_proj": "mlp.fc2",
    }
    weights = {
        f"{block}.{theirs}.{kind}": ours[f"{layer}.{name}.{kind}"]
        for theirs, name in names.items()
        for kind in ("weight", "bias")
    }
    parts = [f"{layer}.attention.{part}_proj" for part in "qkv"]
    matrices = [ours[f"{part}.weight"] for part in parts]
    biases = [
        ours.get(f"{part}.bias", torch.zeros(len(matrix)))
        for part, matrix in zip(parts, matrices, strict=True)
    ]
    return weights | {
        f"{block}.attn.in_proj_weight": torch.cat(matrices),
        f"{block}.attn.in_proj_bias": torch.cat(biases),
    }


def _text_weights(model: DualEncoder) -> dict[str, Tensor]:
    return {
        **{f"text.transformer.{name}": tensor for name, tensor in model.text.backbone.state_dict().items()},
        "text.proj.weight": model.text_projection.get_parameter("weight").detach(),
    }


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", "utf-8")


def check(model: DualEncoder, folder: Path) -> dict[str, Any]:
    """How far the folder's embeddings, as open_clip makes them, are from the model's; or why that is unknown.

    MedistillError if they are further than allowed.
    """
    try:
        library = open_clip_library()
    except CallError as error:
        return {"by": None, "reason": str(error)}
    theirs, ours = UnitEmbedder(open_open_clip(f"local-dir:{folder}")), UnitEmbedder(model)
    random = np.random.default_rng(0)
    squares = [random.integers(0, 256, (model.size, model.size), dtype=np.uint8) for _ in range(4)]
    pictures = [Image.fromarray(square) for square in squares]
    apart = max(
        float(np.abs(theirs.encode_images(pictures) - ours.encode_images(squares)).max()),
        float(np.abs(theirs.encode_texts(TEXTS) - ours.encode_texts(TEXTS)).max()),
    )
    return {
        "by": f"open_clip {library.__version__}, torch {torch.__version__}",
        "allowed": ALLOWED,
        "largest_difference": expect_equal(apart, f"the towers in {PREFIX.rstrip(':')}"),
    }
