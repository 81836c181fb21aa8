"""Rows about whole commands: the quickstart's training, plans, embedding."""

import dataclasses
import statistics
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from shutil import rmtree
from unittest import mock

import numpy as np
import torch

from benchmarks.on_card.clock import Clock
from benchmarks.on_card.entrant import fresh_model
from benchmarks.on_card.measure import SETUP, free, seconds_of, tried
from benchmarks.on_card.results import Entry
from benchmarks.on_card.setting import Setting
from benchmarks.on_card.training import in_memory
from medistill.data.prepare.run import prepare
from medistill.data.sources import PhantomSource
from medistill.engine.plan import plan as plans
from medistill.engine.plan import probe
from medistill.model.any_model import open_model
from medistill.model.saved import save_model
from medistill.pretrain import pretrain
from medistill.recipe import Recipe
from medistill.serve.index.embed import embed
from medistill.system.isolated import cores

WORKERS = 8
"""Most processes that draw phantoms."""


def quickstart(setting: Setting, clock: Clock) -> Iterator[Entry]:
    """The quickstart's training on phantoms, loader included, with graphs and without in turns."""
    clock.expect(3 * SETUP)
    corpus = phantoms(setting.folder / "quick", setting.studies, setting.quick.size)
    speeds: dict[str, list[float]] = {"auto": [], "off": []}
    notes: dict[str, Entry] = {}
    for turn in range(setting.turns):
        for graphs in ("off", "auto") if turn % 2 else ("auto", "off"):
            if clock.left < 2 * SETUP and turn:
                break
            recipe = dataclasses.replace(setting.quick, graphs=graphs)
            entry = tried({}, partial(trained, recipe, corpus, setting.folder / "run"))
            if "note" in entry:
                notes[graphs] = entry
            else:
                speeds[graphs].append(entry["pairs_per_second"])
    yield from against_off(speeds, notes)


def against_off(speeds: dict[str, list[float]], notes: dict[str, Entry]) -> Iterator[Entry]:
    """Medians of the turns, and of how many times the speed without graphs each is in its turn."""
    for graphs, own in speeds.items():
        entry: Entry = {"what": "quickstart, training", "graphs": graphs}
        if own:
            ratios = [mine / off for mine, off in zip(own, speeds["off"], strict=False)]
            entry |= {"pairs_per_second": statistics.median(own), "turns": len(own)}
            entry |= {"times_graphs_off": statistics.median(ratios) if ratios else None}
        yield entry | notes.get(graphs, {})


def trained(recipe: Recipe, corpus: Path, run: Path) -> Entry:
    """Two epochs of a run, from the end of its first window to that of its last; a log line a window, which
    waits for the card."""
    rmtree(run, ignore_errors=True)
    recipe = dataclasses.replace(recipe, epochs=2, log_every=1, validate_every=2.0)
    seen: list[tuple[int, float]] = []
    pretrain(recipe, corpus, run, watch=lambda pairs, _, loss: seen.append((pairs, time.perf_counter())))
    (first, start), (last, end) = seen[0], seen[-1]
    return {"pairs_per_second": (last - first) / (end - start)}


def phantoms(folder: Path, studies: int, size: int) -> Path:
    """A corpus of drawn radiographs."""
    prepare(PhantomSource(count=studies, size=size), folder, workers=min(cores(), WORKERS))
    return folder


def plan(setting: Setting, clock: Clock) -> Iterator[Entry]:
    """`medistill plan` of chest_resnet50, its trials made in this process, beside peaks of real windows."""
    clock.expect(4 * SETUP)

    def one_more(done: int) -> None:
        clock.expect(SETUP)

    with mock.patch.object(plans, "run_probe", probed_here):
        made = plans.make_plan(setting.chest, on_progress=one_more)
    free()
    yield {"what": "measured for the plan at", "micro_batch": str([m.micro_batch for m in made.measures])}
    for micro in setting.planned:
        clock.expect(SETUP)
        recipe = dataclasses.replace(setting.chest, micro_batch=micro, window=setting.window)
        what = {"micro_batch": micro, "predicted_gb": made.peak(micro) / 1e9}
        entry = tried(what, partial(in_memory, recipe, setting, windows=1))
        if entry.get("allocated_gb"):
            entry["predicted_over_allocated"] = entry["predicted_gb"] / entry["allocated_gb"]
        yield entry


def probed_here(recipe: Recipe, *, validation: bool = False, tidy: bool = False) -> probe.Measure | None:
    """As a plan's process of its own would, whose start takes longer than the trial; `tidy` is about CPUs."""
    free()
    try:
        return probe._measured(recipe, validation=validation)
    except torch.OutOfMemoryError:
        return None


def embedding(setting: Setting, clock: Clock) -> Iterator[Entry]:
    """Images a second of `medistill embed`, decoding and texts included, and of the model by itself."""
    clock.expect(3 * SETUP)
    corpus = phantoms(setting.folder / "embedded", setting.embedded, setting.embedded_size)
    for recipe in (setting.quick, setting.chest):
        clock.expect(SETUP)
        what = {"what": f"embed, {recipe.name}", "pixels": setting.embedded_size}
        yield tried(what, partial(embedded, recipe, corpus, setting))


def embedded(recipe: Recipe, corpus: Path, setting: Setting) -> Entry:
    """The whole command, and the model on images that are decoded and of its size."""
    folder, table = setting.folder / recipe.name, setting.folder / f"{recipe.name}.arrow"
    save_model(fresh_model(recipe), folder)
    model = open_model(folder, str(setting.device))
    shape = (setting.embedded, recipe.size, recipe.size)
    squares = list(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
    model.encode_images(squares[:64])
    alone = seconds_of(lambda: model.encode_images(squares), setting.device)
    start = time.perf_counter()
    images = embed(folder, corpus, table, device=str(setting.device))["images"]
    command = time.perf_counter() - start
    return {"images_per_second": images / command, "model_alone": len(squares) / alone}
