"""An objective at work on a recipe's towers: weights at random, windows of noise, real optimizer steps."""

import copy
import dataclasses
import json
from functools import cache, partial
from typing import cast

import torch
import torch.nn.functional as F
from lightning_fabric import Fabric

from medistill.data.loader import Window
from medistill.engine.keys import Keys
from medistill.engine.msd import Msd
from medistill.engine.objectives import batching_of, make_method
from medistill.engine.optimizer import can_fuse, make_optimizer, take_step
from medistill.engine.passes import make_passes
from medistill.engine.plan.probe import model_at_random
from medistill.engine.step import train_window
from medistill.model.dual import DualEncoder
from medistill.recipe import Recipe, chest_resnet50, from_config, to_config

SPECIAL = 5
"""Token ids below it mark ends, padding and the unknown in a vocabulary of ours."""
MADE_OF = (
    *("image", "text", "dim", "size", "channels", "mean", "std", "max_tokens", "vocabulary", "objective"),
    *("scale", "bias", "precision", "checkpoint_activations", "channels_last", "compile"),
)
"""Fields of a recipe that say what its model is."""


class Entrant:
    """A recipe in training, in the middle of its run: the targets are soft, the queue is full."""

    def __init__(self, recipe: Recipe, fabric: Fabric):
        torch.manual_seed(0)
        self.recipe, self.fabric = recipe, fabric
        model = fresh_model(recipe).to(fabric.device)
        self.method = make_method(recipe, model, fabric)
        self.method.set_schedule(0.5, 100.0)
        self._fill_queue()
        self.passes = make_passes(recipe, fabric)
        self.student, self.optimizer = fabric.setup(model, optimizer_of(recipe, model, fabric))
        self.student.train()
        self.batching = batching_of(recipe)

    def train(self, window: Window) -> None:
        """One window; OutOfMemoryError where the engine went on with smaller passes: the figure would lie."""
        train_window(
            self.fabric,
            self.student,
            self.method,
            window,
            batching=self.batching,
            optimizer_step=partial(
                take_step, self.fabric, self.student, self.optimizer, self.recipe.clip_norm
            ),
            passes=self.passes,
        )
        before, now = batching_of(self.recipe), self.batching
        if (before.micro, before.image, before.text) != (now.micro, now.image, now.text):
            raise torch.OutOfMemoryError(f"went on with passes of {now.micro}, {now.image}, {now.text}")

    @property
    def captured(self) -> str:
        """Whether graphs are replayed: the engine leaves them off where they give another gradient."""
        return "yes" if self.passes._captured else "no"

    def use_window(self, window: int) -> None:
        """Have windows of so many pairs from here on."""
        self.recipe = windowed(self.recipe, window)
        self.batching = batching_of(self.recipe)
        if isinstance(self.method, Msd):
            again = make_method(self.recipe, self.student.module, self.fabric)
            self.method.queue = cast(Msd, again).queue  # moco's is as long as some windows
            self._fill_queue()

    def _fill_queue(self) -> None:
        if isinstance(self.method, Msd) and self.method.queue:
            queue = self.method.queue
            queue.push(random_keys(queue.size, self.recipe.dim, self.fabric.device))


def windowed(recipe: Recipe, window: int) -> Recipe:
    """The recipe at another window; a step a window stays one, else micro-batches a step stay as they are."""
    whole = recipe.micro_per_step > 1 and recipe.micro_per_step * recipe.micro_batch >= recipe.window
    most = -(-window // recipe.micro_batch)
    every = most if whole else min(recipe.micro_per_step, most)
    return dataclasses.replace(recipe, window=window, micro_per_step=every)


def optimizer_of(recipe: Recipe, model: DualEncoder, fabric: Fabric) -> torch.optim.AdamW:
    """The same for ours and for rivals."""
    return make_optimizer(model, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=can_fuse(fabric))


def fresh_model(recipe: Recipe) -> DualEncoder:
    """The recipe's model, with the same random weights each time."""
    own, common = to_config(recipe), to_config(chest_resnet50())
    own["objective"] = "siglip" if recipe.objective == "siglip" else "clip"  # it alone has a bias
    return copy.deepcopy(_drawn(json.dumps(common | {name: own[name] for name in MADE_OF})))


@cache
def _drawn(config: str) -> DualEncoder:
    torch.manual_seed(0)
    return model_at_random(from_config(json.loads(config)))


def noise_window(recipe: Recipe, pairs: int, *, pinned: bool) -> Window:
    """Random images, and random texts of the greatest length; each pair is a study of its own."""
    images, tokens = _noise(recipe.size, recipe.max_tokens, recipe.vocabulary, pairs, pinned)
    columns = [torch.ones_like(tokens, dtype=torch.bool), *(torch.arange(pairs) for _ in range(3))]
    mask, study, text, row = (column.pin_memory() if pinned else column for column in columns)
    return Window(images, tokens, mask, study, text, row=row)


@cache
def _noise(size: int, length: int, vocabulary: int, pairs: int, pinned: bool) -> tuple[torch.Tensor, ...]:
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (pairs, size, size), generator=random, dtype=torch.uint8)
    tokens = torch.randint(SPECIAL, vocabulary, (pairs, length), generator=random)
    return tuple(column.pin_memory() if pinned else column for column in (images, tokens))


def cut(window: Window, pairs: int) -> Window:
    """The first pairs of a window, where they lie."""
    return window.part(slice(0, pairs), torch.device("cpu"))


def random_keys(count: int, dim: int, device: torch.device) -> Keys:
    """Keys of studies that are in no window."""
    image, text = (F.normalize(torch.randn(count, dim, device=device), dim=1) for _ in range(2))
    ids = -1 - torch.arange(count, device=device)
    return Keys(image, text, ids, ids.clone())
