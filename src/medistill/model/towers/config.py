"""Configurations of transformers, and what they may make a process do."""

from collections.abc import Callable, Iterator, Mapping
from math import isfinite
from typing import Any, get_args

from transformers import MODEL_MAPPING, AutoConfig, PretrainedConfig

from medistill.errors import CallError
from medistill.model.projection import HeadKind
from medistill.model.tower import Pooling
from medistill.model.towers.of_timm import TYPE, expect_plain
from medistill.model.towers.weights import Modality
from medistill.recipe import Encoder

_ALLOWED: Mapping[str, tuple[Any, ...]] = {
    # Any other name is that of a package, or of a repository of the hub whose code would be loaded.
    "_attn_implementation": (None, "eager", "sdpa", "flex_attention"),
    "_experts_implementation": (None, "eager", "batched_mm", "grouped_mm"),
    # What would fetch another model, convert these weights by other packages, or replace layers.
    **dict.fromkeys(("use_pretrained_backbone", "use_timm_backbone"), (None, False)),
    **dict.fromkeys(("quantization_config", "fusion_config", "transformers_weights"), (None,)),
}
"""Fields that make a process load something, and the values that do not."""
_STILL = {"vit_mae": "vit"}
"""Types that mask at random, also in eval mode, and the type that reads the same weights without masks."""
_PARTS: Mapping[Modality, str] = {"image": "vision_config", "text": "text_config"}
_Rule = tuple[tuple[type, ...], Callable[[Any], bool], str]
_MOST = 65_536
_COUNT: _Rule = ((int,), lambda value: 1 <= value <= _MOST, f"a whole number of 1 to {_MOST}")
_VALUES: Mapping[str, _Rule] = {
    **dict.fromkeys(("dim", "size", "max_tokens"), _COUNT),
    "channels": ((int,), lambda value: value in (1, 3), "1 or 3"),
    "mean": ((int, float), isfinite, "a number"),
    "std": ((int, float), lambda value: isfinite(value) and value > 0, "a number above 0"),
    "biased": ((bool, type(None)), lambda _: True, "true or false"),
}
"""Of a saved model: types, what holds for the value, and that in words."""


def random_config(encoder: Encoder, given: Mapping[str, Any]) -> PretrainedConfig:
    """The configuration of a random start: the recipe's fields, and of ours those the type has."""
    try:
        config = AutoConfig.for_model(encoder.type)
    except ValueError as error:
        raise CallError(f"transformers knows no model type {encoder.type!r}") from error
    known = set(config.to_dict())
    unknown = sorted(set(encoder.config) - known)
    if unknown:
        raise CallError(f"{encoder.type} has no configuration field {', '.join(unknown)}")
    return type(config)(**{k: v for k, v in given.items() if k in known})


def config_from_dict(values: Mapping[str, Any]) -> PretrainedConfig:
    """The transformers configuration `PretrainedConfig.to_dict` was called on; CallError if it loads more."""
    rest = {k: v for k, v in values.items() if k != "model_type"}
    config = AutoConfig.for_model(values["model_type"], **rest)
    expect_harmless("config.json", config)
    return config


def tower_config(name: str, config: Any, modality: Modality) -> tuple[Any, str]:
    """The configuration of one tower of that model, and in words what was taken of it; empty for all."""
    expect_harmless(name, config)
    part, taken = getattr(config, _PARTS[modality], None), ""
    if isinstance(part, PretrainedConfig):
        whole = "vision" if modality == "image" else "text"
        config, taken = part, f"the {whole} part of a model of type {config.model_type}"
    if config.model_type in _STILL:
        still = _STILL[config.model_type]
        taken = f"read as {still}: {config.model_type} masks images at random"
        fields = {k: v for k, v in config.to_dict().items() if k != "model_type"}
        config = AutoConfig.for_model(still, **fields)
    if type(config) not in MODEL_MAPPING:
        raise CallError(
            f"{name} gives a {modality} tower of type {config.model_type}, which transformers does not build "
            "by itself; name another model"
        )
    return config, taken


def expect_harmless(name: str, config: PretrainedConfig) -> None:
    """CallError if a configuration, or one inside it, makes a process load code or another model."""
    for part in _parts(config):
        for field, allowed in _ALLOWED.items():
            value = getattr(part, field, None)
            if value not in allowed:
                known = ", ".join(str(word) for word in allowed if word) or "nothing"
                raise CallError(
                    f"{name} asks for {field.strip('_')} {str(value)[:60]!r}, allowed is {known}: it would "
                    "load what is not in the folder; take the field out of config.json"
                )
        if part.model_type == TYPE:
            expect_plain(name, part)
        if part.model_type == "timm_backbone":
            raise CallError(
                f"{name} has a part of type timm_backbone, which may fetch a model; name another model"
            )
        if part is not config and getattr(part, "auto_map", None):
            raise CallError(f"{name} has a part with code of its own (auto_map), which is not run")


def expect_values(config: Mapping[str, Any]) -> None:
    """CallError for a value in a saved model's config.json that no model can have."""
    for name, (kind, holds, expected) in _VALUES.items():
        value = config.get(name)
        if type(value) not in kind or not holds(value):
            raise CallError(f"config.json of the model has {name} {str(value)[:60]!r}, expected {expected}")
    if config.get("head", "linear") not in get_args(HeadKind):
        head = str(config["head"])[:60]
        raise CallError(f"config.json of the model has head {head!r}, expected linear or gated")
    for tower in ("image", "text"):
        fields = config.get(tower)
        own = {"normalized"} if tower == "text" else set[str]()  # of text towers that make their rows unit
        if not isinstance(fields, dict) or fields.keys() - own != {"config", "pooling", "frozen_norm"}:
            raise CallError(f"config.json of the model has no {tower} tower as `save_model` writes it")
        if fields["pooling"] not in get_args(Pooling) or not isinstance(fields["frozen_norm"], bool):
            raise CallError(
                f"config.json of the model has an {tower} tower with the pooling "
                f"{str(fields['pooling'])[:60]!r}, expected mean or cls, and true or false as frozen_norm"
            )
        if not isinstance(fields.get("normalized", True), bool):
            raise CallError(
                f"config.json of the model has normalized in its {tower} tower, expected true or false"
            )
        if not isinstance(fields["config"], dict):
            raise CallError(f"config.json of the model has no configuration of its {tower} tower")


def _parts(config: PretrainedConfig) -> Iterator[PretrainedConfig]:
    yield config
    for value in vars(config).values():
        if isinstance(value, PretrainedConfig):
            yield from _parts(value)
