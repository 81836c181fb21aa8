"""Speed and activation memory of every objective on a recipe's towers, in one process.

    python benchmarks/step.py [--recipe small] [--json] [--device cuda]
    python benchmarks/step.py --recipe chest_resnet50 --micro 4 --multiples 1 4 --objectives clip msd

Throughput is that of whole windows with optimizer steps, relative to clip at the same micro-batch: the
median over repeats in which the objectives take turns, one model in memory at a time. Peak activation bytes
are counted: what autograd keeps for the backward pass, weights and window apart. They are the same on every
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

import torch
from lightning_fabric import Fabric
from saved_activations import saved_activations

from medistill.data.loader import Window
from medistill.engine.objectives import batching_of, make_method, steps_every
from medistill.engine.optimizer import make_optimizer, take_step
from medistill.engine.plan.probe import model_at_random, synthetic_window
from medistill.engine.step import train_window
from medistill.recipe import RECIPES, Recipe

MULTIPLES = (1, 2, 4, 8, 16, 32, 64)
"""Windows whose activations are measured, in micro-batches."""
OBJECTIVES = ("clip", "fastclip", "gradcache", "siglip", "moco", "msd")


@dataclass
class Entrant:
    """An objective with its own student, ready to train windows."""

    recipe: Recipe
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

    return Entrant(recipe, run, list(model.parameters()))


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


def activation_bytes(run: Entrant, window: Window) -> int:
    """Peak of what one window keeps for the backward pass."""
    with saved_activations(apart_from=run.parameters) as account:
        run.run(window)
    return account.peak


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
            row["peak_activation_bytes"] = activation_bytes(entrant(recipe, fabric), cut(drawn, size))
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
    multiples, repeats = options.multiples, options.repeats
    table = rows(fabric, base, options.objectives, multiples=multiples, repeats=repeats)
    if options.json:
        json.dump(table, sys.stdout)
        return
    print("objective  window  micro-batch  per step  throughput  activations, MB  input, MB")
    for row in table:
        speed = f"{row['relative_throughput']:.2f}" if row["relative_throughput"] else ""
        figures = f"{row['window']:>6}  {row['micro_batch']:>11}  {row['micro_per_step']:>8}  {speed:>10}"
        megabytes = f"{row['peak_activation_bytes'] / 1e6:>15.2f}  {row['window_input_bytes'] / 1e6:>9.2f}"
        print(f"{row['objective']:<9}  {figures}  {megabytes}")


if __name__ == "__main__":
    main()
