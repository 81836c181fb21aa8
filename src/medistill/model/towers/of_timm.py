"""Image towers of timm, an optional extra, through the wrapper that transformers has for them."""

import difflib
import re
from importlib import import_module
from pathlib import Path
from typing import Any

from transformers import TimmWrapperConfig

from medistill.errors import CallError, first_line

PREFIX = "timm:"
TYPE = "timm_wrapper"
"""What transformers calls a model of timm."""
_ARCHITECTURE = re.compile(r"[A-Za-z0-9_]+")
_WORDS = ("global_pool",)
"""Arguments of `timm.create_model` that may be a word; others may be numbers, which name no file or host."""


def timm_source(name: str) -> str:
    """Folder or hub name of timm:NAME; CallError for a model that timm does not know, or has no weights of.

    NAME is a model of timm, with or without a tag of its weights, or a folder as timm saves it for the hub.
    """
    timm, inner = timm_library(), name.removeprefix(PREFIX)
    if Path(inner).expanduser().is_dir() or inner.startswith((".", "/", "~")):
        return inner
    try:
        known = timm.get_pretrained_cfg(inner, allow_unregistered=True)
    except RuntimeError as error:
        raise CallError(f"pretrained {name!r}: {first_line(error)}") from error
    if known is None:
        near = ", ".join(difflib.get_close_matches(inner, timm.list_models())) or "see timm.list_models()"
        raise CallError(f"pretrained {name!r}: timm knows no such model; near: {near}")
    if not known.hf_hub_id:
        raise CallError(f"pretrained {name!r}: timm has no weights of it on the hub; name another tag")
    return str(known.hf_hub_id)


def timm_library() -> Any:
    """The package; CallError where it is not installed or does not import."""
    try:
        return import_module("timm")
    except (ImportError, RuntimeError) as error:  # a torchvision of another build of torch: RuntimeError
        raise CallError(
            f"a model of timm needs a package that does not import ({first_line(error)}): pip install "
            "'medistill[timm]'"
        ) from error


def plain_config(config: Any) -> TimmWrapperConfig:
    """The architecture alone: without its thousand labels, and pooled by us."""
    arguments = {name: value for name, value in (config.model_args or {}).items() if name != "num_classes"}
    fields: dict[str, Any] = {"architecture": config.architecture, "model_args": arguments, "num_labels": 2}
    return TimmWrapperConfig(do_pooling=False, **fields)


def expect_plain(name: str, config: Any) -> None:
    """CallError if a configuration makes timm fetch a model or read a file, or timm is not installed."""
    architecture = config.architecture
    if not _ARCHITECTURE.fullmatch(str(architecture)):
        raise CallError(
            f"{name} asks for the architecture {str(architecture)[:60]!r}, expected a name of timm: it would "
            "load what is not in the folder"
        )
    for argument, value in (config.model_args or {}).items():
        if str(argument).startswith("pretrained") or not (_numbers(value) or argument in _WORDS):
            raise CallError(
                f"{name} gives timm {str(argument)[:60]} = {str(value)[:60]!r}, expected numbers that shape "
                "the network: it could load what is not in the folder"
            )
    timm_library()


def _numbers(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_numbers(part) for part in value)
    return value is None or isinstance(value, int | float)
