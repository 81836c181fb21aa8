"""The training loop: windows, validations, checkpoints."""

import hashlib
import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import cast

import torch
from lightning_fabric import Fabric
from torch import Tensor

from medistill.data.loader.windows import Window, WindowLoader
from medistill.engine.checkpoint import (
    load_checkpoint,
    random_state,
    restore_random_state,
    save_checkpoint,
)
from medistill.engine.collapse import EARLIEST, CollapseWatch, check_finite
from medistill.engine.features import tower_hashes
from medistill.engine.gather import any_rank, from_first_rank, of_all_ranks, ranks
from medistill.engine.objectives import batching_of, make_method
from medistill.engine.optimizer import can_fuse, load_optimizer, make_optimizer, scaler_of, take_step
from medistill.engine.passes import make_passes
from medistill.engine.schedule import lr_factor
from medistill.engine.step import train_window
from medistill.engine.track import Track, standing
from medistill.errors import CallError, StoppedError
from medistill.model.dual import DualEncoder
from medistill.model.saved import save_model
from medistill.model.start import OWN, pool_as_asked
from medistill.recipe import Recipe
from medistill.system.stop import stop_requests

log = logging.getLogger(__name__)
Validate = Callable[[DualEncoder], Mapping[str, float]]
"""Model -> at least i2t_r@10, t2i_r@10, chance_r@10, mean_cosine, loss and n on the validation split."""
Watch = Callable[[int, int, float], None]
"""Told after each window: pairs seen, pairs in all, the newest loss that was read."""
POSITION = ("window", "step", "pairs", "best", "windows_summed")
"""Attributes of `Trainer` that say where a run stands."""


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
        self.batching = batching_of(recipe)
        self.method = make_method(recipe, student, fabric)
        self.passes = make_passes(recipe, fabric)
        optimizer = make_optimizer(
            student, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=can_fuse(fabric)
        )
        self.student, self.optimizer = fabric.setup(student, optimizer)
        self.plain_student, self.tower_hashes = student, tower_hashes(student)
        windows = [[size // ranks() for size in loader.sizes(epoch)] for epoch in range(recipe.epochs)]
        self.steps = sum(-(-pairs // self.batching.per_step) for epoch in windows for pairs in epoch)
        self.places = [(epoch, i) for epoch in range(recipe.epochs) for i in range(len(windows[epoch]))]
        self.windows_per_epoch = len(self.places) / recipe.epochs
        self.window, self.step, self.pairs = 0, 0, 0
        self.best: tuple[float, ...] = ()
        self.collapse = CollapseWatch()
        self.loss_sum, self.windows_summed = torch.zeros((), device=fabric.device), 0
        self.newest_loss = math.nan

    def fit(self, watch: Watch) -> None:
        """Train to the end, or to a SIGTERM; goes on from the run's checkpoint if there is one."""
        written = self._resume()
        self.track = Track(self.run, written) if self.fabric.is_global_zero else None
        self._measured = (self.pairs, time.monotonic())
        saved, last = time.monotonic(), len(self.places)
        with stop_requests() as stop_requested:
            for window in self._windows():
                self._train(window)
                if self.window % self.recipe.log_every == 0 or self.window == last:
                    self._log()
                watch(self.pairs, self.loader.pairs * self.recipe.epochs, self.newest_loss)
                overdue = time.monotonic() - saved > self.recipe.checkpoint_seconds
                # All ranks must agree: one that stopped alone would leave the others waiting in a collective.
                stop, due = any_rank(stop_requested(), overdue)
                if self._validation_due() or self.window == last:
                    self._validate()
                    saved = self._save()
                elif stop or due:
                    saved = self._save()
                if stop and self.window < last:
                    raise StoppedError(
                        f"stopped on request after window {self.window} of {last}; the checkpoint is saved, "
                        "run the same command again to go on"
                    )

    def _windows(self) -> Iterator[Window]:
        first, start = self.places[self.window] if self.window < len(self.places) else (self.recipe.epochs, 0)
        for epoch in range(first, self.recipe.epochs):
            yield from self.loader.windows(epoch, start if epoch == first else 0)

    def _train(self, window: Window) -> None:
        """One window; its loss is read at once only where reading costs no waiting."""
        self.student.train()
        self.method.set_schedule(self.step / self.steps, self.window / self.windows_per_epoch)
        loss = train_window(
            self.fabric,
            self.student,
            self.method,
            window,
            batching=self.batching,
            optimizer_step=self._optimizer_step,
            passes=self.passes,
        )
        loss = cast(Tensor, self.fabric.all_reduce(loss))
        self.loss_sum += loss
        self.windows_summed += 1
        self.window += 1
        self.pairs += len(window) * ranks()
        if self.fabric.device.type == "cpu":
            self.newest_loss = float(loss)

    def _optimizer_step(self) -> bool:
        """Apply the gradient at this step's learning rate; a step that was skipped does not count."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.lr * lr_factor(self.step, self.steps, self.recipe.warmup)
        taken = take_step(self.fabric, self.student, self.optimizer, self.recipe.clip_norm)
        if taken:
            self.plain_student.clamp_scale()
            self.step += 1
        return taken

    def _log(self) -> None:
        """Write the mean loss since the last line and what the schedules stand at."""
        self.newest_loss = float(self.loss_sum) / self.windows_summed
        check_finite(self.newest_loss, self.step)
        line = {"loss": self.newest_loss, "lr": self.optimizer.param_groups[0]["lr"]}
        line |= {"scale": self.plain_student.scale, "pairs_per_second": self._speed()}
        self._write(line | self.method.figures(self.batching.per_step * ranks()))
        self.loss_sum.zero_()
        self.windows_summed = 0

    def _speed(self) -> float:
        """Pairs per second since this was last measured."""
        (pairs, clock), self._measured = self._measured, (self.pairs, time.monotonic())
        return (self.pairs - pairs) / max(self._measured[1] - clock, 1e-9)

    def _validate(self) -> None:
        """Measure the delivered model and keep it if it is the best so far."""
        delivered = self.method.delivered(self.plain_student)
        metrics = from_first_rank(lambda: self.validate(delivered))
        check_finite(metrics["loss"], self.step)
        self._write({f"val/{name}": value for name, value in metrics.items()})
        if standing(metrics) > self.best:
            self.best = standing(metrics)
            if self.fabric.is_global_zero:
                save_model(delivered, self.run / "model")
        self.collapse.look(metrics, warm=self.step >= max(EARLIEST, self.recipe.warmup * self.steps))

    def _validation_due(self) -> bool:
        every = max(1, round(self.recipe.validate_every * self.windows_per_epoch))
        return self.window % every == 0

    def _write(self, line: Mapping[str, float]) -> None:
        epoch = self.window / self.windows_per_epoch
        if self.track:
            self.track.write({"step": self.step, "epoch": round(epoch, 4), "pairs": self.pairs, **line})

    def _save(self) -> float:
        """Rank 0 writes everything needed to go on from here; returns the time, in seconds."""
        check_finite(sum(float(p.detach().sum()) for p in self.student.parameters()), self.step)
        random = of_all_ranks(random_state())  # a collective: before the other ranks leave
        if not self.track:
            return time.monotonic()
        self.track.sync()  # before the checkpoint that counts on those lines
        scaler = scaler_of(self.fabric)
        state = {
            "start": self._start(),
            "pooled": OWN,
            "student": self.plain_student.state_dict(),
            "method": self.method.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": scaler.state_dict() if scaler else {},
            "random": random,
            "position": {name: getattr(self, name) for name in POSITION},
            "micro": self.batching.micro,
            "micro_of_towers": [self.batching.image, self.batching.text],
            "suspicious": self.collapse.suspicious,
            "loss_sum": self.loss_sum,
            "track": self.track.length,
        }
        save_checkpoint(state, self.run / "checkpoints")
        return time.monotonic()

    def _resume(self) -> int:
        """Take up the run's checkpoint, if there is one; returns how much of metrics.jsonl it covers."""
        state = load_checkpoint(self.run / "checkpoints")
        if state is None:
            return 0
        for name, value in self._start().items():
            if state["start"].get(name) != value:
                raise CallError(f"the run in {self.run} was started with another {name}: give another --out")
        if state.get("pooled") != OWN:
            for model in filter(None, (self.plain_student, getattr(self.method, "teacher", None))):
                pool_as_asked(model, self.recipe)
        self.plain_student.load_state_dict(state["student"])
        self.method.load_state_dict(state["method"])
        load_optimizer(self.optimizer, state["optimizer"])
        scaler = scaler_of(self.fabric)
        if scaler:
            scaler.load_state_dict(state["scaler"])
        for name, value in state["position"].items():
            setattr(self, name, value)
        self.collapse = CollapseWatch(state["suspicious"])
        self.loss_sum.copy_(state["loss_sum"])
        self.batching.micro = state["micro"]
        self.batching.image, self.batching.text = state.get("micro_of_towers", (0, 0))
        restore_random_state(state["random"][self.fabric.global_rank])
        log.info("going on from window %d of %d", self.window, len(self.places))
        return state["track"]

    def _start(self) -> dict[str, str]:
        """What must be the same when a run goes on, besides the recipe."""
        vocabulary = json.dumps(self.plain_student.tokenizer.get_vocab(), sort_keys=True)
        return {
            "corpus": self.corpus_hash,
            "vocabulary": hashlib.sha256(vocabulary.encode()).hexdigest(),
            "precision": type(self.fabric.strategy.precision).__name__,
            "number of ranks": str(ranks()),
            **self.tower_hashes,
        }
