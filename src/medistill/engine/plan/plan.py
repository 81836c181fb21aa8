"""Which micro-batch fits, what it takes and how long an epoch lasts: measured, then fitted."""

import dataclasses
import itertools
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medistill.data.corpus import open_corpus, training_rows
from medistill.data.folds import in_fold
from medistill.engine.batching import TOWERS, Tower
from medistill.engine.objectives import batching_of, by_tower, queue_size, steps_every
from medistill.engine.plan.probe import VALIDATED_AT_ONCE, Measure, Trial, probed_window
from medistill.errors import CallError, MedistillError
from medistill.html.words import in_units
from medistill.recipe import Recipe, to_config

MARGIN = 0.1
"""Share of the memory that is left free: the fit's own error, and what an allocator cannot put together."""
PATIENCE = 60.0
"""Seconds of measuring after which no larger micro-batch is tried than the line needs."""
TIDY = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "0"}
"""Environment in which glibc returns freed memory; other systems do not know these names."""


@dataclass(frozen=True)
class Plan:
    """What `medistill plan` found; bytes and seconds."""

    recipe: Recipe
    memory: int
    """To stay within."""
    limited: bool
    """Whether the memory was named, not found."""
    measures: Sequence[Measure]
    """At growing micro-batches."""
    pairs: int
    """Training pairs in an epoch; 0 if no corpus was named."""
    usual: Measure | None = None
    """The largest micro-batch measured again as a run goes, if the others were measured more tidily."""
    validation: int = 0
    """Peak of a validation, where it could be the highest."""
    towers: Mapping[Tower, Measure] = field(default_factory=dict[Tower, Measure])
    """Of the largest micro-batch measured, that tower's passes of its size and the other's of one pair; empty
    where the objective needs both towers at once."""

    def peak(self, micro_batch: int) -> int:
        """Predicted for that micro-batch: fixed + a pair's part * micro-batch + the window's part."""
        recipe = with_micro_batch(self.recipe, micro_batch)
        fixed, a_pair = self.line
        training = fixed + a_pair * micro_batch + self._window(recipe, recipe.window, queue_size(recipe))
        return max(round(training + self.untidy(micro_batch)), self.validation)

    def untidy(self, micro_batch: int) -> float:
        """Bytes of freed memory that a process does not use again, measured at one micro-batch.

        It grows with the micro-batch, but more slowly, since tensors above 32 MB are given back. From 8 pairs
        to 32 the chest recipes had 1.2 to 3.4 times as much (two of msd, one of clip): hence the square root.
        """
        if not self.usual:
            return 0.0
        measured = self.usual.micro_batch
        tidy = next(m.peak for m in self.measures if m.micro_batch == measured)
        return max(0, self.usual.peak - tidy) * math.sqrt(micro_batch / measured)

    @property
    def line(self) -> tuple[float, float]:
        """Fixed bytes and bytes a pair, through the two largest micro-batches measured.

        Below some size the peak falls where gradients are complete and activations gone: it is flatter there.
        """
        last = self.measures[-2:]
        sizes, peaks = [m.micro_batch for m in last], [self._without_window(m) for m in last]
        if len(last) == 1:
            return float(peaks[0]), 0.0
        a_pair = max(0.0, (peaks[1] - peaks[0]) / (sizes[1] - sizes[0]))
        return peaks[1] - a_pair * sizes[1], a_pair

    def _without_window(self, measure: Measure) -> int:
        recipe = with_micro_batch(self.recipe, measure.micro_batch)
        window = probed_window(recipe)
        return measure.peak - self._window(recipe, window, min(queue_size(recipe), window))

    def _window(self, recipe: Recipe, window: int, queue: int) -> int:
        """What grows with the window, what frozen parts of the towers make of it included."""
        return window_bytes(recipe, window, queue) + window * self.measures[-1].lower

    def fits(self, micro_batch: int) -> bool:
        """Whether its predicted peak leaves the margin free."""
        return self.peak(micro_batch) <= (1 - MARGIN) * self.memory

    @property
    def largest(self) -> int:
        """Pairs in the largest micro-batch that fits, at most a window; 0 if not one does."""
        low, high = 0, self.recipe.window
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.fits(middle) else (low, middle - 1)
        return low

    def largest_pass(self, tower: Tower) -> int:
        """Pairs in the largest pass of one tower that fits, at most those of an optimizer step."""
        measure, (fixed, _) = self.towers[tower], self.line
        a_pair = max(self._without_window(measure) - fixed, 0) / measure.micro_batch
        step = self.recipe.micro_batch * steps_every(self.recipe)
        window = self._window(self.recipe, self.recipe.window, queue_size(self.recipe))
        left = (1 - MARGIN) * self.memory - fixed - window - self.untidy(measure.micro_batch)
        fitting = max(1, int(left / a_pair)) if a_pair else step
        return min(step, self.recipe.window, fitting)

    @property
    def planned(self) -> Recipe:
        """The recipe as it is if that fits, else at the largest micro-batch or passes that do."""
        if self.fits(self.recipe.micro_batch):
            return self.recipe
        if not self.towers:
            return with_micro_batch(self.recipe, self.largest)
        own = batching_of(self.recipe)
        image, text = (min(own.size(tower), self.largest_pass(tower)) for tower in TOWERS)
        if (image, text) == (own.size("image"), own.size("text")):
            return self.recipe
        return dataclasses.replace(self.recipe, image_micro_batch=image, text_micro_batch=text)

    @property
    def pairs_per_second(self) -> float:
        """Of the recipe as planned, as measured at the nearest micro-batch; waiting for data not counted."""
        size = self.planned.micro_batch
        measures = [self.usual] if self.usual else self.measures
        nearest = min(measures, key=lambda m: abs(math.log(m.micro_batch / size)))
        per_step = size * steps_every(self.planned)
        return 1 / (nearest.seconds_a_pair + nearest.seconds_a_step / per_step)


