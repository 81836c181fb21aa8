"""Other libraries' large batches on the same towers, data and optimizer; an ImportError where one is absent.

GradCache: https://github.com/luyug/GradCache, the module `grad_cache`. open_clip: `open_clip_torch`, whose
`open_clip_train.train` has the step of its `--accum-freq`.
"""

import itertools
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from benchmarks.on_card.entrant import fresh_model, optimizer_of
from medistill.data.loader import Window
from medistill.engine.optimizer import take_step
from medistill.model.dual import DualEncoder
from medistill.objective import info_nce
from medistill.recipe import Recipe

OPEN_CLIP_PRECISION = {"32-true": "fp32", "bf16-mixed": "amp_bf16"}
"""Its name of a precision by Fabric's; fp16 would want its own gradient scaler."""


class GradCacheLibrary:
    """Gradient caching by the library of its authors; a window is one optimizer step."""

    def __init__(self, recipe: Recipe, fabric: Fabric):
        from grad_cache import GradCache  # pyright: ignore[reportMissingImports]

        torch.manual_seed(0)
        self.recipe, self.fabric = recipe, fabric
        model = fresh_model(recipe).to(fabric.device)
        self.student, self.optimizer = fabric.setup(model, optimizer_of(recipe, model, fabric))
        self.student.train()
        self.positive = torch.ones(0, 0, dtype=torch.bool)
        towers: list[nn.Module] = [_Tower(model, fabric, name) for name in ("image", "text")]
        self.cache = GradCache(
            models=towers,
            chunk_sizes=recipe.micro_batch,
            loss_fn=lambda image, text: self._loss(model, image, text),
            get_rep_fn=lambda row: row,
        )

    def train(self, window: Window) -> None:
        """One window, wholly on the device, as the library takes it."""
        part = window.part(slice(0, len(window)), self.fabric.device)
        if len(self.positive) != len(window):
            self.positive = torch.eye(len(window), dtype=torch.bool, device=self.fabric.device)
        self.cache(part.images, [part.tokens, part.mask])
        take_step(self.fabric, self.student, self.optimizer, self.recipe.clip_norm)

    def _loss(self, model: DualEncoder, image: Tensor, text: Tensor) -> Tensor:
        return info_nce(image, text, image, text, self.positive, scale=model.head().scale)


class _Tower(nn.Module):
    """One tower as a module of its own."""

    def __init__(self, model: DualEncoder, fabric: Fabric, name: str):
        super().__init__()
        self.model, self.fabric = model, fabric
        self.embed = model.embed_images if name == "image" else model.embed_tokens

    def forward(self, *inputs: Tensor) -> Tensor:
        with self.fabric.autocast():
            return self.embed(*inputs)


class OpenClipAccumulation:
    """open_clip's own epoch over one window, its `--accum-freq` the window's micro-batches."""

    def __init__(self, recipe: Recipe, fabric: Fabric):
        from open_clip.loss import ClipLoss  # pyright: ignore[reportMissingImports]
        from open_clip_train.train import train_one_epoch  # pyright: ignore[reportMissingImports]

        torch.manual_seed(0)
        self.recipe, self.device = recipe, fabric.device
        self.epoch, self.loss = train_one_epoch, ClipLoss()
        self.precision = OPEN_CLIP_PRECISION[str(fabric.strategy.precision.precision)]
        model = fresh_model(recipe).to(fabric.device)
        self.view = _View(model)
        self.optimizer = optimizer_of(recipe, model, fabric)

    def train(self, window: Window) -> None:
        """One optimizer step."""
        batches = _Batches(window, self.recipe.micro_batch)
        options = SimpleNamespace(
            device=str(self.device),
            precision=self.precision,
            accum_freq=batches.num_batches,
            batch_size=self.recipe.micro_batch,
            grad_clip_norm=self.recipe.clip_norm,
            skip_scheduler=True,
            log_every_n_steps=1 << 30,
            **dict.fromkeys(("distill", "horovod", "wandb"), False),
            rank=0,
            local_rank=0,
            world_size=1,
        )
        data = {"train": SimpleNamespace(set_epoch=lambda epoch: None, dataloader=batches)}
        self.epoch(self.view, data, self.loss, 0, self.optimizer, None, None, None, options)


class _Batches:
    """What open_clip's loader gives: images and token ids, batch by batch."""

    def __init__(self, window: Window, size: int):
        self.parts = list(zip(window.images.split(size), window.tokens.split(size), strict=True))
        self.num_batches, self.num_samples = len(self.parts), len(window)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return itertools.chain(self.parts)


class _View(nn.Module):
    """The model as open_clip's step calls one; every token of its texts counts."""

    def __init__(self, model: DualEncoder):
        super().__init__()
        self.model = model

    @property
    def logit_scale(self) -> nn.Parameter:
        """Clamped after each step."""
        return self.model.log_scale

    def forward(self, images: Tensor, texts: Tensor) -> dict[str, Any]:
        image, text, scale, _ = self.model(images, texts, torch.ones_like(texts, dtype=torch.bool))
        return {"image_features": image, "text_features": text, "logit_scale": scale}
