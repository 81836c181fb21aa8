"""The objectives by name: what the window means to each."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from jaxtyping import Bool, Float
from lightning_fabric import Fabric
from torch import Tensor

from medistill.engine.batching import Batching
from medistill.engine.cached import Cached
from medistill.engine.fastclip import FastClip
from medistill.engine.keys import KeyQueue
from medistill.engine.method import InBatch, Method
from medistill.engine.msd import Moco, Msd, MsdSettings
from medistill.engine.schedule import alpha_at
from medistill.model.dual import DualEncoder, Embeddings
from medistill.model.teacher import make_teacher, momentum_at
from medistill.objective import info_nce, pairwise_sigmoid
from medistill.recipe import Recipe


class Objective(NamedTuple):
    """What the window means to an objective."""

    make: Callable[[Recipe, DualEncoder, Fabric], Method]
    steps_every: Callable[[Recipe], int]
    """Micro-batches per optimizer step."""


def make_method(recipe: Recipe, student: DualEncoder, fabric: Fabric) -> Method:
    """The recipe's objective, ready to train `student`."""
    return _OBJECTIVES[recipe.objective].make(recipe, student, fabric)


def steps_every(recipe: Recipe) -> int:
    """Micro-batches per optimizer step."""
    return _OBJECTIVES[recipe.objective].steps_every(recipe)


def by_tower(recipe: Recipe) -> bool:
    """Whether a step goes through one tower at a time: keys without a gradient, or with a cached one."""
    live = ("clip", "fastclip") if not recipe.live_share else ("clip", "fastclip", "msd")
    return recipe.objective not in live


def batching_of(recipe: Recipe) -> Batching:
    """How the recipe cuts a rank's share of a window."""
    per_step = recipe.micro_batch * steps_every(recipe)
    return Batching(
        recipe.micro_batch, per_step, image=recipe.image_micro_batch, text=recipe.text_micro_batch
    )


def queue_size(recipe: Recipe) -> int:
    """Keys of earlier windows that the recipe's objective comes to hold, per modality."""
    if recipe.objective == "moco":
        return recipe.queue or MOCO_QUEUE * recipe.window
    return recipe.queue if recipe.objective == "msd" else 0


def _micro_batches(recipe: Recipe) -> int:
    """In a window."""
    return -(-recipe.window // recipe.micro_batch)


def _every_one(recipe: Recipe) -> int:
    return 1


def _as_set(recipe: Recipe) -> int:
    return recipe.micro_per_step


def _contrast(query: Embeddings, keys: Embeddings, positive: Bool[Tensor, "b n"]) -> Float[Tensor, ""]:
    return info_nce(query.image, query.text, keys.image, keys.text, positive, scale=query.scale)


def _sigmoid(query: Embeddings, keys: Embeddings, positive: Bool[Tensor, "b n"]) -> Float[Tensor, ""]:
    return pairwise_sigmoid(query.image, keys.text, positive, scale=query.scale, bias=query.bias)


def _clip(recipe: Recipe, student: DualEncoder, fabric: Fabric) -> InBatch:
    return InBatch(_contrast)


def _fastclip(recipe: Recipe, student: DualEncoder, fabric: Fabric) -> FastClip:
    return FastClip(version=recipe.fastclip_version)


def _gradcache(recipe: Recipe, student: DualEncoder, fabric: Fabric) -> Cached:
    return Cached(fabric, _contrast)


def _siglip(recipe: Recipe, student: DualEncoder, fabric: Fabric) -> Cached:
    return Cached(fabric, _sigmoid)


def _msd(recipe: Recipe, student: DualEncoder, fabric: Fabric) -> Msd:
    size = queue_size(recipe)
    return Msd(
        fabric,
        make_teacher(student).to(fabric.device),
        schedule=partial(_settings, recipe),
        live_share=recipe.live_share,
        teacher_chunk=recipe.teacher_chunk or (1 if recipe.checkpoint_activations else 4),
        queue=KeyQueue(size, recipe.queue_max_age) if size else None,
        deliver_teacher=recipe.deliver == "teacher",
    )


def _moco(recipe: Recipe, student: DualEncoder, fabric: Fabric) -> Moco:
    """The queue ages by the micro-batch here, its limit is still given in windows."""
    return Moco(
        fabric,
        make_teacher(student).to(fabric.device),
        schedule=lambda progress, epoch: _settings(recipe, progress, epoch)._replace(alpha=0.0),
        live_share=0.0,
        queue=KeyQueue(queue_size(recipe), recipe.queue_max_age * _micro_batches(recipe)),
        deliver_teacher=recipe.deliver == "teacher",
    )


MOCO_QUEUE = 4
"""Windows of keys that `moco` queues where the recipe names no number."""
_OBJECTIVES: Mapping[str, Objective] = {
    "msd": Objective(_msd, _as_set),
    "clip": Objective(_clip, _every_one),
    "fastclip": Objective(_fastclip, _every_one),
    "gradcache": Objective(_gradcache, _micro_batches),
    "siglip": Objective(_siglip, _micro_batches),
    "moco": Objective(_moco, _every_one),
}


def _settings(recipe: Recipe, progress: float, epoch: float) -> MsdSettings:
    alpha = alpha_at(epoch, recipe.alpha, recipe.alpha_ramp)
    momentum = momentum_at(progress, recipe.momentum, recipe.momentum_end)
    return MsdSettings(alpha, momentum, epoch >= recipe.queue_warmup)
