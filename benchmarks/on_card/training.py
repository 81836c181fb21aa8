"""Rows about memory and speed of training, on windows of noise."""

import dataclasses
import statistics
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from benchmarks.on_card.clock import Clock
from benchmarks.on_card.entrant import Entrant, cut, noise_window, windowed
from benchmarks.on_card.measure import (
    SETUP,
    Trains,
    held_to,
    kernel_seconds,
    peaks_of,
    race,
    seconds_of,
    tried,
)
from benchmarks.on_card.results import Entry
from benchmarks.on_card.rivals import GradCacheLibrary, OpenClipAccumulation
from benchmarks.on_card.setting import Setting
from medistill.data.loader import Window
from medistill.recipe import Recipe

GRADCACHE_LIBRARY, OPEN_CLIP = "GradCache, the library", "open_clip, --accum-freq"
SLOWEST = 300
"""Pairs a second that any of them reaches on a card."""


def held(setting: Setting, clock: Clock) -> Iterator[Entry]:
    """chest_resnet50 in less memory than the card has, its passes whole; or it does not fit."""
    for micro, gigabytes in setting.held:
        clock.expect(2 * SETUP)
        recipe = dataclasses.replace(setting.chest, window=setting.window, micro_batch=micro)

        def fits(recipe: Recipe = recipe, gigabytes: float = gigabytes) -> Entry:
            with held_to(gigabytes, setting.device):
                return in_memory(recipe, setting, windows=2)

        yield tried({"micro_batch": micro, "held_to_gb": gigabytes, "window": setting.window}, fits)


def rivals(setting: Setting, clock: Clock) -> Iterator[Entry]:
    """msd and gradcache with graphs and without, the GradCache library and open_clip's accumulation."""
    base = windowed(setting.chest, setting.window)
    makers = {
        "msd, a step a micro-batch": ours(setting, base),
        "msd, a step a micro-batch, --graphs off": ours(setting, base, graphs="off"),
        "gradcache": ours(setting, base, objective="gradcache"),
        "gradcache, --graphs off": ours(setting, base, objective="gradcache", graphs="off"),
        **other_libraries(setting, base),
    }
    yield from raced(setting, clock, makers, base)


def throughput(setting: Setting, clock: Clock) -> Iterator[Entry]:
    """Every objective at the same micro-batch, beside clip."""
    base = windowed(setting.chest, setting.window)
    yield from raced(setting, clock, objectives(setting, base), base)


def memory(setting: Setting, clock: Clock) -> Iterator[Entry]:
    """Peak of every objective and rival by window; the smallest windows first."""
    base = windowed(setting.chest, setting.windows[0])
    makers = objectives(setting, base)
    clip = makers.pop("clip")
    alone: dict[str, Callable[[], Trains]] = {**makers, **other_libraries(setting, base)}
    clock.expect(SETUP)
    yield tried({"what": "clip", "window": base.micro_batch}, partial(grown, clip, base.micro_batch, setting))
    for name, make in alone.items():
        clock.expect(SETUP)
        yield from by_window(name, make, setting, clock)


def by_window(name: str, make: Callable[[], Trains], setting: Setting, clock: Clock) -> Iterator[Entry]:
    """Of one entrant; a rival, which is launched kernel by kernel, up to the window for speeds."""
    made: list[Trains] = []

    def measured(window: int) -> Entry:
        if not made:
            made.append(make())
        return grown(lambda: made[0], window, setting)

    for window in setting.windows:
        if name in (GRADCACHE_LIBRARY, OPEN_CLIP) and window > setting.window:
            return
        if clock.left < SETUP + window / SLOWEST:
            yield {"what": name, "window": window, "note": "not measured: no time was left"}
            return
        entry = tried({"what": name, "window": window}, partial(measured, window))
        yield entry
        if "note" in entry:
            return


def grown(make: Callable[[], Trains], pairs: int, setting: Setting) -> Entry:
    """Peak of a window of so many pairs once a part of it has made the moments."""
    one = make()
    if isinstance(one, Entrant):
        one.use_window(pairs)
    window = noise_of(setting.chest, pairs, setting)
    one.train(cut(window, min(pairs, 4 * setting.chest.micro_batch)))
    return peaks_of(lambda: one.train(window), setting.device)


def batches(setting: Setting, clock: Clock) -> Iterator[Entry]:
    """clip end to end: the whole batch in memory at once."""
    for batch in setting.batches:
        clock.expect(SETUP)
        recipe = dataclasses.replace(setting.chest, objective="clip", window=batch, micro_batch=batch)
        yield tried({"what": "clip, end to end", "batch": batch}, partial(in_memory, recipe, setting))


def micro_batches(setting: Setting, clock: Clock) -> Iterator[Entry]:
    """msd, a step a micro-batch, at growing micro-batches; the smaller ones without graphs too."""
    for micro in setting.micro_batches:
        base = dataclasses.replace(setting.chest, micro_batch=micro, window=max(micro, setting.short))
        for graphs in ("auto", "off") if micro <= 2 * setting.chest.micro_batch else ("auto",):
            clock.expect(SETUP)
            recipe = dataclasses.replace(base, graphs=graphs)
            yield tried({"micro_batch": micro, "graphs": graphs}, partial(in_memory, recipe, setting))


