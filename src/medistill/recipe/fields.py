"""Everything a run depends on, as frozen dataclasses."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from medistill.errors import CallError


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """One tower: a transformers architecture, started at random or from saved weights."""

    type: str
    """Model type as transformers names it (resnet, vit, bert, ...); used for a random start."""
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Fields of that type's transformers config; what is not named keeps its default."""
    pretrained: str = ""
    """Folder or hub name to take architecture and weights from instead; `timm:NAME` is an image tower of
    timm. Only names read the network."""
    pooling: Literal["mean", "cls"] = "mean"
    """`mean` over image places or text tokens (no padding, no image class token); `cls`: the class token. A
    pretrained model of sentence-transformers is pooled as its own files say."""
    frozen_layers: int = 0
    """Lowest layers that stay as they are, with what comes before them: no gradient, no dropout, the same in
    teacher and student, computed once a window. Of a BERT-like text tower or a ViT its layers, of a ResNet,
    ConvNeXt or Swin its stages."""
    locked: bool = False
    """The whole tower stays as it is and its projection alone learns. Its features are computed once and kept
    beside the corpus: images are then not decoded, nor augmented, texts not tokenized."""
    lora_rank: int = 0
    """Rank of adapters that are trained in the attention of a pretrained tower in place of its weights (Hu et
    al. 2021); 0: none. They need the extra `lora`. The saved model has them added into its weights."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What to train, on what, and how."""

    name: str
    """Name of the ready recipe this one started from."""
    init: str = ""
    """Run or model folder to start from; its towers and tokenizer then take the place of the recipe's."""

    image: Encoder
    text: Encoder
    dim: int = 128
    """Width of the shared space."""
    head: Literal["linear", "gated"] = "linear"
    """How a tower's features become rows of that space: by a matrix, or by a gated linear unit (Zhang et al.
    2025), which has far more weights and is meant for towers that are locked."""
    size: int = 64
    """Side of the square the image is letterboxed to, in pixels."""
    channels: Literal[1, 3] = 1
    """Grey channels the image tower takes; 3 repeats the one there is."""
    mean: float = 0.5
    """Subtracted from pixels in 0..1."""
    std: float = 0.25
    """Pixels are divided by it after the mean is subtracted."""
    section: Literal["text", "findings", "impression", "random"] = "text"
    """What of a report to train on: the corpus's text, one section of it, or one drawn anew each epoch.
    Validation and evaluation take the text."""
    text_part: Literal["whole", "sentences"] = "whole"
    """What the student reads of it: the whole, or half of the time some of its sentences, drawn anew each
    epoch. A teacher and validation read the whole."""
    max_tokens: int = 96
    """Reports are cut to this many tokens."""
    vocabulary: int = 2000
    """Most entries of the vocabulary trained on the reports; unused with a pretrained text tower."""
    min_patients: int = 20
    """Patients whose reports must hold a word for it to enter the vocabulary: a rare one may be a name."""
    augment: bool = True
    """Small random shift, rotation, scale and exposure; never a flip."""
    augment_strength: float = 1.0
    """How many times as wide the ranges of shift, rotation, scale, exposure and noise are, 0..3."""

    objective: Literal["msd", "clip", "gradcache", "siglip", "moco", "fastclip"] = "msd"
    """`msd`: momentum self-distillation over the window. `clip`: InfoNCE within a micro-batch, a step each.
    `gradcache`: InfoNCE over the window, exact, a step each. `siglip`: the same, a sigmoid for each pair.
    `moco`: a micro-batch against a queue of teacher keys, hard targets, a step each. `fastclip`: as `clip`,
    but over normalizers that are kept for every pair of the corpus."""
    fastclip_version: Literal["v1", "v3"] = "v1"
    """`v1` keeps the temperature as it starts, `v3` learns it (Wei et al. 2024)."""
    window: int = 256
    """Pairs that are compared with each other: the effective batch, over all ranks."""
    micro_batch: int = 16
    """Pairs whose activations are in a device's memory at once."""
    image_micro_batch: int = 0
    """Images of one pass of the image tower where it passes alone (`msd` without a live term, `gradcache`,
    `siglip`, `moco`); 0: as `micro_batch`. Gradients are the same but for rounding."""
    text_micro_batch: int = 0
    """The same of texts and the text tower."""
    micro_per_step: int = 1
    """Micro-batches per optimizer step of `msd`; window / micro_batch is plain gradient accumulation."""
    teacher_chunk: int = 0
    """Micro-batches the teacher encodes at once, without activations; 0: four, which need no more memory than
    one of the student, but one with `checkpoint_activations`, where four would be the peak."""
    alpha: float = 0.2
    """Share of the teacher's similarities in the targets, 0..1."""
    alpha_ramp: float = 1.0
    """Epochs over which alpha rises from 0."""
    live_share: float = 0.0
    """Weight of the in-batch loss on live embeddings, 0..1; a softmax of its own beside the window's. Above 0
    both towers' activations are in memory at once. Over five seeds it gained .008 of report-to-image
    recall@10, and nothing else."""
    momentum: float = 0.9
    """The teacher keeps this much of itself at each optimizer step, at the start of the run. `moco`, whose
    queue mixes keys of many steps, collapsed on some thousand reports where it began at .9 or .99; at .999
    throughout, with a short queue, it did not."""
    momentum_end: float = 0.99
    """The same at the end of the run, reached by a cosine."""
    queue: int = 0
    """Keys of earlier windows that are kept, per modality; `moco` takes four windows where this is 0."""
    queue_warmup: float = 1.0
    """Epochs before the queue is used: keys of a teacher that still moves fast destroy training."""
    queue_max_age: int = 50
    """Windows after which a queued key is dropped."""
    deliver: Literal["teacher", "student"] = "teacher"
    """Which of the two is validated and saved as the run's model, where the objective has both."""

    epochs: int = 8
    lr: float = 1e-3
    """Peak learning rate of AdamW."""
    weight_decay: float = 0.05
    """Not applied to norms, biases and the scale."""
    warmup: float = 0.1
    """Share of the run over which the learning rate rises from 0; a cosine to 0 follows."""
    clip_norm: float = 1.0
    """Gradient norm above which a step is scaled down."""
    scale: float = 14.3
    """Similarities are multiplied by it at the start (1 / 0.07); learned, kept within 1..100."""
    bias: float = -10.0
    """Added to `siglip`'s scaled similarities at the start (Zhai et al. 2023); learned."""
    seed: int = 0
    folds: int = 0
    """Parts that the corpus's patients are cut into, at random but always alike: one is tested on, the others
    are trained and validated on, in place of the corpus's own splits. 0: those."""
    fold: int = 0
    """Which of the folds is tested on, from 0."""

    precision: Literal["auto", "32", "bf16", "fp16"] = "auto"
    """`auto`: float32 on a CPU, bf16 on a card that has it, else fp16. Losses are float32 always."""
    checkpoint_activations: bool = False
    """Keep the input of each block alone and compute the rest again in the backward pass: far less memory,
    about a third more time; the gradient is the same."""
    channels_last: bool = False
    """Keep weights and images of a convolutional tower as (b, h, w, c) in memory: for pretrained BatchNorm on
    a card. From scratch nothing is won: CUDA's GroupNorm turns its input back at every layer."""
    graphs: Literal["auto", "off"] = "auto"
    """`auto`: on a card the towers' passes are captured once as CUDA graphs and replayed, if that gives the
    same gradient; texts are padded to a few lengths. `off`: never. May change on resume."""
    compile: str = ""
    """Backend of torch.compile for both towers (inductor, ...); empty: not compiled."""
    workers: int = 0
    """Processes that decode images; 0 decodes in the training process. May change on resume."""
    log_every: int = 10
    """Windows between lines of metrics.jsonl. May change on resume."""
    validate_every: float = 1.0
    """Epochs between validations."""
    validation_pairs: int = 1000
    """Most validation pairs used during training."""
    checkpoint_seconds: float = 300.0
    """Longest time between checkpoints; one is written at each validation too. May change on resume."""

    def __post_init__(self) -> None:
        _check(self)


