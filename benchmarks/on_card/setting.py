"""What is measured on, and how large: recipes, windows, micro-batches."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from lightning_fabric import Fabric

from medistill.engine.optimizer import make_fabric
from medistill.recipe import Recipe, chest_resnet50, chest_vitb, msd_paper, quickstart


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The sizes that docs/benchmarks.md names; tests take smaller ones."""

    fabric: Fabric = field(default_factory=lambda: make_fabric("auto"))
    folder: Path
    """Of the caller's; corpora and models are put there."""

    chest: Recipe = field(default_factory=chest_resnet50)
    vit: Recipe = field(default_factory=chest_vitb)
    paper: Recipe = field(default_factory=msd_paper)
    quick: Recipe = field(default_factory=quickstart)

    windows: Sequence[int] = (64, 1024, 4096)
    """Whose memory is measured; the rivals' up to `window`."""
    window: int = 1024
    """For speeds."""
    short: int = 256
    """Window where many sizes are tried, and where the card's work is taken down kernel by kernel."""
    turns: int = 3
    batches: Sequence[int] = (64, 128, 256, 512)
    """Of clip end to end."""
    micro_batches: Sequence[int] = (16, 32, 64, 128, 256)
    planned: Sequence[int] = (16, 32, 64)
    """Micro-batches of which a plan's prediction is held against the measured peak."""
    held: Sequence[tuple[int, float]] = ((32, 4.8), (64, 11.0))
    """Micro-batch, and the GB it must do with."""
    studies: int = 1200
    """Phantoms the quickstart is trained on."""
    embedded: int = 1500
    """Phantoms of `embedded_size` pixels that are embedded."""
    embedded_size: int = 224

    @property
    def device(self) -> torch.device:
        """Where everything runs."""
        return self.fabric.device