def make_plan(
    recipe: Recipe,
    *,
    memory: int = 0,
    data: Path | None = None,
    on_progress: Callable[[int], None] = lambda done: None,
) -> Plan:
    """Measure a few optimizer steps of the recipe at growing micro-batches, a process each, and fit a line.

    MedistillError if not even one pair fits.

    memory       bytes to stay within; 0 takes what is free on the card, else in the machine.
    data         corpus whose training pairs make an epoch.
    on_progress  told how many measures are done.
    """
    folded = {"fold": recipe.fold, "folds": recipe.folds}
    pairs = len(training_rows(in_fold(open_corpus(data), **folded))[0]) if data else 0
    plan = Plan(recipe, memory, bool(memory), (), pairs)
    start = time.monotonic()
    for micro_batch in growing(recipe):
        measure = run_probe(with_micro_batch(recipe, micro_batch), tidy=True)
        if measure is None:
            break
        there = memory or measure.available
        plan = dataclasses.replace(plan, measures=(*plan.measures, measure), memory=there)
        on_progress(len(plan.measures))
        if enough(plan, seconds=time.monotonic() - start):
            break
    if plan.measures and plan.measures[0].device == "CPU":
        usual = run_probe(with_micro_batch(recipe, plan.measures[-1].micro_batch))
        plan = dataclasses.replace(plan, usual=usual)
        on_progress(len(plan.measures) + 1)
    if plan.measures and by_tower(recipe):
        last = plan.measures[-1].micro_batch
        plan = dataclasses.replace(plan, towers=_of_each_tower(with_micro_batch(recipe, last)))
        on_progress(len(plan.measures) + 2)
    if plan.measures and _validation_counts(plan):
        measure = run_probe(recipe, validation=True)
        plan = dataclasses.replace(plan, validation=measure.peak if measure else plan.memory)
        on_progress(len(plan.measures) + 3)
    if not plan.measures or not plan.largest:
        raise MedistillError(_not_one(plan))
    return plan


def _validation_counts(plan: Plan) -> bool:
    """Whether a validation may take more than training: its passes are whole, and of so many inputs.

    So are those that compute the features of a locked tower. Where all of both towers learns, a larger
    micro-batch takes more in training than a validation does without gradient.
    """
    towers = (plan.recipe.image, plan.recipe.text)
    frozen = any(tower.locked or tower.frozen_layers for tower in towers)
    return frozen or min(plan.largest or 1, plan.recipe.micro_batch) < VALIDATED_AT_ONCE // 4


