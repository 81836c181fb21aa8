"""A few real optimizer steps in a process of their own, and what they took.

`python -m medistill.engine.plan.probe` reads a `Trial` as JSON from standard input and writes a `Measure` so.
"""

import dataclasses
import itertools
import json
import sys
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from lightning_fabric import Fabric

from medistill.data.loader.windows import Kept, Window, WindowLoader
from medistill.data.loader.wording import Wordings
from medistill.engine.batching import Batching
from medistill.engine.objectives import batching_of, make_method
from medistill.engine.optimizer import can_fuse, make_fabric, make_optimizer, take_step
from medistill.engine.passes import make_passes
from medistill.engine.step import train_window, with_frozen_parts
from medistill.errors import MedistillError
from medistill.model.dual import DualEncoder, assemble
from medistill.model.start import start_model
from medistill.model.tokenizer import load_tokenizer, pad_id, tokenize, train_tokenizer
from medistill.recipe import Recipe, from_config
from medistill.system.memory import available_bytes, peak_bytes, reset_peak

VALIDATED_AT_ONCE = 64
"""Images the validation embeds at once."""
PROBED = 4
"""Micro-batches of a probe's window."""
WINDOWS, QUICK = 6, 5.0
"""Most windows, and the processor seconds after which no further one is begun."""


@dataclass(frozen=True)
class Trial:
    """What to measure: training at the recipe's micro-batch, or validation without gradient."""

    recipe: dict[str, Any]
    validation: bool = False


@dataclass(frozen=True)
class Measure:
    """What a trial took."""

    micro_batch: int
    peak: int
    """Bytes, all told."""
    libraries: int
    """Bytes of them that the interpreter and its libraries take; 0 on a card."""
    weights: int
    """Bytes of the weights that get a gradient: a gradient takes as much, AdamW's moments twice that."""
    seconds_a_pair: float
    """Teacher, student and backward pass."""
    seconds_a_step: float
    """Clipping, AdamW, the teacher's update."""
    available: int
    """Bytes that were free before the model was built, the libraries' own counted as free."""
    device: str
    precision: str
    lower: int = 0
    """Bytes a pair of what frozen parts of the towers make of a window; 0 on a card, it lies on the host."""


def main() -> None:
    """Measure what standard input asks for; errors a user can cause become one line and a status."""
    trial = Trial(**json.loads(sys.stdin.read()))
    try:
        measure = _measured(from_config(trial.recipe), validation=trial.validation)
    except MedistillError as error:
        print(json.dumps({"error": str(error), "status": error.status}))  # noqa: T201
    except torch.OutOfMemoryError:
        print(json.dumps({"out_of_memory": True}))  # noqa: T201
    else:
        print(json.dumps(dataclasses.asdict(measure)))  # noqa: T201


def _measured(recipe: Recipe, *, validation: bool) -> Measure:
    """Two windows of one optimizer step each: the first makes AdamW's moments, the second is the rule."""
    # A run reads its corpus through Arrow, whose functions take 45 MB at their first call.
    pa.chunked_array([["a", "b"]]).take([0]).to_pylist()
    fabric = make_fabric(recipe.precision)
    on_card = fabric.device.type == "cuda"
    libraries = 0 if on_card else peak_bytes(fabric.device)
    available = available_bytes(fabric.device) + libraries
    torch.manual_seed(recipe.seed)
    model = model_at_random(recipe)
    reset_peak(fabric.device)
    trained = [p for p in model.parameters() if p.requires_grad]
    weights = sum(p.numel() * p.element_size() for p in trained)
    pair, step = _validate(fabric, recipe, model) if validation else _train(fabric, recipe, model)
    lower = 0 if on_card else lower_bytes(fabric, recipe, model)
    # The moments are there when a run validates, but not when the probe does.
    peak = peak_bytes(fabric.device) + (2 * weights if validation else 0)
    name = torch.cuda.get_device_name(fabric.device) if on_card else "CPU"
    precision = str(fabric.strategy.precision.precision)
    return Measure(
        recipe.micro_batch, peak, libraries, weights, pair, step, available, name, precision, lower
    )


def model_at_random(recipe: Recipe) -> DualEncoder:
    """The recipe's model with a vocabulary of full size, and pretrained weights only where it names them."""
    if recipe.init:
        return start_model(recipe, [], [])
    if recipe.text.pretrained:
        tokenizer = load_tokenizer(recipe.text.pretrained)
        return assemble(recipe, tokenizer, vocabulary=tokenizer.get_vocab_size())
    tokenizer = train_tokenizer(["normal"], ["nobody"], vocabulary=recipe.vocabulary, min_patients=1)
    return assemble(recipe, tokenizer, vocabulary=recipe.vocabulary)


