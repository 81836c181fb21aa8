"""Full fine-tuning: the image tower and a linear head, trained on labeled images."""

import copy
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int, UInt8
from lightning_fabric import Fabric
from PIL import Image
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from medistill.data.image import grey_array, letterbox
from medistill.engine.optimizer import make_fabric, make_optimizer, take_step
from medistill.errors import CallError, MedistillError
from medistill.model.dual import DualEncoder

_LEAST_STEPS = 25
"""Of a round: a pass over few images says too little about whether to stop."""
_HELD_OUT = 0.2
"""Share of the groups that validate where nothing is given to validate on."""
_CLIP_NORM = 1.0
_BATCH = 64
"""Images at once where nothing is learned."""


class FineTune(ClassifierMixin, BaseEstimator):
    """The image tower of a dual encoder and a linear head on its features, trained together.

    After BenchX: a layer norm before the head, AdamW, the encoder at a tenth of the head's learning rate,
    stopped by validation; unlike it at one learning rate for every model, and without augmentation. A round
    is one pass over the images, or 25 steps if that is more. The weights of the round with the lowest
    validation loss are kept; training ends when `patience` rounds have not lowered it.

    Classes (a column) are learned by a softmax; findings (a table of 1 and 0, all else is not stated) by a
    sigmoid each. `model` stays as it is. On a CPU the same seed and images give the same weights.

    lr              of the head
    encoder_share   the encoder's learning rate over the head's
    rounds          at most
    on_round        called after each
    """

    def __init__(
        self,
        model: Any,
        *,
        lr: float = 1e-3,
        encoder_share: float = 0.1,
        weight_decay: float = 0.05,
        batch: int = 32,
        rounds: int = 20,
        patience: int = 4,
        seed: int = 0,
        on_round: Callable[[], None] | None = None,
    ) -> None:
        self.model = model
        self.lr = lr
        self.encoder_share = encoder_share
        self.weight_decay = weight_decay
        self.batch = batch
        self.rounds = rounds
        self.patience = patience
        self.seed = seed
        self.on_round = on_round

    def fit(self, X: Any, y: Any, *, groups: Any = None, validation: Any = None) -> "FineTune":  # noqa: N803
        """Fit to 2-D uint8 arrays or PIL images of any size, and a class or a row of findings for each.

        groups       what belongs together (a patient), for holding some out; each image if None
        validation   images and labels to stop by; if None, a fifth of the groups is held out for it
        """
        if not isinstance(self.model, DualEncoder):
            raise CallError(
                f"found a {type(self.model).__name__} to fine-tune, expected a DualEncoder of medistill"
            )
        labels = np.asarray(y)
        self._learn_classes(labels)
        train = _Examples(X, self._targets(labels), self.model.size)
        if validation is not None:
            held_out = _Examples(validation[0], self._targets(np.asarray(validation[1])), self.model.size)
        else:
            places = _held_out(len(train), groups, self.seed)
            held_out = train.part(np.flatnonzero(places))
            train = train.part(np.flatnonzero(~places))
        for part, what in ((train, "train"), (held_out, "validate")):
            if not np.isfinite(part.targets).any():
                raise ValueError(f"no image to {what} on has a label of 1 or 0")
        with torch.random.fork_rng():  # the caller's random numbers go on as if nothing had been trained
            torch.manual_seed(self.seed)
            self._train(train, held_out)
        return self

    def decision_function(self, X: Any) -> np.ndarray:  # noqa: N803
        """Logits (n, classes or findings); of two classes the second's less the first's (n,)."""
        logits = self._logits(X)
        return logits[:, 1] - logits[:, 0] if self.single_ and len(self.classes_) == 2 else logits

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        """Probabilities (n, classes), each row of sum 1; or (n, findings), each of its own."""
        logits = torch.from_numpy(self._logits(X))
        return (logits.softmax(dim=1) if self.single_ else logits.sigmoid()).numpy()

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """The class of each image, or 1 and 0 for each finding."""
        logits = self._logits(X)
        return self.classes_[logits.argmax(axis=1)] if self.single_ else (logits > 0).astype(np.int64)

    def _learn_classes(self, labels: np.ndarray) -> None:
        if labels.ndim not in (1, 2):
            raise ValueError(f"y has shape {labels.shape}; expected a class or a row of findings an image")
        self.single_ = labels.ndim == 1
        if not self.single_:
            self.classes_ = np.arange(labels.shape[1])
            return
        check_classification_targets(labels)
        self.classes_ = np.unique(labels)
        if len(self.classes_) < 2:
            raise ValueError(f"FineTune needs two classes or more; y holds {len(self.classes_)} class")

    def _targets(self, labels: np.ndarray) -> Float32[np.ndarray, "n o"]:
        """1 and 0 by output, NaN where not stated."""
        if labels.shape[1:] != (() if self.single_ else (len(self.classes_),)):
            raise ValueError(f"labels of shape {labels.shape} do not go with {len(self.classes_)} classes")
        if not self.single_:
            return np.where(np.isin(labels, (0, 1)), labels, np.nan).astype(np.float32)
        known = np.isin(labels, self.classes_)
        if not known.all():
            raise ValueError(f"class {labels[~known][0]!r} to validate on is none of {list(self.classes_)}")
        return np.eye(len(self.classes_), dtype=np.float32)[np.searchsorted(self.classes_, labels)]

    def _train(self, train: "_Examples", held_out: "_Examples") -> None:
        fabric = make_fabric("auto")
        classifier = _Classifier(self.model, len(self.classes_))
        module, optimizer = fabric.setup(classifier, self._optimizer(classifier))
        steps = max(_LEAST_STEPS, math.ceil(len(train) / self.batch))
        batches = train.endless(self.batch, self.seed)
        self.losses_: list[float] = []
        kept: dict[str, Tensor] = {}
        for _ in range(self.rounds):
            module.train()
            for images, targets in itertools.islice(batches, steps):
                logits = module(images.to(fabric.device))
                fabric.backward(self._nats(logits, targets.to(fabric.device)).mean())
                take_step(fabric, module, optimizer, _CLIP_NORM)
            loss = self._validated(fabric, module, held_out)
            if loss < min(self.losses_, default=math.inf):
                kept = copy.deepcopy(classifier.state_dict())
                self.round_ = len(self.losses_)
            self.losses_.append(loss)
            if self.on_round:
                self.on_round()
            if kept and len(self.losses_) - 1 - self.round_ >= self.patience:
                break
        if not kept:
            raise MedistillError(f"fine-tuning diverged at a learning rate of {self.lr:g}; lower it")
        classifier.load_state_dict(kept)
        self.classifier_ = classifier.eval()

    def _optimizer(self, classifier: "_Classifier") -> torch.optim.AdamW:
        rates = ((classifier.tower, self.lr * self.encoder_share), (classifier.head, self.lr))
        optimizers = [make_optimizer(part, lr=lr, weight_decay=self.weight_decay) for part, lr in rates]
        return torch.optim.AdamW([group for one in optimizers for group in one.param_groups])

    def _nats(self, logits: Float[Tensor, "b o"], targets: Float[Tensor, "b o"]) -> Float[Tensor, " t"]:
        """The loss of each label."""
        if self.single_:
            return F.cross_entropy(logits, targets, reduction="none")
        known = targets.isfinite()
        # A batch without a label has a mean of 0, not of nothing.
        nats = F.binary_cross_entropy_with_logits(logits[known], targets[known], reduction="none")
        return nats if len(nats) else logits.flatten()[:1] * 0

    @torch.no_grad()
    def _validated(self, fabric: Fabric, module: Any, held_out: "_Examples") -> float:
        """Mean loss of the held-out labels, in nats."""
        module.eval()
        nats = [
            self._nats(module(images.to(fabric.device)), targets.to(fabric.device)).double().cpu()
            for images, targets in held_out.batches(np.arange(len(held_out)), _BATCH)
        ]
        return float(torch.cat(nats).mean())

    @torch.no_grad()
    def _logits(self, X: Any) -> Float32[np.ndarray, "n o"]:  # noqa: N803
        check_is_fitted(self)
        nothing = np.zeros((len(X), len(self.classes_)), np.float32)
        examples = _Examples(X, nothing, self.classifier_.size)
        device = next(self.classifier_.parameters()).device
        parts = [
            self.classifier_(images.to(device)).cpu().numpy()
            for images, _ in examples.batches(np.arange(len(examples)), _BATCH)
        ]
        return np.concatenate([nothing[:0], *parts])


