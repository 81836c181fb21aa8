"""The dual encoder: two towers, one shared space, one scale."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image
from safetensors.torch import load_file, save
from tokenizers import Tokenizer
from torch import Tensor, nn

from medistill.atomic import write_atomically
from medistill.data.image import grey_array, letterbox
from medistill.errors import CallError, MedistillError
from medistill.model.encoder import (
    ImageTower,
    TextTower,
    build_image_tower,
    build_text_tower,
    config_from_dict,
    restore_image_tower,
    restore_text_tower,
)
from medistill.model.tokenizer import load_tokenizer, pad_id, tokenize, train_tokenizer
from medistill.recipe import Recipe

FORMAT = 1
MIN_SCALE, MAX_SCALE = 1.0, 100.0


class Embeddings(NamedTuple):
    """What one forward pass gives."""

    image: Float[Tensor, "b d"]
    """Unit norm."""
    text: Float[Tensor, "b d"]
    """Unit norm."""
    scale: Float[Tensor, ""]


class DualEncoder(nn.Module):
    """Image tower and text tower with bias-free projections to unit vectors of width `dim`.

    `size`, `channels`, `mean` and `std` say how 8-bit grey images become input; `max_tokens` cuts texts.
    """

    def __init__(
        self,
        image: ImageTower,
        text: TextTower,
        tokenizer: Tokenizer,
        *,
        dim: int,
        size: int,
        channels: int,
        mean: float,
        std: float,
        max_tokens: int,
        scale: float,
    ):
        super().__init__()
        self.image, self.text, self.tokenizer = image, text, tokenizer
        self.dim, self.size, self.channels = dim, size, channels
        self.mean, self.std, self.max_tokens = mean, std, max_tokens
        self.image_projection = nn.Linear(image.width, dim, bias=False)
        self.text_projection = nn.Linear(text.width, dim, bias=False)
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))

    def forward(
        self, images: UInt8[Tensor, "b h w"], tokens: Int[Tensor, "b l"], mask: Bool[Tensor, "b l"]
    ) -> Embeddings:
        """Unit embeddings of b pairs and the scale: the one way in while training."""
        return Embeddings(self.embed_images(images), self.embed_tokens(tokens, mask), self.log_scale.exp())

    def embed_images(self, images: UInt8[Tensor, "b h w"]) -> Float[Tensor, "b d"]:
        """Unit embeddings of 8-bit grey images of the model's size."""
        pixels = (images[:, None].to(self.image_projection.weight.dtype) / 255 - self.mean) / self.std
        return _unit(self.image_projection(self.image(pixels.expand(-1, self.channels, -1, -1))))

    def embed_tokens(self, tokens: Int[Tensor, "b l"], mask: Bool[Tensor, "b l"]) -> Float[Tensor, "b d"]:
        """Unit embeddings of token ids."""
        return _unit(self.text_projection(self.text(tokens, mask)))

    @property
    def scale(self) -> float:
        """What similarities are multiplied by."""
        return float(self.log_scale.detach().exp())

    @torch.no_grad()
    def clamp_scale(self) -> None:
        """Keep the scale within 1..100, in place."""
        self.log_scale.clamp_(math.log(MIN_SCALE), math.log(MAX_SCALE))

    @torch.no_grad()
    def encode_images(
        self, images: Sequence[Image.Image | np.ndarray], *, batch_size: int = 64
    ) -> Float[Tensor, "n d"]:
        """Unit rows on the CPU for PIL images or 2-D uint8 arrays of any size."""
        if not len(images):
            return torch.zeros(0, self.dim)
        arrays = (grey_array(x) if isinstance(x, Image.Image) else x for x in images)
        squares = torch.from_numpy(np.stack([letterbox(x, self.size) for x in arrays]))
        return self._in_eval(self.embed_images, squares.split(batch_size))

    @torch.no_grad()
    def encode_texts(self, texts: Sequence[str], *, batch_size: int = 64) -> Float[Tensor, "n d"]:
        """Unit rows on the CPU."""
        if not len(texts):
            return torch.zeros(0, self.dim)
        parts = [texts[i : i + batch_size] for i in range(0, len(texts), batch_size)]

        def embed(part: Sequence[str]) -> Tensor:
            tokens, mask = tokenize(self.tokenizer, part, self.max_tokens)
            device = self.log_scale.device
            return self.embed_tokens(tokens.to(device), mask.to(device))

        return self._in_eval(embed, parts)

    def _in_eval(self, embed: Any, parts: Sequence[Any]) -> Float[Tensor, "n d"]:
        """Rows of all parts with dropout off, the mode restored afterwards."""
        training, device = self.training, self.log_scale.device
        self.eval()
        try:
            moved = (p.to(device) if isinstance(p, Tensor) else p for p in parts)
            return torch.cat([embed(part).float().cpu() for part in moved])
        finally:
            self.train(training)


