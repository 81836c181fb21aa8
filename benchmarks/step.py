"""Speed and activation memory of every objective on a recipe's towers, in one process.

    python benchmarks/step.py [--recipe small] [--json] [--device cuda]
    python benchmarks/step.py --recipe chest_resnet50 --micro 4 --multiples 1 4 --objectives clip msd

Throughput is that of whole windows with optimizer steps, relative to clip at the same micro-batch: the
median over repeats in which the objectives take turns, one model in memory at a time. Peak activation bytes
are counted: what autograd keeps for the backward pass, apart from what is there anyway: weights, the window,
and the window's keys or cached gradients, which have a figure of their own. They are the same on every
machine.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from unittest import mock

import torch
from lightning_fabric import Fabric
from saved_activations import saved_activations

from medistill.data.loader import Window
from medistill.engine.keys import Keys
from medistill.engine.method import Method
from medistill.engine.objectives import batching_of, make_method, steps_every
from medistill.engine.optimizer import make_optimizer, take_step
from medistill.engine.plan.probe import model_at_random, synthetic_window
from medistill.engine.step import train_window
from medistill.model.dual import Embeddings
from medistill.recipe import RECIPES, Encoder, Recipe

MULTIPLES = (1, 2, 4, 8, 16, 32, 64)
"""Windows whose activations are measured, in micro-batches."""
OBJECTIVES = ("clip", "fastclip", "gradcache", "siglip", "moco", "msd")


@dataclass
class Entrant:
    """An objective with its own student, ready to train windows."""

    recipe: Recipe
    method: Method
    run: Callable[[Window], None]
    parameters: list[torch.Tensor]


def entrant(recipe: Recipe, fabric: Fabric) -> Entrant:
    torch.manual_seed(0)
    model = model_at_random(recipe)
    method = make_method(recipe, model.to(fabric.device), fabric)
    student, optimizer = fabric.setup(model, make_optimizer(model, lr=1e-4, weight_decay=0.05))
    student.train()
    batching = batching_of(recipe)

    def run(window: Window) -> None:
        train_window(
            fabric,
            student,
            method,
            window,
            batching=batching,
            optimizer_step=lambda: take_step(fabric, student, optimizer, recipe.clip_norm),
        )

    return Entrant(recipe, method, run, list(model.parameters()))


def recipes(base: Recipe, objectives: list[str], window: int) -> list[Recipe]:
    """The objectives; msd with a step per window, as in the paper, and with one per micro-batch."""
    base = replace(base, window=window)
    rivals = [replace(base, objective=name) for name in objectives if name != "msd"]
    steps = dict.fromkeys((window // base.micro_batch, 1)) if "msd" in objectives else ()
    return [*rivals, *(replace(base, micro_per_step=every) for every in steps)]


def seconds_of(run: Entrant, window: Window, fabric: Fabric) -> float:
    start = time.perf_counter()
    run.run(window)
    if fabric.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def throughputs(entered: list[Recipe], window: Window, fabric: Fabric, repeats: int) -> list[float]:
    """Each one's pairs per second relative to the first's, the median over interleaved repeats."""
    ratios: list[list[float]] = [[] for _ in entered]
    for _ in range(repeats):
        times = [warm_seconds(recipe, window, fabric) for recipe in entered]
        for ratio, taken in zip(ratios, times, strict=True):
            ratio.append(times[0] / taken)
    return [statistics.median(ratio) for ratio in ratios]


def warm_seconds(recipe: Recipe, window: Window, fabric: Fabric) -> float:
    """Of a window once the moments and the libraries are there."""
    each = entrant(recipe, fabric)
    each.run(cut(window, min(2 * recipe.micro_batch, len(window))))
    return seconds_of(each, window, fabric)


def activation_bytes(run: Entrant, window: Window) -> tuple[int, int]:
    """Peak of what one window keeps for the backward pass; keys or cached gradients held beside it."""
    opened = run.method.open_window
    with saved_activations(apart_from=run.parameters) as account:

        def open_window(*arguments: object) -> None:
            opened(*arguments)
            account.leave_out(held(run.method))

        with mock.patch.object(run.method, "open_window", open_window):
            run.run(window)
    sizes = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in held(run.method)}
    return account.peak, sum(sizes.values())


def held(method: Method) -> list[torch.Tensor]:
    """What the method has of a window until the next: teacher keys, or the gradient of its embeddings."""
    kept = [value for value in vars(method).values() if isinstance(value, Keys | Embeddings)]
    return [x for value in kept for x in (vars(value).values() if isinstance(value, Keys) else value)]


def window_bytes(window: Window) -> int:
    return sum(x.numel() * x.element_size() for x in (window.images, window.tokens, window.mask))


def rows(
    fabric: Fabric, base: Recipe, objectives: list[str], *, multiples: list[int], repeats: int
) -> list[dict]:
    """One row for each objective and window."""
    table, micro, window = [], base.micro_batch, base.window
    sizes = sorted({window, *(micro * multiple for multiple in multiples)})
    drawn = synthetic_window(base, model_at_random(base), sizes[-1])
    entered = partial(recipes, base, objectives)
    relative = throughputs(entered(window), cut(drawn, window), fabric, repeats)
    speed = {(e.objective, steps_every(e)): r for e, r in zip(entered(window), relative, strict=True)}
    for size in sizes:
        for recipe in entered(size):
            every = steps_every(recipe)
            row = {"objective": recipe.objective, "window": size, "micro_batch": micro}
            row["micro_per_step"] = every
            row["relative_throughput"] = speed[recipe.objective, every] if size == window else None
            peak, keys = activation_bytes(entrant(recipe, fabric), cut(drawn, size))
            row["peak_activation_bytes"], row["window_key_bytes"] = peak, keys
            row["window_input_bytes"] = window_bytes(cut(drawn, size))
            if fabric.device.type == "cuda":
                row["cuda_peak_bytes"] = cuda_peak(recipe, cut(drawn, size), fabric)
            table.append(row)
    return table


def cut(window: Window, pairs: int) -> Window:
    return window.part(slice(0, pairs), torch.device("cpu"))


def cuda_peak(recipe: Recipe, window: Window, fabric: Fabric) -> int:
    each = entrant(recipe, fabric)
    torch.cuda.reset_peak_memory_stats()
    each.run(window)
    return torch.cuda.max_memory_allocated()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--recipe", default="small", choices=sorted(RECIPES))
    parser.add_argument("--locked-text", metavar="FOLDER", help="a pretrained text tower that stays as it is")
    parser.add_argument("--micro", type=int, default=16)
    parser.add_argument("--window", type=int, help="for speed; the largest of --multiples, but at most 16")
    parser.add_argument(
        "--multiples", type=int, nargs="+", default=MULTIPLES, help="micro-batches of a window"
    )
    parser.add_argument("--objectives", nargs="+", default=OBJECTIVES, choices=OBJECTIVES)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    fabric = Fabric(accelerator=options.device, devices=1)
    window = options.window or options.micro * min(16, max(options.multiples))
    base = replace(RECIPES[options.recipe](), micro_batch=options.micro, window=window)
    if options.locked_text:
        base = replace(base, text=Encoder(type="bert", pretrained=options.locked_text, locked=True))
    multiples, repeats = options.multiples, options.repeats
    table = rows(fabric, base, options.objectives, multiples=multiples, repeats=repeats)
    if options.json:
        json.dump(table, sys.stdout)
        return
    print("objective  window  micro-batch  per step  throughput  activations, MB  keys, MB  input, MB")
    for row in table:
        speed = f"{row['relative_throughput']:.2f}" if row["relative_throughput"] else ""
        figures = f"{row['window']:>6}  {row['micro_batch']:>11}  {row['micro_per_step']:>8}  {speed:>10}"
        counted = (row[f"{what}_bytes"] / 1e6 for what in ("peak_activation", "window_key", "window_input"))
        megabytes = "  ".join(f"{size:>{width}.2f}" for size, width in zip(counted, (15, 8, 9), strict=True))
        print(f"{row['objective']:<9}  {figures}  {megabytes}")


if __name__ == "__main__":
    main()
