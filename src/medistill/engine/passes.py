"""How the towers are run: launched kernel by kernel, or replayed from graphs."""

import logging
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Tensor, nn

from medistill.data.loader.windows import Window
from medistill.engine.batching import TOWERS, Batching, Tower
from medistill.engine.checkpoint import random_state, restore_random_state
from medistill.engine.graphs import Capture, CapturedPass, CudaCapture, relative_error
from medistill.engine.shapes import (
    Shape,
    has_lengths,
    inputs_of,
    padded,
    padded_lengths,
    shapes_of,
    with_padding,
)
from medistill.engine.tf32 import tf32
from medistill.errors import first_line
from medistill.model.dual import DualEncoder
from medistill.model.tokenizer import pad_id
from medistill.recipe import Recipe

log = logging.getLogger(__name__)
EXACT, ROUNDED = 1e-5, 2e-2
"""Largest relative error of a replayed gradient: in float32 or wider, and where products are rounded, under
bf16, fp16 or TF32: with it one run in 57 was off by .001, since libraries may capture another kernel."""


class Pass(NamedTuple):
    """A tower's rows of some pairs, and the way back through it."""

    rows: Float[Tensor, "b d"]
    """Unit rows; the loss's own backward pass ends at them."""
    back: Callable[[Tensor], None]

    def backward(self) -> None:
        """Carry the gradient that `rows` has received on to the weights."""
        if self.rows.grad is not None:
            self.back(self.rows.grad)


class Frozen(NamedTuple):
    """A model that embeds without gradient, and how many pairs at once."""

    model: DualEncoder
    pairs: int


@dataclass
class Trial:
    """Two micro-batches through a pass, and what came of them kernel by kernel."""

    shape: Shape
    parts: list[Window]
    gradients: list[Tensor]
    """What the rows of each are to receive."""
    random: dict[str, Any]
    passing: Tower | None
    """As in `Batching`, while it is at work."""
    rows: list[Tensor] = field(default_factory=list[Tensor])
    weights: list[nn.Parameter] = field(default_factory=list[nn.Parameter])
    """Those that received a gradient."""
    sums: list[Tensor] = field(default_factory=list[Tensor])
    """Their gradients."""


