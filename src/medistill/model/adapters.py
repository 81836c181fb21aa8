"""Low-rank adapters in a tower's attention, by peft, an optional extra."""

from importlib import import_module
from typing import Any

from torch import Tensor, nn

from medistill.errors import CallError, first_line
from medistill.model.tower import Tower

ALPHA = 16
"""What a product B A is multiplied by, over its rank: another rank then wants no other learning rate."""
_ADAPTER = "default"


def adapt(tower: Tower, rank: int, name: str) -> None:
    """Freeze the tower and give every linear layer of its attention an adapter; rank 0 changes nothing.

        W x + (ALPHA / rank) B A x,   A: rank rows, B: rank columns (Hu et al. 2021)

    B begins at 0, so the tower begins as it was. peft's own choice of layers knows three of our types of
    tower (query and value of BERT's kind); Hu et al. found all four matrices of the attention as good at the
    same number of weights, and every transformer has them. Layers frozen before stay without an adapter.

    name  `image` or `text`, for the CallError where that cannot be, or peft is not installed
    """
    if not rank:
        return
    layers = _attention(tower.backbone)
    if rank < 0 or not layers:
        reason = "a rank is 1 or more" if rank < 0 else "it adapts attention, of which none is left to train"
        kind = tower.config.model_type
        raise CallError(f"{name}.lora_rank is {rank} for a tower of type {kind}: {reason}; leave it at 0")
    peft = peft_library()
    peft.inject_adapter_in_model(
        peft.LoraConfig(r=rank, lora_alpha=ALPHA, target_modules=layers), tower.backbone
    )
    for layer in adapted_layers(tower).values():
        # Under autocast peft would widen the input to A's float32, and each layer keep a copy of its own.
        layer.cast_input_dtype_enabled = False


def adapted_layers(model: nn.Module) -> dict[str, Any]:
    """peft's layers in the model, by name: each with the `base_layer` whose place it took."""
    return {name: module for name, module in model.named_modules() if hasattr(module, "base_layer")}


def merged_weights(model: nn.Module) -> dict[str, Tensor]:
    """The model's state dict as it would be without adapters: each product added to the weight it adapts."""
    layers, merged = adapted_layers(model), dict[str, Tensor]()
    for name, tensor in model.state_dict().items():
        place, _, part = name.rpartition(".")
        layer = place.removesuffix(".base_layer")
        if layer != place and layer in layers:
            more = layers[layer].get_delta_weight(_ADAPTER).detach() if part == "weight" else None
            merged[f"{layer}.{part}"] = tensor if more is None else tensor + more
        elif name.partition(".lora_")[0] not in layers:
            merged[name] = tensor
    return merged


def peft_library() -> Any:
    """The package; CallError where it is not installed or does not import."""
    try:
        return import_module("peft")
    except (ImportError, RuntimeError) as error:
        raise CallError(
            f"low-rank adapters need a package that does not import ({first_line(error)}): pip install "
            "'medistill[lora]'"
        ) from error


def _attention(backbone: nn.Module) -> list[str]:
    """The linear layers inside of modules of attention, by name, but those that are frozen."""
    parts = [name for name, module in backbone.named_modules() if "Attention" in type(module).__name__]
    return [
        name
        for name, module in backbone.named_modules()
        if isinstance(module, nn.Linear) and module.weight.requires_grad
        if any(name.startswith(f"{part}.") for part in parts)
    ]
