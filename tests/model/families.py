"""One small model of each family of towers, saved in a folder as people have them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import (
    BertConfig,
    BertModel,
    CLIPTextConfig,
    CLIPTextModel,
    ConvNextConfig,
    ConvNextModel,
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    DINOv3ViTConfig,
    DINOv3ViTModel,
    DistilBertConfig,
    DistilBertModel,
    ModernBertConfig,
    ModernBertModel,
    MPNetConfig,
    MPNetModel,
    PreTrainedModel,
    ResNetConfig,
    ResNetModel,
    RobertaConfig,
    RobertaModel,
    SiglipVisionConfig,
    SiglipVisionModel,
    SwinConfig,
    SwinModel,
    ViTConfig,
    ViTModel,
)

from tests.model.foreign_models import LAYER, SPECIAL, TEXT, rewrite, tiny_tokenizer

SIDE = {**LAYER, "image_size": 32, "patch_size": 8}
STAGES = {"hidden_sizes": [8, 16], "depths": [1, 1]}
_DISTIL = {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 16, "vocab_size": 200}
IMAGES: dict[str, Callable[[], PreTrainedModel]] = {
    "vit": lambda: ViTModel(ViTConfig(**SIDE)),
    "dinov2": lambda: Dinov2Model(Dinov2Config(**{**SIDE, "mlp_ratio": 1})),
    "dinov2_with_registers": lambda: Dinov2WithRegistersModel(
        Dinov2WithRegistersConfig(**{**SIDE, "mlp_ratio": 1}, num_register_tokens=3)
    ),
    "dinov3_vit": lambda: DINOv3ViTModel(DINOv3ViTConfig(**SIDE, num_register_tokens=3)),
    "swin": lambda: SwinModel(
        SwinConfig(image_size=32, patch_size=4, window_size=4, embed_dim=8, depths=[1, 1], num_heads=[1, 2])
    ),
    "convnext": lambda: ConvNextModel(ConvNextConfig(**STAGES, num_stages=2)),
    "resnet": lambda: ResNetModel(ResNetConfig(**STAGES, embedding_size=8, layer_type="basic")),
    "siglip_vision": lambda: SiglipVisionModel(SiglipVisionConfig(**SIDE)),
}
"""At 32 pixels and three channels, of width 16."""
TEXTS: dict[str, Callable[[], PreTrainedModel]] = {
    "bert": lambda: BertModel(BertConfig(**TEXT)),
    "roberta": lambda: RobertaModel(RobertaConfig(**{**TEXT, "max_position_embeddings": 18})),
    "distilbert": lambda: DistilBertModel(DistilBertConfig(**_DISTIL, max_position_embeddings=16)),
    "mpnet": lambda: MPNetModel(MPNetConfig(**{**TEXT, "max_position_embeddings": 18})),
    "modernbert": lambda: ModernBertModel(
        ModernBertConfig(**TEXT, cls_token_id=2, sep_token_id=3, local_attention=8)
    ),
    "clip_text": lambda: CLIPTextModel(CLIPTextConfig(**{**LAYER, **SPECIAL, "vocab_size": 200})),
    "sentence": lambda: BertModel(BertConfig(**TEXT)),
}
"""Of width 16; `sentence` is pooled by its class token and made unit."""


def save_family(folder: Path, name: str) -> Any:
    """The network of that name, saved with what lies beside it in a folder of its kind; in eval mode."""
    torch.manual_seed(0)
    network: Any = {**IMAGES, **TEXTS}[name]().eval()
    with torch.no_grad():
        for weights in network.parameters():  # biases, norms and tokens that a fresh network has at 0 or 1
            weights += 0.1 * torch.randn(weights.shape)
    network.save_pretrained(folder)
    if name in TEXTS:
        tiny_tokenizer().save_pretrained(folder)
    if name == "sentence":
        write_modules(folder, pooling_mode_cls_token=True, pooling_mode_mean_tokens=False)
    return network


def write_modules(folder: Path, *modules: str, **pooling: object) -> None:
    """The files by which sentence-transformers says how rows come of a transformer."""
    kinds = ("Transformer", "Pooling", *(modules or ("Normalize",)))
    listed = [
        {
            "idx": i,
            "name": str(i),
            "path": f"{i}_{kind}" if i else "",
            "type": f"sentence_transformers.models.{kind}",
        }
        for i, kind in enumerate(kinds)
    ]
    (folder / "1_Pooling").mkdir(exist_ok=True)
    rewrite(folder / "1_Pooling" / "config.json", word_embedding_dimension=16, **pooling)
    (folder / "modules.json").write_text(json.dumps(listed))
