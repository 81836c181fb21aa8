"""A backbone with weights of others: all of them, never with code of its own."""

import logging
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModel
from transformers.utils import logging as transformers_logging

from medistill.errors import CallError, MedistillError, first_line
from medistill.model.towers.config import tower_config
from medistill.model.towers.of_timm import PREFIX, TYPE, plain_config, timm_source
from medistill.model.towers.sentence import text_source
from medistill.model.towers.source import pretrained_source
from medistill.model.towers.stored import expect_own_parts, read_weights, stored_weights
from medistill.model.towers.weights import Modality, expect_all, expect_known, lacks, prefixes

_log = logging.getLogger(__name__)
_ADAPTER = "adapter_config.json"
_MASK = "mask_token"
"""What stands for a hidden part of an image while DINOv2 and its like are pretrained: none is hidden here."""
_POOLERS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("altclip_vision_model", "chinese_clip_vision_model"), ("post_layernorm",)),
    **dict.fromkeys(("clip_vision_model", "metaclip_2_vision_model"), ("post_layernorm",)),
    **dict.fromkeys(("siglip_vision_model", "siglip2_vision_model"), ("head",)),
    **dict.fromkeys(("convnext", "convnextv2"), ("layernorm",)),
}
"""What nothing but a pooler's output goes through, by another name than `pooler`, in types of towers."""


class _Loaded(NamedTuple):
    """A tower's backbone, and how the checkpoint's weights went into it."""

    backbone: Any
    missing: tuple[str, ...]
    """Of those that the tower uses."""
    misshapen: tuple[str, ...]
    left_over: tuple[str, ...]

    @property
    def whole(self) -> bool:
        return not lacks(self.missing, self.misshapen)


def pretrained_backbone(name: str, modality: Modality) -> Any:
    """The backbone of a folder or hub name, in eval mode, with every weight of it from there.

    Of a model of two towers the one of that modality is taken, of an encoder and a decoder the encoder. Known
    prefixes of weights are taken off. CallError for weights that are missing or left over.
    """
    source, local = _source(name, modality)
    shown = f"pretrained {name!r} for the {modality} tower"
    given = {"local_files_only": local, "trust_remote_code": False}
    with _one_line(name), without_bars() if local else nullcontext():
        if local and (Path(source) / _ADAPTER).is_file():
            raise CallError(f"{shown} has an {_ADAPTER}: merge the adapter into its model and save that")
        if local:
            expect_own_parts(shown, Path(source))
        whole = AutoConfig.from_pretrained(source, **given)
        whole = plain_config(whole) if whole.model_type == TYPE else whole
        config, taken = tower_config(f"pretrained {name!r}", whole, modality)
        stored = stored_weights(shown, source, local=local)
        if stored.pickled:  # read here, so that nothing but the restricted unpickler ever reads it
            loaded = _renamed(config, read_weights(shown, stored))
        else:
            options = {"config": config, "use_safetensors": True, **given}
            loaded = _loaded(*_from_transformers(AutoModel, source, **options))
        if not loaded.whole:
            loaded = _without_prefix(shown, loaded, read_weights(shown, stored), modality)
    expect_all(shown, missing=loaded.missing, misshapen=loaded.misshapen)
    expect_known(shown, loaded.left_over, modality, base=loaded.backbone.base_model_prefix)
    if taken:
        _log.info(f"{shown}: {taken}")
    return loaded.backbone


def _source(name: str, modality: Modality) -> tuple[str, bool]:
    """Where the weights lie, and whether that is a folder."""
    if name.startswith(PREFIX):
        if modality == "text":
            raise CallError(f"pretrained {name!r} is a model of timm, which has image towers alone")
        return pretrained_source(timm_source(name))
    return text_source(name) if modality == "text" else pretrained_source(name)


def tower_of(whole: Any) -> Any:
    """What of a network reads the input: of an encoder and a decoder the encoder; without a pooler."""
    two = getattr(whole, "encoder", None) is not None and getattr(whole, "decoder", None) is not None
    backbone = whole.encoder if two else whole
    pooler = getattr(backbone, "pooler", None)
    # Its output is not used, and unused weights stop distributed training.
    if isinstance(pooler, torch.nn.Module) and any(True for _ in pooler.parameters()):
        backbone.pooler = None
    for part in _POOLERS.get(backbone.config.model_type, ()):
        backbone.get_submodule(part).requires_grad_(False)
    for name, weights in backbone.named_parameters():
        if name.endswith(_MASK):
            weights.requires_grad_(False)
    return backbone


def _without_prefix(shown: str, loaded: _Loaded, stored: Mapping[str, Tensor], modality: Modality) -> _Loaded:
    """The same weights under names without a known prefix; as it was if there is none that helps."""
    for prefix in prefixes(list(stored), modality):
        inside = {k.removeprefix(prefix): v for k, v in stored.items() if k.startswith(prefix)}
        again = _renamed(loaded.backbone.config, inside)
        if again.whole:
            _log.info(f"{shown}: took the prefix {prefix} off the names of its weights")
            outside = (name for name in stored if not name.startswith(prefix))
            return again._replace(left_over=(*again.left_over, *outside))
    return loaded


def _renamed(config: Any, weights: Mapping[str, Tensor]) -> _Loaded:
    kind = type(AutoModel.from_config(config, trust_remote_code=False))
    return _loaded(*_from_transformers(kind, None, config=config, state_dict=dict(weights)))


def _from_transformers(kind: Any, source: str | None, **options: Any) -> tuple[Any, Mapping[str, Any]]:
    """A network and transformers' account of its weights; other shapes are reported, and refused by us."""
    return kind.from_pretrained(
        source, dtype=torch.float32, output_loading_info=True, ignore_mismatched_sizes=True, **options
    )


def _loaded(whole: Any, report: Mapping[str, Any]) -> _Loaded:
    """The tower in a network, and of transformers' account what concerns it."""
    backbone = tower_of(whole)
    own = {id(tensor) for tensor in backbone.state_dict(keep_vars=True).values()}
    used = {name for name, tensor in whole.state_dict(keep_vars=True).items() if id(tensor) in own}
    return _Loaded(
        backbone,
        missing=_only(report["missing_keys"], used),
        misshapen=_only((key for key, *_ in report["mismatched_keys"]), used),
        left_over=tuple(report["unexpected_keys"]),
    )


def _only(names: Iterable[str], used: set[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name in used)


@contextmanager
def _one_line(name: str) -> Generator[None]:
    """What goes wrong in transformers is one line, without its tables of weights."""
    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        yield
    except MedistillError:
        raise
    except Exception as error:  # safetensors, tokenizers and configurations have errors of their own
        raise CallError(
            f"cannot load pretrained weights {name!r}: {first_line(error)}; see docs/offline.md"
        ) from error
    finally:
        transformers_logging.set_verbosity(level)


@contextmanager
def without_bars() -> Generator[None]:
    """transformers draws progress bars of its own for a file or two."""
    drawn = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if drawn:
            transformers_logging.enable_progress_bar()