def vit(setting: Setting, clock: Clock) -> Iterator[Entry]:
    """chest_vitb with graphs and without."""
    base = windowed(setting.vit, setting.short)
    clock.expect(SETUP)
    yield tried({"what": f"{base.name}, alone"}, partial(in_memory, base, setting))
    makers = {base.name: ours(setting, base), f"{base.name}, --graphs off": ours(setting, base, graphs="off")}
    yield from raced(setting, clock, makers, base)


def checkpointing(setting: Setting, clock: Clock) -> Iterator[Entry]:
    """chest_resnet50 as it is, and with its activations recomputed."""
    base = windowed(setting.chest, setting.short)
    economic = dataclasses.replace(base, checkpoint_activations=True)
    for what, recipe in {"as it is, alone": base, "checkpoint_activations, alone": economic}.items():
        clock.expect(SETUP)
        yield tried({"what": what}, partial(in_memory, recipe, setting))
    makers = {"as it is": ours(setting, base), "checkpoint_activations": ours(setting, economic)}
    yield from raced(setting, clock, makers, base)


def busy(setting: Setting, clock: Clock) -> Iterator[Entry]:
    """The card's own work, kernel by kernel, over the time that a window takes without anybody looking."""
    for recipe in (setting.chest, setting.vit, setting.quick):
        base = windowed(recipe, setting.short)
        for graphs in ("auto", "off"):
            clock.expect(SETUP)
            what = {"what": f"{base.name}, {base.objective}", "graphs": graphs}
            yield tried(what, partial(_busy, dataclasses.replace(base, graphs=graphs), setting))


def _busy(recipe: Recipe, setting: Setting) -> Entry:
    one, window = Entrant(recipe, setting.fabric), noise_of(recipe, recipe.window, setting)
    one.train(window)
    train, device = partial(one.train, window), setting.device
    seconds = statistics.median(seconds_of(train, device) for _ in range(setting.turns))
    kernels = kernel_seconds(train, device)
    if kernels is None:
        return {"note": "not measured: the profiler saw no kernel"}
    return {
        "ms_a_window": 1000 * seconds,
        "ms_of_kernels": 1000 * kernels,
        "busy": kernels / seconds,
        "captured": one.captured,
    }


def in_memory(recipe: Recipe, setting: Setting, windows: int = 3) -> Entry:
    """Peak of a recipe alone on the card, and its speed: the median of some windows."""
    one, window = Entrant(recipe, setting.fabric), noise_of(recipe, recipe.window, setting)
    one.train(window)
    taken: list[float] = []

    def train() -> None:
        taken.extend(seconds_of(partial(one.train, window), setting.device) for _ in range(windows))

    peaks = peaks_of(train, setting.device)
    speed = len(window) / statistics.median(taken)
    return {**peaks, "pairs_per_second": speed, "captured": one.captured}


def raced(
    setting: Setting, clock: Clock, makers: Mapping[str, Callable[[], Trains]], base: Recipe
) -> Iterator[Entry]:
    """All of them in turns on windows of `base`."""
    yield from race(
        makers,
        noise_of(base, base.window, setting),
        micro=base.micro_batch,
        turns=setting.turns,
        clock=clock,
        device=setting.device,
    )


def objectives(setting: Setting, base: Recipe) -> dict[str, Callable[[], Trains]]:
    """Every objective at the window of `base`; msd with a step a micro-batch, a window, as its paper."""
    most = -(-base.window // base.micro_batch)
    paper = windowed(dataclasses.replace(setting.paper, micro_batch=base.micro_batch), base.window)
    return {
        "clip": ours(setting, base, objective="clip"),
        "msd, a step a micro-batch": ours(setting, base, micro_per_step=1),
        "msd, a step a window": ours(setting, base, micro_per_step=most),
        **{name: ours(setting, base, objective=name) for name in ("gradcache", "siglip", "moco", "fastclip")},
        f"{paper.name}, queue of {paper.queue:,}": ours(setting, paper),
    }


def other_libraries(setting: Setting, base: Recipe) -> dict[str, Callable[[], Trains]]:
    """On the same towers, at the same micro-batch."""
    recipe = dataclasses.replace(base, objective="clip")
    return {
        GRADCACHE_LIBRARY: partial(GradCacheLibrary, recipe, setting.fabric),
        OPEN_CLIP: partial(OpenClipAccumulation, recipe, setting.fabric),
    }


def ours(setting: Setting, base: Recipe, **changes: object) -> Callable[[], Trains]:
    """Makes an entrant of the recipe so changed."""
    return partial(Entrant, dataclasses.replace(base, **changes), setting.fabric)


def noise_of(recipe: Recipe, pairs: int, setting: Setting) -> Window:
    """In pinned memory for a card, as the loader gives them."""
    return noise_window(recipe, pairs, pinned=setting.device.type == "cuda")
