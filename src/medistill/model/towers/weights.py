"""Whether the weights of a checkpoint are those of its model: what is lacking, what is left over."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

from medistill.errors import CallError

Modality = Literal["image", "text"]

_log = logging.getLogger(__name__)

WRAPPERS = ("module", "model", "_orig_mod", "state_dict", "network", "backbone", "encoder", "base_model")
"""What training code puts before every name of a model: DataParallel, torch.compile, Lightning, a wrapper."""
TOWERS: Mapping[Modality, tuple[str, ...]] = {
    "image": (
        "image_encoder",
        "image_model",
        "image_tower",
        "img_encoder",
        "vision_encoder",
        "vision_model",
        "vision_tower",
        "visual_encoder",
        "visual",
        "vision",
        "image",
    ),
    "text": (
        "text_encoder",
        "text_model",
        "text_tower",
        "txt_encoder",
        "bert_model",
        "bert_encoder",
        "language_model",
        "language_encoder",
        "text",
        "bert",
        "roberta",
        "lm",
    ),
}
"""What models of two towers call them."""
_BESIDE = (
    # Heads, which say nothing of the tower: those of transformers, and of papers' checkpoints.
    *("classifier", "cls", "cls_projection_head", "decoder", "distillation_classifier", "fc", "head"),
    *("discriminator_predictions", "generator_lm_head", "generator_predictions", "lm_head", "pooler"),
    *("predictions", "qa_outputs", "score", "seq_relationship", "vocab_layer_norm", "vocab_projector"),
    "vocab_transform",
    # What holds two towers together.
    *("image_projection", "img_projection", "logit_bias", "logit_scale", "projection", "temperature"),
    *("text_projection", "vision_projection", "visual_projection"),
)
"""First words of weights that may lie beside those of a tower, as those of the other tower may."""
_OTHER: Mapping[Modality, Modality] = {"image": "text", "text": "image"}
_COMPUTED = (
    *("position_ids", "token_type_ids", "num_batches_tracked", "relative_position_index"),
    *("relative_coords_table", "rotary_emb.inv_freq", "mask_token"),
)


def judge_weights(
    name: str, *, missing: Iterable[str], unexpected: Iterable[str], misshapen: Iterable[str]
) -> None:
    """Note what a checkpoint holds beyond its model; CallError for weights it lacks."""
    expect_all(name, missing=missing, misshapen=misshapen)
    extra = sorted(unexpected)
    old, others = [key for key in extra if is_computed(key)], [key for key in extra if not is_computed(key)]
    if old:
        _log.info(f"{name}: an older checkpoint; left out {some(old)}, which the model computes by itself")
    if others:
        _log.warning(f"{name}: {len(others)} weights have no place in the model, left out ({some(others)})")


def expect_all(name: str, *, missing: Iterable[str], misshapen: Iterable[str]) -> None:
    """CallError for weights that a checkpoint lacks, or has in another shape."""
    lacking = lacks(missing, misshapen)
    if lacking:
        raise CallError(
            f"{name} lacks {len(lacking)} weights of its model or has them in another shape "
            f"({some(lacking)}); they would be random: save the whole model again with its own config.json"
        )


def lacks(missing: Iterable[str], misshapen: Iterable[str]) -> list[str]:
    """Those that would be random."""
    return [*(key for key in missing if not is_computed(key)), *misshapen]


def expect_known(name: str, left_over: Iterable[str], modality: Modality, *, base: str) -> None:
    """Note heads and other towers beside the weights of a tower; CallError for anything else.

    base   what transformers puts before the tower's names in a model with a head (`bert`, `vit`, ...)
    """
    beside = (*_BESIDE, *TOWERS[_OTHER[modality]])
    unknown: list[str] = []
    known: list[str] = []
    for key in left_over:
        if not is_computed(key):
            (known if _first_word(key, base) in beside else unknown).append(key)
    if unknown:
        raise CallError(
            f"{name} holds {len(unknown)} weights that have no place in its model ({some(unknown)}): its "
            "config.json is of another model; save the whole model again with its own config.json"
        )
    if known:
        parts = sorted({_first_word(key, base) for key in known})
        _log.info(f"{name}: left out what lies beside the tower ({some(parts)})")


def _first_word(key: str, base: str) -> str:
    """The first part of a name that says what it is of."""
    words = key.split(".")
    while len(words) > 1 and words[0] in (*WRAPPERS, base):
        words = words[1:]
    return words[0]


def prefixes(names: Sequence[str], modality: Modality, depth: int = 4) -> Iterator[str]:
    """Known words before the names of a checkpoint, as `module.text_encoder.`, the shortest first."""
    level = [""]
    for _ in range(depth):
        longer = [f"{start}{word}." for start in level for word in (*WRAPPERS, *TOWERS[modality])]
        level = [start for start in longer if any(name.startswith(start) for name in names)]
        yield from level


def is_computed(key: str) -> bool:
    """Whether it names a tensor that says nothing of the model: a counter, 0, 1, 2, ..., a mask's."""
    return key.endswith(_COMPUTED)


def some(names: Sequence[str]) -> str:
    """The first three of them, in a line."""
    return ", ".join(sorted(names)[:3]) + (", ..." if len(names) > 3 else "")
