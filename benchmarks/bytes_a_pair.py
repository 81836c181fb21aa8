"""What a pair keeps for the backward pass, tower by tower, in float32 and under a card's autocast.

    python -m benchmarks.bytes_a_pair

Counted on the CPU, no card needed: about a minute.
"""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from benchmarks.saved_activations import saved_activations
from medistill.engine.plan.probe import model_at_random, synthetic_window
from medistill.model.dual import DualEncoder
from medistill.recipe import RECIPES

Embed = Callable[[int], Tensor]


class AsOnACard(TorchFunctionMode):
    """Where CPU and card keep other things for the backward pass, what the card keeps.

    CUDA's autocast runs norms in float32; its dropout keeps a mask of bytes, and its attention never the
    matrix (dropout inside it is left out, which keeps nothing there).
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do as the card does."""
        kwargs = kwargs or {}
        if func in (F.layer_norm, F.group_norm) and torch.is_autocast_enabled("cpu"):
            return func(args[0].float(), *args[1:], **kwargs)
        if func is F.dropout:
            return _dropout(*args, **kwargs)
        if func is F.scaled_dot_product_attention:
            kwargs["dropout_p"] = 0.0
        return func(*args, **kwargs)


def _dropout(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    return torch.native_dropout(x, p, True)[0] if training and p else x


def bytes_a_pair(model: DualEncoder, embed: Embed, *, half: bool) -> float:
    """Bytes that every pair more keeps; what is kept once (half copies of the weights) is not in it."""
    kept = [_kept(model, embed, pairs, half=half) for pairs in (1, 2)]
    return float(kept[1] - kept[0])


def _kept(model: DualEncoder, embed: Embed, pairs: int, *, half: bool) -> int:
    autocast = torch.autocast("cpu", torch.bfloat16) if half else nullcontext()
    with saved_activations(model.parameters()) as saved, AsOnACard(), autocast:
        rows = embed(pairs)
        now = saved.now
    del rows
    return now


def of_each_tower(model: DualEncoder, name: str) -> Mapping[str, Embed]:
    """What embeds so many images, or texts of the greatest length."""
    window = synthetic_window(RECIPES[name](), model, 2)
    return {
        "image": lambda pairs: model.embed_images(window.images[:pairs]),
        "text": lambda pairs: model.embed_tokens(window.tokens[:pairs], window.mask[:pairs]),
    }


def have_torchs_norms(model: nn.Module) -> None:
    """Undo `keep_half`."""
    for module in model.modules():
        if type(module).__base__ in (nn.LayerNorm, nn.GroupNorm):
            module.__class__ = type(module).__base__


def main() -> None:
    """Print a row for each recipe, tower and precision."""
    for name in ("quickstart", "chest_resnet50", "chest_vitb"):
        model = model_at_random(RECIPES[name]()).train()
        found: dict[str, dict[str, float]] = {}
        for kind, half in (("float32", False), ("bf16", True), ("bf16, torch's norms", True)):
            if kind.endswith("norms"):
                have_torchs_norms(model)
            towers = of_each_tower(model, name)
            found[kind] = {t: bytes_a_pair(model, embed, half=half) / 1e6 for t, embed in towers.items()}
        for kind, sizes in found.items():
            parts = ", ".join(f"{tower} {size:.1f}" for tower, size in sizes.items())
            print(f"{name}, {kind}: {parts}, both {sum(sizes.values()):.1f} MB a pair")


if __name__ == "__main__":
    main()