def synthetic_window(
    recipe: Recipe,
    model: DualEncoder,
    pairs: int,
    device: torch.device | None = None,
    *,
    kept: bool = True,
) -> Window:
    """Noise images and texts of the greatest length, a study each, by way of the real loader.

    kept   have what locked towers make of them in their place, as a run finds it beside its corpus
    """
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (pairs, recipe.size, recipe.size), dtype=np.uint8)
    text = " ".join(["normal"] * recipe.max_tokens)
    loader = WindowLoader(
        noise.__getitem__,
        Wordings([(text,)] * pairs, seed=recipe.seed),
        [str(i) for i in range(pairs)],
        partial(tokenize, model.tokenizer, max_tokens=recipe.max_tokens),
        pad=pad_id(model.tokenizer),
        size=recipe.size,
        window=pairs,
        seed=recipe.seed,
        augmented=recipe.augment,
        workers=0,
        device=device or torch.device("cpu"),
        kept=_kept(recipe, model, pairs) if kept else Kept(),
    )
    return dataclasses.replace(next(loader.windows(0)), text=torch.arange(pairs))


def _kept(recipe: Recipe, model: DualEncoder, pairs: int) -> Kept:
    """Zeros, where a run keeps features."""
    image = np.zeros((pairs, model.image.width), np.float32) if model.image.locked else None
    drawn = recipe.section == "random" or recipe.text_part != "whole"
    text = np.zeros((pairs, model.text.width), np.float32) if model.text.locked and not drawn else None
    return Kept(image, text)


def lower_bytes(fabric: Fabric, recipe: Recipe, model: DualEncoder) -> int:
    """Of one pair: what frozen parts of the towers make of it, as it lies on the host."""
    window = synthetic_window(recipe, model, 1)
    window = with_frozen_parts(fabric, fabric.setup_module(model), window, batching_of(recipe))
    made = (window.image_lower, window.text_lower)
    return sum(lower.numel() * lower.element_size() for lower in made if lower is not None)


def _train(fabric: Fabric, recipe: Recipe, model: DualEncoder) -> tuple[float, float]:
    """Seconds a pair and seconds an optimizer step, of the last window.

    The first optimizer step makes AdamW's moments: the peak is the second's. A card's first window pays for
    its start as well. On a CPU the memory of freed tensors is not all used again, and the peak of a small
    model goes on growing for some windows: they are gone through where that takes no time.
    """
    window = synthetic_window(recipe, model, probed_window(recipe), fabric.device)
    batching = batching_of(recipe)
    batching.per_step = min(batching.per_step, len(window))
    if recipe.objective == "msd":
        batching.per_step = min(batching.per_step, -(-len(window) // 2))
    method = make_method(recipe, model, fabric)
    passes = make_passes(recipe, fabric)
    optimizer = make_optimizer(model, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=can_fuse(fabric))
    student, optimizer = fabric.setup(model, optimizer)
    student.train()
    stepping: list[float] = []

    def optimizer_step() -> bool:
        start = _now(fabric)
        taken = take_step(fabric, student, optimizer, recipe.clip_norm)
        stepping.append(_now(fabric) - start)
        return taken

    steps = -(-len(window) // batching.per_step)
    least = 1 if steps > 1 and fabric.device.type == "cpu" else 2
    seconds, began = 0.0, time.process_time()
    for done in itertools.count(1):
        start = _now(fabric)
        train_window(
            fabric,
            student,
            method,
            window,
            batching=batching,
            optimizer_step=optimizer_step,
            passes=passes,
        )
        seconds = _now(fabric) - start
        if done >= least and (done >= WINDOWS or time.process_time() - began > QUICK):
            break
    if _sizes(batching) != _sizes(batching_of(recipe)):  # it went on with smaller passes
        raise torch.OutOfMemoryError
    return (seconds - sum(stepping[-steps:])) / len(window), sum(stepping[-steps:]) / steps


def _sizes(batching: Batching) -> tuple[int, int, int]:
    return batching.micro, batching.image, batching.text


def probed_window(recipe: Recipe) -> int:
    """Pairs of the windows a probe trains on: four micro-batches, since the teacher takes four at once."""
    return min(recipe.window, PROBED * recipe.micro_batch)


def _validate(fabric: Fabric, recipe: Recipe, model: DualEncoder) -> tuple[float, float]:
    """Embed as many images and texts as a validation does at once, teacher and student in memory."""
    method = make_method(recipe, model, fabric)
    model.to(fabric.device)
    window = synthetic_window(recipe, model, VALIDATED_AT_ONCE, kept=False)
    with torch.no_grad():
        delivered = method.delivered(model).eval()
        delivered.embed_images(window.images.to(fabric.device))
        delivered.embed_tokens(window.tokens.to(fabric.device), window.mask.to(fabric.device))
    return 0.0, 0.0


def _now(fabric: Fabric) -> float:
    """The clock once the device has done all it was asked to."""
    if fabric.device.type == "cuda":
        torch.cuda.synchronize(fabric.device)
    return time.monotonic()


if __name__ == "__main__":
    main()
