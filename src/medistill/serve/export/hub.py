"""A model as transformers' VisionTextDualEncoderModel, which needs nothing of ours."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import (
    AutoTokenizer,
    VisionTextDualEncoderConfig,
    VisionTextDualEncoderModel,
    __version__,
)

from medistill.errors import CallError
from medistill.model.dual import DualEncoder
from medistill.model.tokenizer import tokenize
from medistill.model.towers.pretrained import without_bars
from medistill.serve.card.facts import gather
from medistill.serve.card.metadata import front_matter
from medistill.serve.card.text import body
from medistill.serve.export.faithful import ALLOWED, described, expect_equal, write_account
from medistill.serve.export.vit_bert import (
    PATCHES,
    TEXTS,
    color_patches,
    expect_vit_and_bert,
    refusal,
    write_tokenizer,
)

CARD = "README.md"
_TEMPLATES = Path(__file__).with_name("templates")
LIBRARY = "transformers' VisionTextDualEncoderModel"
_SMALL = 2.0**-12
"""BERT's pooler ends in a tanh. Given a class token this much smaller it passes it on, changed by less than
(27 / 4096)^2 / 3 = 1.5e-5 of itself (27: the largest a number can be after a LayerNorm of width 768), and the
projection, which has no bias, makes up for the factor. A power of two: the factor itself rounds nothing."""
LETTERBOX = (
    "squares are resized as medistill resizes them; of other images the longer side is fitted and the rest "
    "is black, but the processor rounds a side and centers it within one pixel of medistill's letterbox"
)


def export_hub(model: DualEncoder, folder: Path, source: Path) -> dict[str, Any]:
    """Write config, weights, tokenizer, image processor, card and export.json; returns the account.

    source   the run or model folder, for the card
    CallError for towers or a pooling the class cannot express, MedistillError if it embeds otherwise.
    """
    _expect_expressible(model)
    network = VisionTextDualEncoderModel(_config(model))
    network.load_state_dict(_weights(model))
    with without_bars():
        network.eval().save_pretrained(folder)
    write_tokenizer(model, folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(_processor(model), indent=1) + "\n", "utf-8")
    account = described(model, "hub") | {
        "loads_as": LIBRARY,
        "letterbox": LETTERBOX,
        "checked": {
            "by": f"transformers {__version__}",
            "allowed": ALLOWED,
            "largest_difference": expect_equal(_largest_difference(model, folder), "the exported towers"),
        },
    }
    write_account(folder, account)
    write_hub_card(source, model, account, folder)
    return account


def _expect_expressible(model: DualEncoder) -> None:
    expect_vit_and_bert(model, LIBRARY)
    for name, tower in (("image", model.image), ("text", model.text)):
        if tower.pooling != "cls":
            raise CallError(
                refusal(LIBRARY, f"the {name} tower's pooling {tower.pooling!r}", "the class token's (`cls`)")
            )


def _config(model: DualEncoder) -> VisionTextDualEncoderConfig:
    """Three channels, since image processors give color, and no activation behind the ViT's pooler."""
    color = {"num_channels": 3, "pooler_act": "linear", "pooler_output_size": model.image.width}
    return VisionTextDualEncoderConfig(
        vision_config=model.image.config.to_dict() | color,
        text_config=model.text.config.to_dict(),
        projection_dim=model.dim,
        logit_scale_init_value=float(model.log_scale.detach()),
    )


def _weights(model: DualEncoder) -> dict[str, Tensor]:
    """Ours under that class's names; what its poolers would do is undone."""
    image = model.image.backbone.state_dict() | {f"{PATCHES}.weight": color_patches(model)}
    return {
        **{f"vision_model.{name}": tensor for name, tensor in image.items()},
        **{f"text_model.{name}": tensor for name, tensor in model.text.backbone.state_dict().items()},
        **_passing_on("vision_model.pooler.dense", model.image.width, 1.0),
        **_passing_on("text_model.pooler.dense", model.text.width, _SMALL),
        "visual_projection.weight": model.image_projection.get_parameter("weight").detach(),
        "text_projection.weight": model.text_projection.get_parameter("weight").detach() / _SMALL,
        "logit_scale": model.log_scale.detach(),
    }


def _passing_on(name: str, width: int, factor: float) -> dict[str, Tensor]:
    return {f"{name}.weight": factor * torch.eye(width), f"{name}.bias": torch.zeros(width)}


def _processor(model: DualEncoder) -> dict[str, Any]:
    """The letterbox in the words of transformers: fit the longer side, then pad with black to a square."""
    side = model.size
    return {
        "image_processor_type": "ViTImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": side, "longest_edge": side},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": side, "width": side},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [model.mean] * 3,
        "image_std": [model.std] * 3,
    }


@torch.no_grad()
def _largest_difference(model: DualEncoder, folder: Path) -> float:
    """Between ours and the folder as it is read back: on the same pixels, and on texts by its tokenizer."""
    with without_bars():
        read: Any = VisionTextDualEncoderModel.from_pretrained(folder, local_files_only=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    squares = np.random.default_rng(0).integers(0, 256, (4, model.size, model.size), dtype=np.uint8)
    pixels = (torch.from_numpy(squares)[:, None].float() / 255 - model.mean) / model.std
    images = read.get_image_features(pixel_values=pixels.expand(-1, 3, -1, -1)).pooler_output
    words = tokenizer(list(TEXTS), padding=True, truncation=True, return_tensors="pt")
    texts = read.get_text_features(**words).pooler_output
    tokens = tokenize(model.tokenizer, TEXTS, model.max_tokens)
    pairs = ((images, model.embed_images(torch.from_numpy(squares))), (texts, model.embed_tokens(*tokens)))
    apart = [(nn.functional.normalize(rows) - own).abs().max() for rows, own in pairs]
    return float(torch.stack(apart).max())  # torch's, which passes a NaN on; Python's may lose one


def write_hub_card(source: Path, model: DualEncoder, account: Mapping[str, Any], folder: Path) -> None:
    """README.md: the facts of the run `source`, or, of a model folder alone, what the weights tell."""
    letterbox = str(account["letterbox"])
    loading = _text("use.txt", letterbox=letterbox[0].upper() + letterbox[1:])
    if (source / "model").is_dir():
        facts = gather(source)
        text = f"{front_matter(facts, library='transformers')}\n{body(facts, loading=loading)}"
    else:
        known = {"sha256": account["model_sha256"], "size": model.size, "max_tokens": model.max_tokens}
        text = _text("alone.md", **known) + loading
    (folder / CARD).write_text(text, "utf-8")


def _text(name: str, **values: Any) -> str:
    """A template with the values in their places."""
    return (_TEMPLATES / name).read_text("utf-8").format(**values)
