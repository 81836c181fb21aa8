"""Running the towers with less memory or time, the weights unchanged."""

from typing import Any, cast

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

from medistill.errors import CallError
from medistill.model.adapters import adapt
from medistill.model.encoder import ImageTower, TextTower
from medistill.model.tower import Tower
from medistill.model.towers.trial import try_split
from medistill.recipe import Recipe


def economize(image: ImageTower, text: TextTower, recipe: Recipe) -> None:
    """Do to both towers, in place, what the recipe says of memory and speed; state-dict names stay.

    CallError for a tower that cannot do it, or a compiler backend there is none of.
    """
    freeze(image, text, recipe)
    _adapt(image, text, recipe)
    if recipe.channels_last:
        image.use_channels_last()
    if recipe.compile:
        _expect_backend(recipe.compile, recomputing=recipe.checkpoint_activations)
    for tower in (image, text):
        if recipe.checkpoint_activations:
            recompute_blocks(tower)
        if recipe.compile:
            tower.compile_with(recipe.compile)


def freeze(image: ImageTower, text: TextTower, recipe: Recipe) -> None:
    """Keep of both towers what the recipe says as it is."""
    for name, encoder in (("image", recipe.image), ("text", recipe.text)):
        if encoder.locked and encoder.frozen_layers:
            raise CallError(
                f"{name}.frozen_layers is {encoder.frozen_layers} beside {name}.locked, which freezes all "
                "layers; leave out one of the two"
            )
    if recipe.image.frozen_layers:
        image.freeze_lowest(recipe.image.frozen_layers, recipe.size)
        try_split(image, channels=recipe.channels)
    if recipe.text.frozen_layers:
        text.freeze_lowest(recipe.text.frozen_layers)
    if recipe.image.locked:
        image.lock()
    if recipe.text.locked:
        text.lock()


def _adapt(image: ImageTower, text: TextTower, recipe: Recipe) -> None:
    """Give both towers the adapters that the recipe asks for; CallError for one without trained weights."""
    for name, tower, encoder in (("image", image, recipe.image), ("text", text, recipe.text)):
        if encoder.lora_rank and not (encoder.pretrained or recipe.init):
            raise CallError(
                f"{name}.lora_rank is {encoder.lora_rank}, but the tower starts at random: adapters want "
                f"trained weights to adapt; set --{name}.pretrained or --init"
            )
        adapt(tower, encoder.lora_rank, name)


class Recomputed:
    """Mixed into a block's class: keeps the block's input and computes the rest again in the backward pass.

    Dropout draws the same numbers both times. Nothing is recomputed without gradient or in eval mode.
    """

    training: bool

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        forward = super().forward  # type: ignore[misc]
        if self.training and torch.is_grad_enabled():
            return checkpoint(forward, *args, use_reentrant=False, **kwargs)
        return forward(*args, **kwargs)


def recompute_blocks(tower: Tower) -> None:
    """Have every block of the tower recomputed; CallError if it has none.

    The class of a block is exchanged rather than the block wrapped: names of weights and copies stay as
    they are. Transformers' own switch does the same for its transformers, but its ResNet has none.
    """
    blocks = [module for name, module in tower.backbone.named_modules() if _is_block(name, module)]
    if not blocks:
        kind = tower.config.model_type
        raise CallError(f"checkpoint_activations: a tower of type {kind} has no blocks to recompute")
    for block in blocks:
        kind = type(block)
        if not issubclass(kind, Recomputed):
            block.__class__ = cast(Any, type(f"Recomputed{kind.__name__}", (Recomputed, kind), {}))


def _is_block(name: str, module: nn.Module) -> bool:
    """A transformer layer, a residual layer of a convolutional stage, or the stem before the stages."""
    residual = name.rpartition(".")[0].endswith(".layers")
    return isinstance(module, GradientCheckpointingLayer) or residual or name == "embedder"


def _expect_backend(name: str, *, recomputing: bool) -> None:
    """CallError for a backend there is none of, or that draws other dropout when it recomputes.

    In a compiled graph torch leaves the replay of random numbers to AOTAutograd: a backend without it gives a
    wrong gradient. Those let through were checked against finite differences.
    """
    if name not in torch.compiler.list_backends(exclude_tags=()):
        known = ", ".join(torch.compiler.list_backends())
        raise CallError(f"torch.compile has no backend {name!r}; backends: {known}")
    if recomputing and name not in ("inductor", "aot_eager"):
        raise CallError(
            f"compile {name} does not replay dropout where activations are recomputed; use inductor, "
            "or leave out checkpoint_activations"
        )