class Passes:
    """Runs the towers, by graphs where it has captured a pass of that shape.

    new_capture   makes what captures into a memory pool of its own; None: nothing is captured
    """

    def __init__(self, fabric: Fabric, new_capture: Callable[[], Capture] | None = None):
        self.fabric, self.new_capture = fabric, new_capture
        precision = str(fabric.strategy.precision.precision)
        self.tf32 = fabric.device.type == "cuda" and precision == "32-true"
        exact = precision in ("32-true", "64-true") and not self.tf32
        self.tolerance = EXACT if exact else ROUNDED
        self._captured: dict[Shape, CapturedPass] = {}
        self._gradients: dict[nn.Parameter, Tensor] = {}
        self._sizes: tuple[int, ...] = ()

    def forward(self, model: DualEncoder, tower: Tower, part: Window) -> Pass:
        """Some pairs through one tower. If graphs do it: carry it back before the tower's next pass."""
        if found := self._find(model, tower, part):
            captured, inputs = found
            return Pass(captured.forward(inputs).requires_grad_(), captured.backward)
        made = self._run(model, tower, *inputs_of(tower, part))
        return Pass(made.detach().requires_grad_(), partial(self._back, made))

    def embed(self, model: DualEncoder, tower: Tower, part: Window) -> Float[Tensor, "b d"]:
        """Unit rows of one modality, without gradient."""
        if found := self._find(model, tower, part):
            captured, inputs = found
            return captured.forward(inputs)
        with torch.no_grad():
            return self._run(model, tower, *inputs_of(tower, part))

    def open_step(self) -> None:
        """Let gradients begin from zero, in the places where graphs add them up."""
        if self._gradients:
            torch._foreach_zero_(list(self._gradients.values()))  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]
        for weight, gradient in self._gradients.items():
            weight.grad = gradient

    def clear(self) -> None:
        """Let go of all graphs and their memory."""
        self._captured.clear()
        self._gradients.clear()
        self._sizes = ()

    def prepare(
        self, student: DualEncoder, frozen: Frozen | None, window: Window, batching: Batching, *, apart: bool
    ) -> None:
        """Capture the passes of these sizes, if that is not done, and compare them with what they replace.

        apart   whether a pass is carried back before the other tower's begins: then all share their memory
        """
        micro = min(batching.micro, batching.per_step)
        sizes: list[tuple[DualEncoder, Tower, int]] = []
        for tower in TOWERS:
            sizes.append((student, tower, batching.size(tower) if apart else micro))
            if frozen:
                sizes.append((frozen.model, tower, min(frozen.pairs, len(window))))
        pairs = tuple(size for *_, size in sizes)
        if self.new_capture is None or pairs == self._sizes or max(pairs) > len(window):
            return
        self.clear()
        state = random_state()
        try:
            trials: list[Trial] = []
            for shape in (shape for size in sizes for shape in shapes_of(*size)):
                # A shortage of memory is laid to the tower; the teacher's passes go by the micro-batch.
                batching.passing = shape.tower if apart and shape.model is student else None
                trials.append(self._trial(shape, window, batching.passing))
            self._capture(self.new_capture, trials, batching, apart=apart)
            self._compare(trials)
        except torch.OutOfMemoryError:
            self.clear()
            raise
        except RuntimeError as error:
            self._leave_off(first_line(error))
        finally:
            restore_random_state(state)
            student.zero_grad()
        self._sizes = pairs

    def _find(
        self, model: DualEncoder, tower: Tower, part: Window
    ) -> tuple[CapturedPass, tuple[Tensor, ...]] | None:
        """The graphs for these pairs and what they take; None for a shape that was not captured."""
        if not self._captured:
            return None
        tokens = 0
        if has_lengths(model, tower):
            here = part.tokens.shape[1]
            tokens = next((n for n in padded_lengths(model.max_tokens) if n >= here), here)
        captured = self._captured.get(Shape(model, model.training, tower, len(part), tokens))
        if captured is None:
            return None
        return captured, inputs_of(tower, padded(part, tokens, pad_id(model.tokenizer)) if tokens else part)

    def _run(self, model: DualEncoder, tower: Tower, *inputs: Tensor) -> Float[Tensor, "b d"]:
        """Past Fabric's and DDP's wrapper, whose reducer wants every weight in every pass.

        So autocast is ours to enter, and the ranks' gradients ours to average.
        """
        with tf32(self.tf32), self.fabric.autocast(), _without_cache():
            return model.embed_images(*inputs) if tower == "image" else model.embed_tokens(*inputs)

    def _back(self, made: Tensor, gradient: Tensor) -> None:
        with tf32(self.tf32):
            made.backward(gradient)

    def _trial(self, shape: Shape, window: Window, passing: Tower | None) -> Trial:
        """A pass of that shape launched kernel by kernel, on the first and the last pairs of the window."""
        ends = slice(0, shape.pairs), slice(len(window) - shape.pairs, len(window))
        parts = [window.part(rows, self.fabric.device) for rows in ends]
        if shape.tokens:
            parts = [padded(part, shape.tokens, pad_id(shape.model.tokenizer)) for part in parts]
            parts[0] = with_padding(parts[0])
        wide = torch.promote_types(shape.model.log_scale.dtype, torch.float32)
        asked = [
            torch.randn(shape.pairs, shape.model.dim, dtype=wide, device=self.fabric.device) for _ in parts
        ]
        trial = Trial(shape, parts, asked, random_state(), passing)
        shape.model.zero_grad()
        trial.rows = [rows.cpu() for rows in self._tried(trial)]
        trial.weights = [p for p in shape.model.parameters() if p.grad is not None]
        trial.sums = [p.grad.cpu() for p in trial.weights if p.grad is not None]
        shape.model.zero_grad()
        return trial

    def _tried(self, trial: Trial) -> list[Tensor]:
        """Rows of both micro-batches; the weights' gradients are added up over the two."""
        model, tower = trial.shape.model, trial.shape.tower
        restore_random_state(trial.random)
        if not trial.shape.learns:
            return [self.embed(model, tower, part) for part in trial.parts]
        rows: list[Tensor] = []
        for part, gradient in zip(trial.parts, trial.gradients, strict=True):
            one = self.forward(model, tower, part)
            one.back(gradient)
            rows.append(one.rows.detach())
        return rows

    def _capture(
        self,
        new_capture: Callable[[], Capture],
        trials: Sequence[Trial],
        batching: Batching,
        *,
        apart: bool,
    ) -> None:
        """All passes, once each has been warmed up: the memory which that took is free again by then."""
        shared = new_capture()
        into = {"image": shared, "text": shared if apart else new_capture()}
        passes: list[CapturedPass] = []
        with tf32(self.tf32):
            for trial in trials:
                shape, batching.passing = trial.shape, trial.passing
                for p in trial.weights:
                    self._gradients.setdefault(p, torch.zeros_like(p))
                sums = {p: self._gradients[p] for p in trial.weights}
                run, inputs = (
                    partial(self._run, shape.model, shape.tower),
                    inputs_of(shape.tower, trial.parts[0]),
                )
                passes.append(CapturedPass(run, inputs, trial.gradients[0], sums))
                passes[-1].warm(into[shape.tower])
            for trial, one in zip(trials, passes, strict=True):
                batching.passing = trial.passing
                one.capture(into[trial.shape.tower])
        self._captured = {trial.shape: one for trial, one in zip(trials, passes, strict=True)}

    def _compare(self, trials: Sequence[Trial]) -> None:
        """Leave graphs off if one gives another gradient than its pass did kernel by kernel."""
        for trial in trials:
            self.open_step()
            rows = relative_error(self._tried(trial), trial.rows)
            sums = relative_error([p.grad for p in trial.weights if p.grad is not None], trial.sums)
            if not (rows <= self.tolerance and sums <= self.tolerance):  # NaN too
                off, tower = max(rows, sums), trial.shape.tower
                self._leave_off(f"the {tower} tower's gradient is off by {off:.1g} of its length")
                return

    def _leave_off(self, reason: str) -> None:
        """From here on kernel by kernel."""
        self.clear()
        self.new_capture = None
        log.warning("CUDA graphs are left off (%s): training goes on without them", reason)


def make_passes(recipe: Recipe, fabric: Fabric) -> Passes:
    """With graphs on a card, unless the recipe says otherwise or asks for what cannot be captured."""
    if fabric.device.type != "cuda" or recipe.graphs == "off":
        return Passes(fabric)
    if recipe.checkpoint_activations or recipe.compile:
        log.info("CUDA graphs are left off: they go with neither checkpoint_activations nor compile")
        return Passes(fabric)
    return Passes(fabric, partial(CudaCapture, fabric.device))


@contextmanager
def _without_cache() -> Generator[None]:
    """Autocast without its cache of weights, which a graph must not take from another pass."""
    before = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(False)
    try:
        yield
    finally:
        torch.set_autocast_cache_enabled(before)
