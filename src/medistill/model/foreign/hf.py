"""CLIP-like, SigLIP-like and vision-text dual encoders of transformers."""

import inspect
import json
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors import safe_open
from torch import Tensor
from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoTokenizer
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME
from transformers.utils import logging as transformers_logging
from transformers.utils.hub import cached_file

from medistill.errors import CallError, MedistillError, first_line
from medistill.model.foreign.model import ForeignModel, device_of, tried
from medistill.model.towers.config import expect_harmless
from medistill.model.towers.pretrained import without_bars
from medistill.model.towers.source import pretrained_source
from medistill.model.towers.stored import expect_own_parts
from medistill.model.towers.trial import misfit, most_tokens, table_rows
from medistill.model.towers.weights import is_computed, judge_weights
from medistill.system.checksums import verify_folder

PREFIX = "hf:"
_SIGLIP = ("siglip", "siglip2")
KINDS = (
    "aimv2",
    "altclip",
    "chinese_clip",
    "clip",
    "clipseg",
    "metaclip_2",
    *_SIGLIP,
    "vision-text-dual-encoder",
)
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_LIMIT = 100_000
"""A tokenizer that knows no limit names a huge number."""


def open_hf(name: str) -> ForeignModel:
    """The model in a folder or of that hub name; CallError if it is no dual encoder or cannot be read.

    Weights come from safetensors only, and no code of the model's own is run.
    """
    shown = PREFIX + name
    source, local = pretrained_source(name)
    if local:
        verify_folder(Path(source))
    given = {"local_files_only": local, "trust_remote_code": False}
    with _loading(shown, local=local):
        config: Any = AutoConfig.from_pretrained(source, **given)
        if config.model_type not in KINDS:
            raise CallError(
                f"{shown} is of type {config.model_type}, expected one of {', '.join(KINDS)}; for another "
                "model give evaluate_model an object with encode_images and encode_texts"
            )
        expect_harmless(shown, config)
        if local:
            _expect_safetensors(shown, Path(source))
            expect_own_parts(shown, Path(source))
        network, report = AutoModel.from_pretrained(
            source,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # reported, and refused below
            **given,
        )
        # "pil": the other kind of image processor needs torchvision and resizes a little differently
        processor = AutoImageProcessor.from_pretrained(source, backend="pil", **given)
        tokenizer = AutoTokenizer.from_pretrained(source, **given)
        unexpected = _stored_names(source) - set(network.state_dict())
    judge_weights(
        shown,
        missing=report["missing_keys"],
        unexpected={*report["unexpected_keys"], *filter(is_computed, unexpected)},
        misshapen=[key for key, *_ in report["mismatched_keys"]],
    )
    _expect_room(shown, network, tokenizer)
    return tried(shown, _assembled(network.eval(), processor, tokenizer, config))


def _assembled(network: Any, processor: Any, tokenizer: Any, config: Any) -> ForeignModel:
    channels = int(getattr(config.vision_config, "num_channels", 3))
    limit = _token_limit(network, tokenizer, config)
    padding = "max_length" if config.model_type in _SIGLIP else "longest"
    bias = getattr(network, "logit_bias", None)

    def image_features(pictures: Sequence[Image.Image]) -> Tensor:
        inputs = processor(images=list(pictures), return_tensors="pt")
        return _features(network, network.get_image_features, inputs)

    def text_features(texts: Sequence[str]) -> Tensor:
        inputs = tokenizer(
            list(texts), padding=padding, truncation=True, max_length=limit, return_tensors="pt"
        )
        return _features(network, network.get_text_features, inputs)

    return ForeignModel(
        network=network,
        image_features=image_features,
        text_features=text_features,
        scale=float(network.logit_scale.detach().exp()),
        bias=0.0 if bias is None else float(bias.detach()),
        mode="L" if channels == 1 else "RGB",
        preprocessing={
            **_image_preprocessing(processor),
            "channels": channels,
            "max_tokens": limit,
            "text_padding": padding,
        },
    )


def _stored_names(source: str) -> set[str]:
    """The names of all tensors in the checkpoint: transformers passes over old buffers without a word."""
    quiet = {"_raise_exceptions_for_missing_entries": False, "local_files_only": True}
    index = cached_file(source, SAFE_WEIGHTS_INDEX_NAME, **quiet)
    if index:
        return set(json.loads(Path(index).read_text("utf-8"))["weight_map"])
    with safe_open(str(cached_file(source, SAFE_WEIGHTS_NAME, **quiet)), "pt") as weights:
        return set(weights.keys())


def _features(network: Any, method: Callable[..., Any], inputs: Any) -> Tensor:
    """What the method makes of those inputs that it takes; before its unit norm."""
    device, taken = device_of(network), inspect.signature(method).parameters
    output = method(**{key: value.to(device) for key, value in inputs.items() if key in taken})
    return output if isinstance(output, Tensor) else output.pooler_output


def _token_limit(network: Any, tokenizer: Any, config: Any) -> int:
    """The most tokens that tokenizer and text tower both take."""
    text = getattr(network, "text_model", network)
    return min(most_tokens(text, config.text_config), int(min(tokenizer.model_max_length, _LIMIT)))


def _expect_room(shown: str, network: Any, tokenizer: Any) -> None:
    """CallError for a tokenizer with ids beyond the text tower's table."""
    tokens, rows = max(tokenizer.get_vocab().values(), default=-1) + 1, table_rows(network.text_model)
    if rows < tokens:
        raise CallError(misfit(shown, rows, tokens))


def _image_preprocessing(processor: Any) -> dict[str, Any]:
    """What the image processor does, a step it leaves out as None."""
    settings = processor.to_dict()

    def step(flag: str, key: str) -> Any:
        return settings.get(key) if settings.get(flag) else None

    resample = step("do_resize", "resample")
    return {
        "by": f"transformers {type(processor).__name__}",
        "resize": step("do_resize", "size"),
        "interpolation": None if resample is None else Image.Resampling(int(resample)).name.lower(),
        "crop": step("do_center_crop", "crop_size"),
        "rescale": step("do_rescale", "rescale_factor"),
        "mean": step("do_normalize", "image_mean"),
        "std": step("do_normalize", "image_std"),
    }


def _expect_safetensors(shown: str, folder: Path) -> None:
    if not any((folder / name).is_file() for name in (SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME)):
        pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
        raise CallError(_no_safetensors(shown, f" but {pickles[0]}" if pickles else ""))


def _no_safetensors(shown: str, instead: str = "") -> str:
    return (
        f"{shown} has no model.safetensors{instead}; a pickle may run code when read and is refused. "
        "If you trust it, convert it: transformers.AutoModel.from_pretrained(OLD).save_pretrained(NEW), "
        "and the same for AutoTokenizer and AutoImageProcessor; then hf:NEW"
    )


@contextmanager
def _loading(shown: str, *, local: bool) -> Generator[None]:
    """transformers keeps quiet but for the bars of downloads, and what goes wrong is one line."""
    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        with without_bars() if local else nullcontext():
            yield
    except MedistillError:
        raise
    except Exception as error:  # tokenizers raises bare Exception, safetensors its own
        if "safetensors" in str(error) and isinstance(error, OSError):
            raise CallError(_no_safetensors(shown)) from error
        raise CallError(f"cannot load {shown}: {first_line(error)}; see docs/offline.md") from error
    finally:
        transformers_logging.set_verbosity(level)