def build_model(recipe: Recipe, texts: Sequence[str], patients: Sequence[str]) -> DualEncoder:
    """The model a recipe describes; the tokenizer is trained on `texts` unless the text tower brings one."""
    if recipe.text.pretrained:
        tokenizer = load_tokenizer(recipe.text.pretrained)
    else:
        tokenizer = train_tokenizer(
            texts, patients, vocabulary=recipe.vocabulary, min_patients=recipe.min_patients
        )
    image = build_image_tower(recipe.image, size=recipe.size, channels=recipe.channels)
    text = build_text_tower(
        recipe.text,
        vocabulary=tokenizer.get_vocab_size(),
        pad=pad_id(tokenizer),
        max_tokens=recipe.max_tokens,
    )
    return DualEncoder(
        image,
        text,
        tokenizer,
        dim=recipe.dim,
        size=recipe.size,
        channels=recipe.channels,
        mean=recipe.mean,
        std=recipe.std,
        max_tokens=recipe.max_tokens,
        scale=recipe.scale,
    )


def save_model(model: DualEncoder, folder: Path) -> None:
    """Write model.safetensors, config.json and tokenizer.json, each whole or not at all: all `load` needs."""
    config = {
        "format": FORMAT,
        **{name: getattr(model, name) for name in ("dim", "size", "channels", "mean", "std", "max_tokens")},
        "image": _tower_config(model.image),
        "text": _tower_config(model.text),
    }
    weights = save({name: tensor.contiguous() for name, tensor in model.state_dict().items()})
    write_atomically(folder / "tokenizer.json", model.tokenizer.to_str(pretty=True))
    write_atomically(folder / "config.json", json.dumps(config, indent=1, sort_keys=True) + "\n")
    write_atomically(folder / "model.safetensors", weights)


def load(path: str | Path) -> DualEncoder:
    """The model of a run folder or model folder, in eval mode on the CPU; reads no pickle and no network."""
    folder = _model_folder(Path(path))
    try:
        return _restored(folder, json.loads((folder / "config.json").read_text("utf-8")))
    except MedistillError:
        raise
    except Exception as error:  # tokenizers raises bare Exception, safetensors its own
        raise CallError(f"the model in {path} is damaged ({type(error).__name__})") from error


def _restored(folder: Path, config: dict[str, Any]) -> DualEncoder:
    if config.get("format") != FORMAT:
        raise CallError(
            f"the model in {folder} has format {config.get('format')}, this version reads {FORMAT}; "
            "use the medistill version that wrote it"
        )
    model = DualEncoder(
        restore_image_tower(**_tower_arguments(config["image"])),
        restore_text_tower(**_tower_arguments(config["text"])),
        Tokenizer.from_file(str(folder / "tokenizer.json")),
        **{name: config[name] for name in ("dim", "size", "channels", "mean", "std", "max_tokens")},
        scale=1.0,
    )
    model.load_state_dict(load_file(folder / "model.safetensors"))
    return model.eval()


def _model_folder(path: Path) -> Path:
    if str(path).startswith(("open_clip:", "hf:")):
        raise CallError(f"{path}: models of other libraries cannot be loaded yet; give a run or model folder")
    for folder in (path / "model", path):
        if (folder / "model.safetensors").is_file() and (folder / "config.json").is_file():
            return folder
    raise CallError(f"no model in {path}: expected model.safetensors there or in its folder `model`")


def _tower_config(tower: ImageTower | TextTower) -> dict[str, Any]:
    shape = {
        k: v for k, v in tower.config.to_dict().items() if k not in ("_name_or_path", "transformers_version")
    }
    return {"config": shape, "pooling": tower.pooling, "frozen_norm": tower.frozen_norm}


def _tower_arguments(saved: Mapping[str, Any]) -> dict[str, Any]:
    return {**saved, "config": config_from_dict(saved["config"])}


def _unit(x: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
    """Rows of norm 1, in float32 or wider whatever the tower's precision."""
    return F.normalize(x if x.dtype == torch.float64 else x.float(), dim=1)