class _Classifier(nn.Module):
    """A copy of the model's image tower, and a head for its normalized features."""

    def __init__(self, model: DualEncoder, outputs: int) -> None:
        super().__init__()
        self.tower = copy.deepcopy(model.image)
        self.head = nn.Sequential(nn.LayerNorm(self.tower.width), nn.Linear(self.tower.width, outputs))
        self.size, self.channels, self.mean, self.std = model.size, model.channels, model.mean, model.std

    def forward(self, images: UInt8[Tensor, "b h w"]) -> Float[Tensor, "b o"]:
        pixels = (images[:, None].float() / 255 - self.mean) / self.std
        return self.head(self.tower(pixels.expand(-1, self.channels, -1, -1)).float()).float()


class _Examples:
    """Images, decoded and fitted to the model's size one batch at a time, and their targets."""

    def __init__(self, images: Any, targets: Float32[np.ndarray, "n o"], size: int) -> None:
        if len(images) != len(targets):
            raise ValueError(f"found {len(images)} images and {len(targets)} labels; expected one for each")
        self.images, self.targets, self.size = images, targets, size
        self.rows = np.arange(len(targets))

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, rows: Int[np.ndarray, " m"]) -> "_Examples":
        """Some of them; their images are not copied."""
        part = copy.copy(self)
        part.rows, part.targets = self.rows[rows], self.targets[rows]
        return part

    def endless(self, size: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of pass after pass, each in an order of its own; the last of a pass may be short."""
        for number in itertools.count():
            yield from self.batches(np.random.default_rng([seed, number]).permutation(len(self)), size)

    def batches(self, order: Int[np.ndarray, " m"], size: int) -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            squares = np.stack([_square(self.images[int(self.rows[row])], self.size) for row in rows])
            yield torch.from_numpy(squares), torch.from_numpy(self.targets[rows])


def _square(image: Any, size: int) -> UInt8[np.ndarray, "size size"]:
    return letterbox(grey_array(image) if isinstance(image, Image.Image) else image, size)


def _held_out(n: int, groups: Any, seed: int) -> np.ndarray:
    """Which rows validate: those of a fifth of the groups, drawn by the seed."""
    _, group = np.unique(np.arange(n) if groups is None else np.asarray(groups), return_inverse=True)
    count = int(group.max()) + 1 if n else 0
    if count < 2:
        raise ValueError(f"found {count} group to train on and to validate on, expected two or more")
    chosen = np.random.default_rng([seed, count]).permutation(count)[: math.ceil(_HELD_OUT * count)]
    return np.isin(group, chosen)
