"""The training loop: windows, validations, checkpoints."""

import logging
import math
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from medistill.data.loader import Window, WindowLoader
from medistill.engine.checkpoint import load_checkpoint, random_state, restore_random_state, save_checkpoint
from medistill.engine.collapse import CollapseWatch, check_finite
from medistill.engine.keys import KeyQueue
from medistill.engine.method import Clip, Method, Msd
from medistill.engine.optimizer import make_optimizer, take_step
from medistill.engine.schedule import alpha_at, lr_factor, steps_in_window
from medistill.engine.step import train_window
from medistill.engine.track import Track
from medistill.errors import CallError, MedistillError
from medistill.model.dual import DualEncoder, save_model
from medistill.model.teacher import half_life, make_teacher, momentum_at
from medistill.recipe import Recipe

log = logging.getLogger(__name__)

Validate = Callable[[DualEncoder], Mapping[str, float]]
"""Model -> at least i2t_r@10, t2i_r@10, chance_r@10, mean_cosine, loss and n on the validation split."""
Watch = Callable[[int, int, float], None]
"""Told after each window: pairs seen, pairs in all, the newest loss that was read."""


class Trainer:
    """One run: what it is made of, where it stands, and how it goes on."""

    def __init__(
        self,
        recipe: Recipe,
        student: DualEncoder,
        loader: WindowLoader,
        run: Path,
        *,
        fabric: Fabric,
        validate: Validate,
        corpus_hash: str,
    ):
        self.recipe, self.loader, self.run = recipe, loader, run
        self.fabric, self.validate, self.corpus_hash = fabric, validate, corpus_hash
        self.micro_per_step = 1 if recipe.objective == "clip" else recipe.micro_per_step
        self.method = make_method(recipe, student, fabric.device)
        optimizer = make_optimizer(student, lr=recipe.lr, weight_decay=recipe.weight_decay)
        self.student, self.optimizer = fabric.setup(student, optimizer)
        self.plain_student = student
        self.windows_per_epoch = len(loader.order(0))
        self.steps = recipe.epochs * sum(self._steps_in(len(order)) for order in loader.order(0))
        self.window, self.step, self.pairs = 0, 0, 0
        self.best = -1.0
        self.collapse = CollapseWatch()
        self.newest_loss = math.nan
        self._sum, self._windows_summed = torch.zeros((), device=fabric.device), 0
        self._asked = (0, time.monotonic())

    def fit(self, watch: Watch) -> None:
        """Train to the end, or to a SIGTERM; goes on from the run's checkpoint if there is one."""
        self._resume()
        self._asked = (self.pairs, time.monotonic())
        self.track = Track(self.run, self._track_length)
        saved = time.monotonic()
        last = self.windows_per_epoch * self.recipe.epochs
        with stop_requests() as stop_requested:
            for window in self._windows():
                self.student.train()
                self._train(window)
                if self.window % self.recipe.log_every == 0 or self.window == last:
                    self._log()
                watch(self.pairs, self.loader.pairs * self.recipe.epochs, self.newest_loss)
                if self._validation_due() or self.window == last:
                    self._validate()
                    saved = self._save()
                elif stop_requested() or time.monotonic() - saved > self.recipe.checkpoint_seconds:
                    saved = self._save()
                if stop_requested() and self.window < last:
                    raise MedistillError(
                        f"stopped on request after window {self.window} of {last}; the checkpoint is saved, "
                        "run the same command again to go on"
                    )

    @property
    def delivered(self) -> DualEncoder:
        """The model that is validated and saved."""
        if isinstance(self.method, Msd) and self.recipe.deliver == "teacher":
            return self.method.teacher
        return self.plain_student

    def _windows(self) -> Iterator[Window]:
        first, start = divmod(self.window, self.windows_per_epoch)
        for epoch in range(first, self.recipe.epochs):
            yield from self.loader.windows(epoch, start if epoch == first else 0)

    def _train(self, window: Window) -> None:
        """One window; its loss is read at once only where reading costs no waiting."""
        self._set_schedules()
        loss = train_window(
            self.fabric,
            self.student,
            self.method,
            window,
            micro=self.recipe.micro_batch,
            micro_per_step=self.micro_per_step,
            optimizer_step=self._optimizer_step,
        )
        self._sum += loss
        self._windows_summed += 1
        self.window += 1
        self.pairs += len(window)
        if self.fabric.device.type == "cpu":
            self.newest_loss = float(loss)

    def _optimizer_step(self) -> bool:
        """Apply the gradient at this step's learning rate and momentum; a skipped step does not count."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.lr * lr_factor(self.step, self.steps, self.recipe.warmup)
        if not take_step(self.fabric, self.student, self.optimizer, self.recipe.clip_norm):
            return False
        self.plain_student.clamp_scale()
        self.step += 1
        if isinstance(self.method, Msd):
            progress = self.step / self.steps
            self.method.momentum = momentum_at(progress, self.recipe.momentum, self.recipe.momentum_end)
        return True

    def _set_schedules(self) -> None:
        if isinstance(self.method, Msd):
            epoch = self.window / self.windows_per_epoch
            self.method.alpha = alpha_at(epoch, self.recipe.alpha, self.recipe.alpha_ramp)
            self.method.queue_in_use = epoch >= self.recipe.queue_warmup

    def _log(self) -> None:
        """Write the mean loss since the last line and what the schedules stand at."""
        self.newest_loss = float(self._sum) / self._windows_summed
        check_finite(self.newest_loss, self.step)
        line = {"loss": self.newest_loss, "lr": self.optimizer.param_groups[0]["lr"]}
        line |= {"scale": self.plain_student.scale, "pairs_per_second": self._speed()}
        if isinstance(self.method, Msd):
            per_step = self.recipe.micro_batch * self.micro_per_step
            line |= {"alpha": self.method.alpha, "momentum": self.method.momentum}
            if self.method.momentum < 1:
                line["teacher_half_life_pairs"] = half_life(self.method.momentum, per_step)
        self._write(line)
        self._sum.zero_()
        self._windows_summed = 0

    def _speed(self) -> float:
        """Pairs per second since this was last asked."""
        (pairs, clock), self._asked = self._asked, (self.pairs, time.monotonic())
        return (self.pairs - pairs) / max(self._asked[1] - clock, 1e-9)

    def _validate(self) -> None:
        """Measure the delivered model and keep it if it is the best so far."""
        metrics = self.validate(self.delivered)
        self._write({f"val/{name}": value for name, value in metrics.items()})
        check_finite(metrics["loss"], self.step)
        recall = (metrics["i2t_r@10"] + metrics["t2i_r@10"]) / 2
        if recall > self.best:
            self.best = recall
            save_model(self.delivered, self.run / "model")
        self.collapse.look(metrics, warm=self.step >= self.recipe.warmup * self.steps)

    def _validation_due(self) -> bool:
        every = max(1, round(self.recipe.validate_every * self.windows_per_epoch))
        return self.window % every == 0

    def _write(self, line: Mapping[str, float]) -> None:
        epoch = self.window / self.windows_per_epoch
        self.track.write({"step": self.step, "epoch": round(epoch, 4), "pairs": self.pairs, **line})

    def _save(self) -> float:
        """Write everything needed to go on from here; returns the time, in seconds."""
        check_finite(float(self._sum), self.step)
        scaler = getattr(self.fabric.strategy.precision, "scaler", None)
        state = {
            "corpus": self.corpus_hash,
            "student": self.plain_student.state_dict(),
            "method": self.method.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": scaler.state_dict() if scaler else {},
            "random": random_state(),
            "position": {name: getattr(self, name) for name in POSITION},
            "suspicious": self.collapse.suspicious,
            "sum": self._sum,
            "track": self.track.length,
        }
        save_checkpoint(state, self.run / "checkpoints")
        return time.monotonic()

    def _resume(self) -> None:
        """Take up the run's checkpoint, if there is one."""
        state = load_checkpoint(self.run / "checkpoints")
        self._track_length = state["track"] if state else 0
        if state is None:
            return
        if state["corpus"] != self.corpus_hash:
            raise CallError(
                f"the run in {self.run} was trained on another corpus; use that one or another --out"
            )
        self.plain_student.load_state_dict(state["student"])
        self.method.load_state_dict(state["method"])
        self.optimizer.load_state_dict(state["optimizer"])
        scaler = getattr(self.fabric.strategy.precision, "scaler", None)
        if scaler:
            scaler.load_state_dict(state["scaler"])
        for name, value in state["position"].items():
            setattr(self, name, value)
        self.collapse = CollapseWatch(state["suspicious"])
        self._sum.copy_(state["sum"])
        restore_random_state(state["random"])
        log.info("going on from window %d", self.window)

    def _steps_in(self, pairs: int) -> int:
        return steps_in_window(pairs, self.recipe.micro_batch, self.micro_per_step)


POSITION = ("window", "step", "pairs", "best", "_windows_summed")
"""Attributes of `Trainer` that say where a run stands."""


def make_method(recipe: Recipe, student: DualEncoder, device: torch.device) -> Method:
    """The recipe's objective, ready to train `student`."""
    if recipe.objective == "clip":
        return Clip()
    queue = KeyQueue(recipe.queue, recipe.queue_max_age) if recipe.queue else None
    method = Msd(make_teacher(student).to(device), live_share=recipe.live_share, queue=queue)
    method.momentum = momentum_at(0.0, recipe.momentum, recipe.momentum_end)
    return method


@contextmanager
def stop_requests() -> Generator[Callable[[], bool]]:
    """Whether SIGTERM or SIGINT has come; a second SIGINT interrupts at once."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    seen: list[int] = []

    def note(number: int, frame: Any) -> None:
        if number == signal.SIGINT and seen:
            raise KeyboardInterrupt
        seen.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: bool(seen)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