MOST_STRENGTH = 3.0
"""Of augmentation: beyond it a curve of the exposure would fall somewhere."""
_LEAST = {
    **dict.fromkeys(("window", "micro_batch", "micro_per_step", "dim", "size", "epochs", "log_every"), 1),
    **dict.fromkeys(("queue_max_age", "validation_pairs", "min_patients"), 1),
    **dict.fromkeys(("seed", "workers", "queue", "queue_warmup", "alpha_ramp", "weight_decay"), 0),
    **dict.fromkeys(("teacher_chunk", "image_micro_batch", "text_micro_batch"), 0),
    **dict.fromkeys(("checkpoint_seconds", "folds", "fold"), 0),
    "max_tokens": 3,  # a word between the two tokens that mark a text's ends
    "vocabulary": 200,  # letters, digits and punctuation alone take about a hundred
}


def _check(recipe: Recipe) -> None:
    """CallError for a value no run can use, naming the field."""
    values = {f.name: getattr(recipe, f.name) for f in dataclasses.fields(recipe)}
    for name, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise CallError(f"{name} is {value}; it must be a finite number")
        if name in _LEAST and value < _LEAST[name]:
            raise CallError(f"{name} is {value}; it must be at least {_LEAST[name]}")
    for name in ("alpha", "live_share", "momentum", "momentum_end", "warmup"):
        if not 0 <= values[name] <= 1:
            raise CallError(f"{name} is {values[name]}; it must lie in 0..1")
    for name in ("lr", "std", "scale", "validate_every", "clip_norm"):
        if values[name] <= 0:
            raise CallError(f"{name} is {values[name]}; it must be above 0")
    if not 0 <= recipe.augment_strength <= MOST_STRENGTH:
        raise CallError(f"augment_strength is {recipe.augment_strength}; it must lie in 0..{MOST_STRENGTH:g}")
    if recipe.folds == 1:
        raise CallError(
            "folds is 1; it must be 0 or at least 2, since one is tested on and the rest trained on"
        )
    if recipe.fold >= max(recipe.folds, 1):
        raise CallError(f"fold is {recipe.fold} of {recipe.folds} folds; it counts from 0, see --folds")
    if recipe.micro_batch > recipe.window:
        raise CallError(f"micro_batch {recipe.micro_batch} is larger than window {recipe.window}")
    most = -(-recipe.window // recipe.micro_batch)
    if recipe.micro_per_step > most:
        raise CallError(f"micro_per_step is {recipe.micro_per_step}; a window has {most} micro-batches")
