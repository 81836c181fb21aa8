"""AdamW, the precision of a device, and one optimizer step."""

import logging
import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, cast

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import nn

from medistill.errors import CallError

Precision = Literal["auto", "32", "bf16", "fp16"]
RANKS_WAIT = timedelta(hours=1)
"""For each other: rank 0 validates and writes alone, on a large corpus for minutes."""


def make_optimizer(
    model: nn.Module, *, lr: float, weight_decay: float, fused: bool = False
) -> torch.optim.AdamW:
    """AdamW with no decay on norms, biases and the scale (everything with fewer than two axes).

    fused   one kernel for many weights (see `can_fuse`); False: torch's own choice of the others
    """
    matrices = [p for p in model.parameters() if p.requires_grad and p.ndim >= 2]
    others = [p for p in model.parameters() if p.requires_grad and p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.98), eps=1e-6, fused=fused or None)


def can_fuse(fabric: Fabric) -> bool:
    """On a card, but not under fp16: Fabric cannot undo the loss's scale for a fused optimizer."""
    return fabric.device.type == "cuda" and scaler_of(fabric) is None


def load_optimizer(optimizer: Any, state: dict[str, Any]) -> None:
    """Take up a checkpoint's moments and counts, but not by which kernels it was stepped."""
    kernels = ("fused", "foreach", "capturable")
    state = fitted(state, optimizer.param_groups)
    groups = [
        {**saved, **{name: mine[name] for name in kernels}}
        for saved, mine in zip(state["param_groups"], optimizer.param_groups, strict=True)
    ]
    optimizer.load_state_dict({**state, "param_groups": groups})


def make_fabric(precision: Precision) -> Fabric:
    """Fabric on the best device there is, in the precision asked for; one rank a device under `torchrun`."""
    # Else it tells at every start which precision it was given, and advises another.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    plugin = cast(Any, _plugin_name(precision))
    ranks = int(os.environ.get("WORLD_SIZE", 1))
    if ranks == 1:
        return Fabric(accelerator="auto", devices=1, precision=plugin)
    local = int(os.environ.get("LOCAL_WORLD_SIZE", ranks))
    # No BatchNorm moves here, so buffers are constants: broadcasting them would cost a collective a pass.
    strategy = DDPStrategy(broadcast_buffers=False, timeout=RANKS_WAIT)
    fabric = Fabric(
        accelerator="auto", devices=local, num_nodes=ranks // local, strategy=strategy, precision=plugin
    )
    fabric.launch()
    return fabric


def take_step(fabric: Fabric, model: nn.Module, optimizer: Any, clip_norm: float) -> bool:
    """Clip, apply and clear the gradient; False if the fp16 scaler skipped the step."""
    scaler = scaler_of(fabric)
    fabric.clip_gradients(model, optimizer, max_norm=clip_norm, error_if_nonfinite=False)
    before = scaler.get_scale() if scaler else 0.0
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return scaler is None or scaler.get_scale() >= before


def fitted(state: Mapping[str, Any], groups: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The state of an earlier version's optimizer, which also held weights that no pass ever reached.

    Such weights have no moments, and are frozen by now (DINOv2's mask token).
    """
    fitting: list[dict[str, Any]] = []
    for saved, own in zip(state["param_groups"], groups, strict=True):
        moved = [place for place in saved["params"] if place in state["state"]]
        fits = len(moved) == len(own["params"])
        fitting.append({**saved, "params": moved} if fits else dict(saved))
    return {**state, "param_groups": fitting}


def scaler_of(fabric: Fabric) -> Any:
    """The gradient scaler of fp16, or None."""
    return getattr(fabric.strategy.precision, "scaler", None)


def _plugin_name(precision: Precision) -> str:
    """Fabric's name for it; `auto` is float32 on a CPU, bf16 on a card that has it, else fp16."""
    if precision == "auto":
        if not torch.cuda.is_available():
            return "32-true"
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
    if precision == "fp16" and not torch.cuda.is_available():
        raise CallError("precision fp16 needs a CUDA card, none was found; use --precision auto")
    return {"32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}[precision]
