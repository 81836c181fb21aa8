"""What adapters cost in memory beside whole towers, and how far their averages are from the average.

    python -m benchmarks.adapters memory
    python -m benchmarks.adapters text TEXT_TOWER
    python -m benchmarks.adapters average TEXT_TOWER

`memory` counts bytes for `chest_vitb` at micro-batch 16, no card needed: a minute and 4 GB. `text` has
`small` learn with a text tower (a folder, as `--text.pretrained` takes it) that is trained, adapted or
locked, and prints what that takes. `average` trains adapters of one on phantoms: some minutes each.
"""

import dataclasses
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from benchmarks.bytes_a_pair import bytes_a_pair, of_each_tower
from benchmarks.saved_activations import saved_activations
from medistill.data.corpus import open_corpus, training_rows
from medistill.data.loader.windows import Window
from medistill.data.prepare import prepare
from medistill.data.sources import PhantomSource
from medistill.engine.batching import Batching
from medistill.engine.objectives import batching_of, make_method
from medistill.engine.optimizer import make_optimizer, take_step
from medistill.engine.step import train_window
from medistill.model.adapters import adapt, adapted_layers
from medistill.model.dual import DualEncoder
from medistill.model.teacher import make_teacher
from medistill.pretrain import make_trainer
from medistill.recipe import RECIPES, Encoder, Recipe

RANK, MICRO, TURNS = 16, 16, 5
WAYS: dict[str, dict[str, Any]] = {"locked": {"locked": True}, "adapted": {"lora_rank": 8}, "trained": {}}
"""What becomes of a pretrained text tower."""


def bytes_of(tensors: Iterable[Tensor], apart_from: Iterable[Tensor] = ()) -> int:
    """Of their storages, each counted once, but those of `apart_from`."""
    others = {t.untyped_storage().data_ptr() for t in apart_from}
    sizes = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    return sum(size for place, size in sizes.items() if place not in others)


def held(model: nn.Module, teacher: nn.Module | None) -> int:
    """Weights, gradients, AdamW's two moments, and what the teacher has for itself, in bytes."""
    trained = bytes_of(p for p in model.parameters() if p.requires_grad)
    own = bytes_of(teacher.parameters(), model.parameters()) if teacher else 0
    return bytes_of(model.parameters()) + 3 * trained + own


def counted(fabric: Fabric, recipe: Recipe, model: DualEncoder, window: Window) -> int:
    """The same with the peak of activations while one window is trained on, in bytes."""
    method: Any = make_method(recipe, model, fabric)
    teacher = getattr(method, "teacher", None)
    lasting = [*model.parameters(), *(teacher.parameters() if teacher else ())]

    def optimizer_step() -> bool:
        model.zero_grad()
        return False

    with saved_activations([*lasting, window.images, window.tokens, window.mask]) as saved:
        train_window(
            fabric,
            fabric.setup_module(model),
            method,
            window,
            batching=Batching(recipe.micro_batch, recipe.micro_batch),
            optimizer_step=optimizer_step,
        )
    return held(model, teacher) + saved.peak


def memory() -> None:
    """Print msd's memory beside clip's, whole towers and adapted ones, at the size of `chest_vitb`."""
    from medistill.engine.plan.probe import model_at_random

    print(
        "| towers | clip | msd, both towers' activations | more | msd tower by tower |\n|---|---|---|---|---|"
    )
    for rank in (0, RANK):
        model = model_at_random(RECIPES["chest_vitb"]()).train()
        adapt(model.image, rank, "image")
        adapt(model.text, rank, "text")
        pairs = [bytes_a_pair(model, of, half=True) for of in of_each_tower(model, "chest_vitb").values()]
        clip = held(model, None) + MICRO * sum(pairs)
        own = held(model, make_teacher(model)) - held(model, None)
        apart = clip + own - MICRO * min(pairs)
        name = f"adapters of rank {rank}" if rank else "whole"
        sizes = [f"{size / 1e9:.3f} GB" for size in (clip, clip + own, apart)]
        print(f"| {name} | {sizes[0]} | {sizes[1]} | {own / clip:+.1%} | {sizes[2]} |")


