"""A model folder: written whole or not at all, read without pickle or network."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save
from tokenizers import Tokenizer

from medistill.errors import CallError, MedistillError
from medistill.model.adapters import merged_weights
from medistill.model.dual import DualEncoder
from medistill.model.encoder import ImageTower, TextTower
from medistill.model.tokenizer import token_count
from medistill.model.towers.build import restore_image_tower, restore_text_tower
from medistill.model.towers.config import config_from_dict, expect_values
from medistill.system.checksums import read_checked, say_without, verify, write_checked
from medistill.system.device import chosen_device

FORMAT = 1
PROMPTS = "prompts.json"
"""Beside the model: finding -> what to ask for it, as `--prompts` takes it."""
FOLD = "fold.json"
"""Beside the model, if it was trained on folds: which of how many was left out, and of which corpus."""
FILES = ("config.json", "tokenizer.json", "model.safetensors")


def save_model(model: DualEncoder, folder: Path) -> None:
    """Write model.safetensors, config.json and tokenizer.json, each whole or not at all: all `load` needs.

    Adapters are added into the weights they adapt, so that nobody needs peft to read the model.
    """
    config = {
        "format": FORMAT,
        **{name: getattr(model, name) for name in ("dim", "size", "channels", "mean", "std", "max_tokens")},
        "image": _tower_config(model.image),
        "text": _tower_config(model.text),
        "biased": model.bias is not None,
        **({} if model.head_kind == "linear" else {"head": model.head_kind}),
    }
    weights = save({name: tensor.contiguous() for name, tensor in merged_weights(model).items()})
    write_checked(folder / "tokenizer.json", model.tokenizer.to_str(pretty=True))
    write_checked(folder / "config.json", json.dumps(config, indent=1, sort_keys=True) + "\n")
    write_checked(folder / "model.safetensors", weights)


def save_prompts(prompts: Mapping[str, Any], folder: Path) -> None:
    """What to ask the model in that folder about each finding, as `load` hands it on."""
    write_checked(folder / PROMPTS, json.dumps(prompts, indent=1, ensure_ascii=False) + "\n")


def save_fold(folder: Path, *, fold: int, folds: int, corpus_hash: str) -> None:
    """Which fold of that corpus the model in the folder is not trained on."""
    left_out = {"fold": fold, "folds": folds, "corpus": corpus_hash}
    write_checked(folder / FOLD, json.dumps(left_out, indent=1) + "\n")


def load(path: str | Path, device: str = "cpu") -> DualEncoder:
    """The model of a run folder or model folder, in eval mode; reads no pickle and no network.

    device   `auto` (the first card, else the CPU), `cpu`, `cuda` or `cuda:N`; CallError if it is not there
    """
    place = chosen_device(device)
    folder = _model_folder(Path(path))
    known = [verify(folder / name) for name in FILES if (folder / name).is_file()]
    if not all(known):
        say_without(Path(path))
    try:
        model = _restored(folder, json.loads((folder / "config.json").read_text("utf-8"))).to(place)
        model.prompts = _prompts(folder / PROMPTS)
        model.left_out = _fold(folder / FOLD)
        return model
    except MedistillError:
        raise
    except Exception as error:  # tokenizers raises bare Exception, safetensors its own
        raise CallError(f"the model in {path} is damaged ({type(error).__name__})") from error


def _prompts(path: Path) -> Any:
    """As they lie there, for those who ask to check; None in the folder of a model that has none."""
    return json.loads(read_checked(path)) if path.is_file() else None


def _fold(path: Path) -> dict[str, Any] | None:
    """`fold`, `folds` and `corpus` as saved; None for a model trained by its corpus's own splits."""
    if not path.is_file():
        return None
    left_out: Any = json.loads(read_checked(path))
    fold, folds, corpus = (left_out[name] for name in ("fold", "folds", "corpus"))
    return {"fold": int(fold), "folds": int(folds), "corpus": str(corpus)}


def _restored(folder: Path, config: dict[str, Any]) -> DualEncoder:
    if "format" not in config and "model_type" in config:
        raise CallError(f"{folder} holds a model of transformers; give hf:{folder}")
    if config.get("format") != FORMAT:
        raise CallError(
            f"the model in {folder} has format {config.get('format')}, this version reads {FORMAT}; "
            "use the medistill version that wrote it"
        )
    expect_values(config)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    model = DualEncoder(
        restore_image_tower(
            **_tower_arguments(config["image"]), size=config["size"], channels=config["channels"]
        ),
        restore_text_tower(
            **_tower_arguments(config["text"]), max_tokens=config["max_tokens"], tokens=token_count(tokenizer)
        ),
        tokenizer,
        **{name: config[name] for name in ("dim", "size", "channels", "mean", "std", "max_tokens")},
        scale=1.0,
        bias=0.0 if config.get("biased") else None,
        head=config.get("head", "linear"),
    )
    model.load_state_dict(load_file(folder / "model.safetensors"))
    return model.eval()


def _model_folder(path: Path) -> Path:
    if str(path).startswith(("open_clip:", "hf:", "onnx:")):
        raise CallError(f"{path} is a model of another library: medistill.open_model loads it for evaluation")
    for folder in (path / "model", path):
        if (folder / "model.safetensors").is_file() and (folder / "config.json").is_file():
            return folder
    if (path / "open_clip_config.json").is_file():
        raise CallError(f"{path} holds a model of open_clip; give open_clip:local-dir:{path}")
    raise CallError(f"no model in {path}: expected model.safetensors there or in its folder `model`")


def _tower_config(tower: ImageTower | TextTower) -> dict[str, Any]:
    shape = {
        k: v for k, v in tower.config.to_dict().items() if k not in ("_name_or_path", "transformers_version")
    }
    own = {"normalized": True} if isinstance(tower, TextTower) and tower.normalized else {}
    return {"config": shape, "pooling": tower.pooling, "frozen_norm": tower.frozen_norm, **own}


def _tower_arguments(saved: Mapping[str, Any]) -> dict[str, Any]:
    return {**saved, "config": config_from_dict(saved["config"])}