def _of_each_tower(recipe: Recipe) -> dict[Tower, Measure]:
    """What the recipe takes with one tower's passes of its micro-batch and the other's of one pair."""
    alone: dict[Tower, Recipe] = {
        "image": dataclasses.replace(recipe, image_micro_batch=recipe.micro_batch, text_micro_batch=1),
        "text": dataclasses.replace(recipe, image_micro_batch=1, text_micro_batch=recipe.micro_batch),
    }
    measured: dict[Tower, Measure | None] = {tower: run_probe(alone[tower], tidy=True) for tower in TOWERS}
    known: dict[Tower, Measure] = {tower: measure for tower, measure in measured.items() if measure}
    return known if len(known) == len(TOWERS) else {}


def growing(recipe: Recipe) -> Iterator[int]:
    """Micro-batches to measure: an eighth of the recipe's own, then twice the one before, up to a window."""
    sizes = (max(1, recipe.micro_batch // 8) * 2**i for i in itertools.count())
    return itertools.takewhile(lambda size: size <= recipe.window, sizes)


def enough(plan: Plan, *, seconds: float) -> bool:
    """Whether the line can be drawn, or a larger micro-batch would be too much for the machine.

    The smaller of its two points must have more activations than gradients (twice that on a card, where
    AdamW needs room as well): only then does every pair more raise the peak by its activations.
    """
    last = plan.measures[-1]
    if 2 * last.peak > last.available:
        return True
    if len(plan.measures) < 2:
        return False
    steep = plan.line[1] * plan.measures[-2].micro_batch >= last.weights * (1 if last.device == "CPU" else 2)
    return steep and (last.micro_batch >= plan.recipe.micro_batch or seconds > PATIENCE)


def run_probe(recipe: Recipe, *, validation: bool = False, tidy: bool = False) -> Measure | None:
    """What the recipe takes, measured in a fresh process; None if there was not enough memory for it.

    tidy  have the C library give freed memory back at once: what is left is what tensors take, and grows with
          the micro-batch in a straight line. It costs time.
    """
    environment = os.environ | (TIDY if tidy else {})
    trial = json.dumps(dataclasses.asdict(Trial(to_config(recipe), validation)))
    command = [sys.executable, "-m", "medistill.engine.plan.probe"]
    done = subprocess.run(command, input=trial, capture_output=True, text=True, check=False, env=environment)
    if done.returncode == -9:  # the kernel ends a process that takes more than there is
        return None
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise MedistillError(f"measuring micro-batch {recipe.micro_batch} failed: {reason}")
    said = json.loads(done.stdout)
    if "error" in said:
        raise (CallError if said["status"] == CallError.status else MedistillError)(said["error"])
    return None if "out_of_memory" in said else Measure(**said)


def with_micro_batch(recipe: Recipe, micro_batch: int) -> Recipe:
    """The recipe at another micro-batch, both towers' passes of it, and pairs a step as near as can be."""
    per_step = recipe.micro_batch * recipe.micro_per_step
    most = -(-recipe.window // micro_batch)
    steps = min(max(1, per_step // micro_batch), most)
    whole = {"image_micro_batch": 0, "text_micro_batch": 0}
    return dataclasses.replace(recipe, micro_batch=micro_batch, micro_per_step=steps, **whole)


def window_bytes(recipe: Recipe, window: int, queue: int) -> int:
    """What grows with the window and not with the towers: inputs, keys, similarities. Counted, not measured.

    Four copies of keys or their gradients, eight matrices of similarities, targets and masks, in float32.
    """
    pixels = 0 if recipe.image.locked else recipe.size**2
    tokens = 0 if recipe.text.locked else recipe.max_tokens
    inputs = window * (pixels + 9 * tokens + 16)
    if recipe.objective == "clip":
        return inputs
    rows = window if recipe.objective in ("gradcache", "siglip") else recipe.micro_batch
    keys = window + queue
    return inputs + 4 * (4 * 2 * keys * recipe.dim + 8 * rows * keys)


def _not_one(plan: Plan) -> str:
    takes = f": it takes {in_units(plan.peak(1))}" if plan.measures else ""
    memory = in_units(plan.memory) if plan.memory else "the memory there is"
    return (
        f"not even a micro-batch of one pair fits into {memory}, {MARGIN:.0%} left free{takes}; use a "
        "smaller --size or --max-tokens, --checkpoint-activations, or smaller towers"
    )
