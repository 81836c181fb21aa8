"""Ready recipes."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from medistill.recipe.fields import Encoder, Recipe


def _small_resnet() -> Encoder:
    """1.2 M parameters at widths 32..256, one block a stage; GroupNorm takes the place of BatchNorm."""
    widths = {"embedding_size": 32, "hidden_sizes": [32, 64, 128, 256], "depths": [1, 1, 1, 1]}
    return Encoder(type="resnet", config={**widths, "layer_type": "basic"})


def _small_bert() -> Encoder:
    """0.2 M parameters: one layer of width 128."""
    shape = {"hidden_size": 128, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 256}
    dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return Encoder(type="bert", config={**shape, **dropout})


def quickstart() -> Recipe:
    """About a minute on two CPU cores: 64-pixel phantoms, 1.7 M parameters.

    Memory: weights 7 MB, as much for gradients and for the teacher, 13 MB for AdamW's moments; activations
    1.3 MB a pair, 21 MB a micro-batch; keys 0.3 MB. The process takes 0.6 GB, most of it its libraries.
    """
    towers: dict[str, Any] = {"image": _small_resnet(), "text": _small_bert()}
    return Recipe(name="quickstart", **towers, epochs=3, lr=7e-4, augment=False, live_share=0.3)


def small() -> Recipe:
    """Some minutes on two CPU cores for a few thousand pairs: the towers of `quickstart` at 96 pixels.

    Memory: as `quickstart`, but activations of 2.1 MB a pair, 34 MB a micro-batch; the process takes 0.7 GB.
    """
    return Recipe(name="small", image=_small_resnet(), text=_small_bert(), size=96, epochs=30, lr=5e-4)


def indiana() -> Recipe:
    """Some fifteen minutes on two CPU cores for the Indiana radiographs: `small` for some thousand reports.

    With so few, learning them by heart is what binds, not the batch: half of the time a text is cut to some
    of its sentences, and images are moved and exposed half as much again. The objective is the plain one:
    none was shown to find more reports, and msd gives less to a probe (docs/benchmarks.md). Figures are in
    docs/real-data.md.

    Memory: as `small`, whose towers it has; no teacher.
    """
    steps: dict[str, Any] = {"objective": "clip", "window": 16, "micro_batch": 16, "epochs": 40, "lr": 7e-4}
    views: dict[str, Any] = {"text_part": "sentences", "augment_strength": 1.5}
    return dataclasses.replace(small(), name="indiana", **views, **steps)


def chest_resnet50() -> Recipe:
    """ResNet-50 and BERT-base at 224 pixels, window 1,024, for a card of 11 GB.

    Memory: 115 M parameters in float32 are 0.46 GB; gradients and teacher as much each, AdamW's moments
    0.92 GB: 2.3 GB in all. Activations of a pair on a card in bf16: 44 MB image, 41 MB text: 1.4 GB for 32
    pairs, one tower at a time, and up to 0.17 GB of weights in bf16. In float32: 86 MB image, 78 MB text (114
    on a CPU, which keeps the attention). Keys of the window: 2 MB. Counted by saved tensors
    (benchmarks/bytes_a_pair.py), not measured on a card: `medistill plan` does that.

    A random start needs a large corpus; `--image.pretrained` and `--text.pretrained` name weights to use.
    """
    return Recipe(name="chest_resnet50", image=Encoder(type="resnet"), text=Encoder(type="bert"), **_CHEST)


def chest_vitb() -> Recipe:
    """ViT-B/16 and BERT-base, pooled by their class tokens; otherwise as `chest_resnet50`.

    `medistill export --to hub` can express this one: transformers' dual encoder takes class tokens alone.

    Memory: 177 M parameters in float32 are 0.71 GB; with gradients, teacher and moments 3.5 GB. Activations
    of a pair on a card in bf16: 59 MB image, 41 MB text, so 1.9 GB for 32 pairs; in float32 118 and 79.
    """
    image, text = (Encoder(type=kind, pooling="cls") for kind in ("vit", "bert"))
    return Recipe(name="chest_vitb", image=image, text=text, **_CHEST)


def msd_paper() -> Recipe:
    """The paper's own setting (arXiv 2512.02438), as far as it is known, on the towers of `chest_resnet50`.

    Known: the whole window's gradient accumulated into one optimizer step, dual momentum queues, soft
    targets, no live term. Window and micro-batch are those of the authors' earlier SOCOLA (1,024 and 32);
    momentum, alpha, its ramp, queue, temperature and learning rate those of ALBEF, whose targets these are.
    """
    known = {"micro_per_step": 32, "queue": 65536, "queue_max_age": 64}
    albef = {"momentum": 0.995, "momentum_end": 0.995, "alpha": 0.4, "alpha_ramp": 1.0, "queue_warmup": 0.0}
    values: dict[str, Any] = {**_CHEST, **known, **albef}
    return Recipe(name="msd_paper", image=Encoder(type="resnet"), text=Encoder(type="bert"), **values)


# Width, weight decay and learning rate are those of ALBEF's pretraining, an ancestor of the method.
_CHEST: dict[str, Any] = {
    "dim": 256,
    "size": 224,
    "max_tokens": 128,
    "vocabulary": 8000,
    "window": 1024,
    "micro_batch": 32,
    "momentum": 0.99,
    "momentum_end": 0.995,
    "epochs": 30,
    "lr": 1e-4,
    "weight_decay": 0.02,
    "workers": 4,
}
RECIPES: Mapping[str, Callable[[], Recipe]] = {
    f.__name__: f for f in (quickstart, small, indiana, chest_resnet50, chest_vitb, msd_paper)
}
"""Ready recipes by name."""
