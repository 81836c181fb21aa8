"""Models of open_clip, an optional extra."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from medistill.errors import CallError, MedistillError, first_line
from medistill.model.foreign.model import ForeignModel, device_of, tried
from medistill.system.checksums import verify_folder

PREFIX = "open_clip:"
_LOCAL = "local-dir:"
_SCHEMES = ("hf-hub:", _LOCAL)
_CROPS = {
    "shortest": "center",
    "longest": "none: aspect kept, padded",
    "squash": "none: aspect not kept",
}


def open_open_clip(name: str) -> ForeignModel:
    """The model that open_clip knows as NAME:PRETRAINED (a tag or a file), hf-hub:NAME or local-dir:FOLDER.

    Weights are read by safetensors or torch's restricted unpickler, and no code of the model's own is run.
    CallError where open_clip is not installed, knows no such model, or cannot read it.
    """
    shown, library = PREFIX + name, open_clip_library()
    architecture, pretrained = _split(name)
    try:
        _expect_known(library, shown, architecture, pretrained)
        _refuse_remote_code(library, shown, architecture)
        if architecture.startswith(_LOCAL):
            verify_folder(Path(architecture.removeprefix(_LOCAL)))
            expect_own_folders(library, shown, architecture)
        network, preprocess = library.create_model_from_pretrained(architecture, pretrained)
        tokenizer = library.get_tokenizer(architecture)
    except MedistillError:
        raise
    except Exception as error:  # from asserts to the unpickler's own
        raise CallError(f"cannot load {shown}: {first_line(error)}") from error
    return tried(shown, _assembled(network.eval(), preprocess, tokenizer))


def open_clip_library() -> Any:
    """The package; CallError where it is not installed or does not import."""
    try:
        import open_clip  # pyright: ignore[reportMissingImports]
    except (ImportError, RuntimeError) as error:  # a torchvision of another build of torch: RuntimeError
        if isinstance(error, ModuleNotFoundError) and error.name == "open_clip":
            raise CallError("open_clip is not installed: pip install 'medistill[open_clip]'") from error
        raise CallError(
            f"open_clip does not import ({first_line(error)}); it needs a torchvision of the same build as "
            f"torch {torch.__version__}"
        ) from error
    return open_clip


def _split(name: str) -> tuple[str, str | None]:
    """(what open_clip calls the model, its weights); its own schemes name both at once."""
    if name.startswith(_LOCAL):
        return f"{_LOCAL}{Path(name.removeprefix(_LOCAL)).expanduser()}", None
    if name.startswith(_SCHEMES):
        return name, None
    architecture, _, pretrained = name.partition(":")
    file = Path(pretrained).expanduser()
    return architecture.replace("/", "-"), str(file) if pretrained and file.is_file() else pretrained or None


def _expect_known(library: Any, shown: str, architecture: str, pretrained: str | None) -> None:
    if architecture.startswith(_SCHEMES):
        return
    known = library.list_models()
    if architecture not in known:
        near = ", ".join(difflib.get_close_matches(architecture, known)) or "see open_clip.list_models()"
        raise CallError(f"{shown}: open_clip knows no model {architecture!r}; near: {near}")
    tags = library.list_pretrained_tags_by_model(architecture)
    if pretrained is None:
        listed = f" or one of its tags: {', '.join(tags)}" if tags else ""
        raise CallError(f"{shown} names no weights; give {shown}:WEIGHTS, a file{listed}")
    if pretrained not in tags and not Path(pretrained).is_file():
        raise CallError(
            f"{shown}: {pretrained!r} is neither a file nor a tag; tags of {architecture}: "
            f"{', '.join(tags) or 'none'}"
        )


def _refuse_remote_code(library: Any, shown: str, architecture: str) -> None:
    """A stranger's configuration may ask transformers to run the tokenizer's code."""
    text = library.get_model_config(architecture)["text_cfg"]
    if text.get("tokenizer_kwargs", {}).get("trust_remote_code"):
        raise CallError(f"{shown} has a tokenizer with code of its own, which is not run")


def expect_own_folders(library: Any, shown: str, architecture: str) -> None:
    """CallError if a folder's configuration names a model in a hub: it would be fetched."""
    config = library.get_model_config(architecture)
    text, vision = config["text_cfg"], config["vision_cfg"]
    names = [text.get(field) for field in ("hf_model_name", "hf_tokenizer_name")]
    fetched = [name for name in names if name and not Path(name).expanduser().is_dir()]
    if str(vision.get("timm_model_name") or "").startswith("hf-hub:") or vision.get("timm_model_pretrained"):
        fetched.append(vision.get("timm_model_name"))
    if fetched:
        raise CallError(
            f"{shown} names {str(fetched[0])[:80]!r}, which is no folder here, in open_clip_config.json and "
            "would be fetched from a hub: fetch it yourself and write its folder there"
        )


def _assembled(network: Any, preprocess: Any, tokenizer: Any) -> ForeignModel:
    bias = getattr(network, "logit_bias", None)

    def image_features(pictures: Sequence[Image.Image]) -> Tensor:
        pixels = torch.stack([preprocess(picture) for picture in pictures])
        return network.encode_image(pixels.to(device_of(network)))

    def text_features(texts: Sequence[str]) -> Tensor:
        return network.encode_text(tokenizer(list(texts)).to(device_of(network)))

    return ForeignModel(
        network=network,
        image_features=image_features,
        text_features=text_features,
        scale=float(network.logit_scale.detach().exp()),
        bias=0.0 if bias is None else float(bias.detach()),
        mode="RGB",
        preprocessing={
            **_image_preprocessing(network.visual.preprocess_cfg),
            "max_tokens": tokenizer.context_length,
            "text_padding": "max_length",
        },
    )


def _image_preprocessing(settings: dict[str, Any]) -> dict[str, Any]:
    """In the words of the other kinds of models."""
    return {
        "by": "open_clip",
        "resize": settings["size"],
        "interpolation": "bilinear" if settings["interpolation"] == "bilinear" else "bicubic",
        "crop": _CROPS[settings["resize_mode"]],
        "rescale": 1 / 255,
        "mean": settings["mean"],
        "std": settings["std"],
        "channels": 3,
    }