def text(tower: str) -> None:
    """Print bytes and processor time of `small` with that text tower, clip and msd, the times in turns."""
    from medistill.engine.plan.probe import model_at_random, synthetic_window

    fabric, small = Fabric(accelerator="cpu", devices=1), RECIPES["small"]()
    trains: dict[tuple[str, str], Callable[[], None]] = {}
    sizes: dict[tuple[str, str], int] = {}
    for way, economy in WAYS.items():
        encoder = Encoder(type="bert", pretrained=tower, **economy)
        for objective in ("clip", "msd"):
            recipe = dataclasses.replace(small, text=encoder, objective=objective, window=4 * MICRO)
            torch.manual_seed(0)
            model = model_at_random(recipe).train()
            window = synthetic_window(recipe, model, recipe.window)
            sizes[way, objective] = counted(fabric, recipe, model, window)
            trains[way, objective] = training(fabric, recipe, model, window)
    turns = [{name: _processor_seconds(train) for name, train in trains.items()} for _ in range(TURNS)]
    print("| text tower | objective | MB | ms a pair | times locked clip |\n|---|---|---|---|---|")
    for way, objective in trains:
        taken = [turn[way, objective] for turn in turns]
        ratio = statistics.median(turn[way, objective] / turn["locked", "clip"] for turn in turns)
        figures = f"{sizes[way, objective] / 1e6:.1f} | {1000 * statistics.median(taken) / (4 * MICRO):.1f}"
        print(f"| {way} | {objective} | {figures} | {ratio:.2f} |")


def training(fabric: Fabric, recipe: Recipe, model: DualEncoder, window: Window) -> Callable[[], None]:
    """Goes through a window, optimizer steps included; once already, so that the moments are there."""
    method = make_method(recipe, model, fabric)
    student, optimizer = fabric.setup(model, make_optimizer(model, lr=1e-4, weight_decay=0.05))

    def train() -> None:
        train_window(
            fabric,
            student.train(),
            method,
            window,
            batching=batching_of(recipe),
            optimizer_step=lambda: take_step(fabric, student, optimizer, recipe.clip_norm),
        )

    train()
    return train


def _processor_seconds(run: Callable[[], None]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def average(tower: str) -> None:
    """Print how far B' A' of the teacher is from the running average of B A, over a short run on phantoms."""
    recipe = dataclasses.replace(
        RECIPES["small"](),
        text=Encoder(type="bert", pretrained=tower, lora_rank=8),
        max_tokens=48,
        min_patients=1,
        window=64,
        epochs=2,
        lr=1e-3,
        log_every=1000,
    )
    with tempfile.TemporaryDirectory() as folder:
        prepare(PhantomSource(count=1000), Path(folder) / "corpus")
        corpus, run = open_corpus(Path(folder) / "corpus"), Path(folder) / "run"
        run.mkdir()
        trainer = make_trainer(
            recipe,
            *training_rows(corpus),
            run,
            fabric=Fabric(accelerator="cpu", devices=1),
            corpus_hash=corpus.card["sha256"],
        )
        followed = Followed(trainer.method, trainer.plain_student)
        trainer.fit(lambda *_: None)
        followed.tell()


class Followed:
    """The products of a student's adapters, averaged as its teacher averages their factors."""

    def __init__(self, method: Any, student: DualEncoder):
        self.method, self.student, self.steps = method, student, 0
        self.products = _products(student)
        self.before, method.close_step = method.close_step, self.close_step

    def close_step(self, student: nn.Module, *, taken: bool) -> None:
        """Stands in for the method's own."""
        self.before(student, taken=taken)
        self.steps += 1
        momentum = self.method.settings.momentum
        for mean, now in zip(self.products, _products(self.student), strict=True):
            mean.lerp_(now, 1 - momentum)

    def tell(self) -> None:
        """Relative distances over the adapted layers, and what they come to in the texts' embeddings."""
        layers = list(adapted_layers(self.method.teacher).values())
        own = _products(self.method.teacher)
        apart = [float((a - b).norm() / b.norm()) for a, b in zip(own, self.products, strict=True)]
        moved = [
            float(b.norm() / layer.base_layer.weight.norm())
            for layer, b in zip(layers, self.products, strict=True)
        ]
        texts = ["Heart size is normal. The lungs are clear.", "Small left pleural effusion.", "No edema."]
        factors = self.method.teacher.encode_texts(texts)
        for layer, product, mean in zip(layers, own, self.products, strict=True):
            layer.base_layer.weight.data += mean - product
        cosine = (factors * self.method.teacher.encode_texts(texts)).sum(dim=1)
        print(f"{self.steps} optimizer steps, {len(layers)} adapted layers of rank 8")
        print(f"B A against the weight it is added to (Frobenius): median {_median(moved):.2g}")
        print(f"B' A' against the average of B A: median {_median(apart):.2g}, largest {max(apart):.2g}")
        print(f"cosine of the texts' embeddings by the two: least {float(cosine.min()):.6f}")


def _products(model: nn.Module) -> list[Tensor]:
    return [layer.get_delta_weight("default").detach().clone() for layer in adapted_layers(model).values()]


def _median(values: list[float]) -> float:
    return float(torch.tensor(values).median())


if __name__ == "__main__":
    {"memory": memory, "text": text, "average": average}[sys.argv[1]](*sys.argv[2:])
