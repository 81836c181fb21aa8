"""What image and text towers share: a backbone, what of it is frozen, and how it is run."""

from typing import Any, Literal

from torch import nn
from transformers import PretrainedConfig

from medistill.errors import CallError
from medistill.model.norms import keep_half

Pooling = Literal["mean", "cls"]


class Tower(nn.Module):
    """A transformers backbone, pooled to one row of `width` a sample.

    What is frozen of it is run by `lower`, without gradient, and the rest by `upper`. Of a locked tower
    `lower` gives the pooled row already.
    """

    frozen_layers = 0
    locked = False

    def __init__(self, backbone: nn.Module, config: PretrainedConfig, pooling: Pooling, *, frozen_norm: bool):
        super().__init__()
        keep_half(backbone)
        self.backbone = backbone
        self.config = config
        self.pooling: Pooling = pooling
        self.frozen_norm = frozen_norm
        self.compiled = ""
        self.width = 0
        """Numbers a sample, known once the tower has been tried."""

    def train(self, mode: bool = True) -> "Tower":
        """As in torch, but what is frozen stays in eval mode: no dropout.

        So does pretrained BatchNorm: micro-batches are too small to renew it.
        """
        super().train(mode)
        if self.frozen_norm:
            for module in self.backbone.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        for part in self.frozen_parts():
            part.eval()
        return self

    def lock(self) -> None:
        """Keep all of it as it is: no gradient, no dropout."""
        self.locked = True
        self._freeze()

    def frozen_parts(self) -> list[nn.Module]:
        """What stays as it is, the same in student and teacher."""
        return [self.backbone] if self.locked else self._lowest()

    @property
    def splits(self) -> bool:
        """Whether `lower` has a part of it to run."""
        return self.locked or self.frozen_layers > 0

    def compile_with(self, backend: str) -> None:
        """Compile the backbone at its first call; names of weights stay."""
        self.compiled = backend
        for part in self.called_parts():
            part.compile(backend=backend)

    def called_parts(self) -> list[nn.Module]:
        """The whole backbone, or with frozen layers what comes before the layers, and each of them."""
        parts = self._lowest()
        return [*parts, *self._layers()[self.frozen_layers :]] if parts else [self.backbone]

    def _lowest(self) -> list[nn.Module]:
        """What comes before the layers, and the lowest of them; nothing where none is frozen."""
        if not self.frozen_layers:
            return []
        return [*self._stem(), *self._beside(), *self._layers()[: self.frozen_layers]]

    def _stem(self) -> list[nn.Module]:
        raise NotImplementedError

    def _beside(self) -> list[nn.Module]:
        """What the layers share."""
        return []

    def _layers(self) -> nn.ModuleList:
        raise NotImplementedError

    def _freeze(self) -> None:
        for part in self.frozen_parts():
            part.requires_grad_(False)
        self.train(self.training)

    def _expect_layers(self, tower: str, layers: int, name: str) -> None:
        """CallError for more of them than there are, or fewer than one."""
        there = len(self._layers())
        if not 0 < layers <= there:
            raise CallError(f"{tower}.frozen_layers is {layers}; the {tower} tower has {there} {name}")

    def __setstate__(self, state: dict[str, Any]) -> None:
        """As in torch, but the copy of a compiled tower is compiled too: the teacher is such a copy."""
        super().__setstate__(state)
        if self.compiled:
            self.compile_with(self.compiled)
