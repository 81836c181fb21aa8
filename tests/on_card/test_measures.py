"""Every row of `benchmarks/cuda.py` measures, with tiny towers and without a card."""

import dataclasses
import sys
import time
import types

import numpy as np
import pytest
import torch
from benchmarks.on_card import whole
from benchmarks.on_card.clock import Clock
from benchmarks.on_card.entrant import Entrant, fresh_model, noise_window, random_keys, windowed
from benchmarks.on_card.measure import kernel_seconds, peaks_of
from benchmarks.on_card.rivals import GradCacheLibrary, OpenClipAccumulation
from benchmarks.on_card.rows import ROWS
from benchmarks.on_card.setting import Setting
from torch import nn

from medistill.engine.cached import Cached
from tests.conftest import tiny_recipe, write_noise_corpus

CPU = torch.device("cpu")
OBJECTIVES = {
    *("msd, a step a micro-batch", "msd, a step a window", "gradcache", "siglip", "moco", "fastclip"),
    "msd_paper, queue of 16",
}


@pytest.fixture
def clock():
    return Clock(time.time() + 600)


@pytest.fixture
def setting(fabric, tmp_path):
    paper = tiny_recipe(name="msd_paper", micro_per_step=2, queue=16, queue_max_age=64, queue_warmup=0.0)
    return Setting(
        fabric=fabric,
        folder=tmp_path,
        chest=tiny_recipe(name="chest"),
        vit=tiny_recipe(name="vit"),
        paper=paper,
        quick=tiny_recipe(name="quick", live_share=0.3),
        windows=(8, 16),
        window=8,
        short=8,
        turns=2,
        batches=(4, 8),
        micro_batches=(2, 4),
        planned=(2, 4),
        held=((4, 4.8), (2, 11.0)),
        studies=40,
        embedded=12,
        embedded_size=64,
    )


@pytest.fixture(autouse=True)
def drawn(monkeypatch):
    """A corpus of noise in the place of one of phantoms, which takes processes to draw."""

    def noise(folder, studies, size):
        if not folder.exists():
            write_noise_corpus(folder)
        return folder

    monkeypatch.setattr(whole, "phantoms", noise)


NAMES = {
    "held": set(),
    "rivals": {
        "msd, a step a micro-batch",
        "msd, a step a micro-batch, --graphs off",
        "gradcache",
        "gradcache, --graphs off",
        "GradCache, the library",
        "open_clip, --accum-freq",
    },
    "throughput": {"clip", *OBJECTIVES},
    "memory": {"clip", *OBJECTIVES, "GradCache, the library", "open_clip, --accum-freq"},
    "batches": {"clip, end to end"},
    "micro": set(),
    "vit": {"vit", "vit, alone", "vit, --graphs off"},
    "checkpointing": {
        "as it is",
        "as it is, alone",
        "checkpoint_activations",
        "checkpoint_activations, alone",
    },
}
BUSY = {"chest, msd", "vit, msd", "quick, msd"}


@pytest.mark.parametrize("name", [*NAMES, pytest.param("busy", marks=pytest.mark.slow)])
def test_a_row_measures_what_it_names(setting, clock, name):
    entries = list(ROWS[name].measure(setting, clock))
    assert {entry["what"] for entry in entries if "what" in entry} == NAMES.get(name, BUSY)
    measured = [entry for entry in entries if "note" not in entry]
    for entry in entries:
        if "note" in entry:
            assert entry["what"] in ("GradCache, the library", "open_clip, --accum-freq")
            assert entry["note"].startswith("not measured: no module")
    assert len(measured) >= 2
    for entry in measured:
        assert entry.get("pairs_per_second", entry.get("ms_a_window", 1)) > 0
    if name == "memory":
        told = {(entry["what"], entry["window"]) for entry in measured}
        assert told >= {(what, window) for what in OBJECTIVES for window in (8, 16)} | {("clip", 4)}


def test_the_quickstart_is_trained_with_graphs_and_without_in_turns(setting, clock, monkeypatch):
    turns = []

    def trained(recipe, corpus, run):
        turns.append(recipe.graphs)
        return {"pairs_per_second": 10.0 * len(turns)}

    monkeypatch.setattr(whole, "trained", trained)
    entries = list(whole.quickstart(setting, clock))
    assert [entry["graphs"] for entry in entries] == ["auto", "off"]
    assert [entry["turns"] for entry in entries] == [2, 2]
    assert turns == ["auto", "off", "off", "auto"]
    assert entries[0]["pairs_per_second"] == 25.0  # of the first turn and the fourth
    assert entries[1]["times_graphs_off"] == 1.0


@pytest.mark.slow
def test_the_speed_of_a_run_is_that_of_the_windows_after_its_first(setting, tmp_path):
    corpus = whole.phantoms(tmp_path / "corpus", 40, 32)
    entry = whole.trained(setting.quick, corpus, tmp_path / "run")
    assert entry["pairs_per_second"] > 0
    again = whole.trained(setting.quick, corpus, tmp_path / "run")  # a fresh run, not one that is over
    assert again["pairs_per_second"] > 0


@pytest.mark.slow
def test_a_plan_is_held_against_what_its_micro_batches_take(setting, clock):
    entries = list(whole.plan(setting, clock))
    assert [entry["micro_batch"] for entry in entries[1:]] == [2, 4]
    assert all(entry["predicted_gb"] > 0 and "note" not in entry for entry in entries[1:])


def test_embedding_is_measured_as_a_command_and_by_the_model_alone(setting, clock):
    entries = list(whole.embedding(setting, clock))
    assert [entry["what"] for entry in entries] == ["embed, quick", "embed, chest"]
    assert all(entry["images_per_second"] > 0 and entry["model_alone"] > 0 for entry in entries)


def test_entrants_start_from_the_same_weights_and_do_not_share_them(fabric):
    one, other = (fresh_model(tiny_recipe(objective=name)) for name in ("msd", "clip"))
    for mine, theirs in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, theirs)
        assert mine.data_ptr() != theirs.data_ptr()
    assert fresh_model(tiny_recipe(objective="siglip")).bias is not None
    assert one.dim == 8
    assert one.size == 32


def test_training_changes_the_weights_and_the_targets_are_soft(fabric):
    recipe = tiny_recipe(alpha=0.4)
    one = Entrant(recipe, fabric)
    before = [p.clone() for p in one.student.parameters()]
    one.train(noise_window(recipe, 8, pinned=False))
    assert any(not torch.equal(p, q) for p, q in zip(before, one.student.parameters(), strict=True))
    assert one.method.settings.alpha == 0.4


@pytest.mark.parametrize(
    ("micro_per_step", "window", "expected"), [(1, 32, 1), (2, 32, 8), (2, 4, 1), (1, 2 * 4, 1)]
)
def test_a_step_a_window_stays_one_at_any_window(micro_per_step, window, expected):
    recipe = windowed(tiny_recipe(window=8, micro_batch=4, micro_per_step=micro_per_step), window)
    assert (recipe.window, recipe.micro_per_step) == (window, expected)


def test_a_queue_is_full_from_the_start_and_as_long_as_its_windows(fabric):
    paper = Entrant(tiny_recipe(queue=24, queue_warmup=0.0), fabric)
    assert len(paper.method.queue.keys) == 24
    assert paper.method.settings.queue_in_use
    moco = Entrant(tiny_recipe(objective="moco"), fabric)
    assert len(moco.method.queue.keys) == 4 * 8
    moco.use_window(16)
    assert len(moco.method.queue.keys) == 4 * 16


def test_random_keys_are_positives_of_nobody():
    keys = random_keys(5, 4, CPU)
    torch.testing.assert_close(keys.image.norm(dim=1), torch.ones(5))
    assert int(keys.study.max()) < 0
    assert len(set(keys.study.tolist())) == 5


def test_a_figure_of_passes_that_had_to_shrink_is_none(fabric):
    recipe = tiny_recipe()
    one = Entrant(recipe, fabric)
    one.batching.halve()
    with pytest.raises(torch.OutOfMemoryError, match="went on with passes of 2"):
        one.train(noise_window(recipe, 8, pinned=False))


def test_a_cpu_has_no_peak_but_what_is_asked_is_run():
    done = []
    assert peaks_of(lambda: done.append(1), CPU) == {"reserved_gb": None, "allocated_gb": None}
    assert done == [1]


def test_the_work_of_kernels_is_seen():
    a = torch.randn(300, 300)
    assert kernel_seconds(lambda: a @ a, CPU) > 0


class CachedByHand:
    """In the place of the library's class: the same arguments, the same two passes."""

    def __init__(self, models, chunk_sizes, loss_fn, get_rep_fn):
        self.models, self.size, self.loss, self.get = models, chunk_sizes, loss_fn, get_rep_fn

    def __call__(self, *inputs):
        parts = [self.split(x) for x in inputs]
        with torch.no_grad():
            rows = [
                torch.cat([self.get(model(*x)) for x in part])
                for model, part in zip(self.models, parts, strict=True)
            ]
        rows = [row.requires_grad_() for row in rows]
        self.loss(*rows).backward()
        for model, part, row in zip(self.models, parts, rows, strict=True):
            for x, gradient in zip(part, row.grad.split(self.size), strict=True):
                (self.get(model(*x)) * gradient).sum().backward()

    def split(self, x):
        if isinstance(x, torch.Tensor):
            return [(part,) for part in x.split(self.size)]
        return list(zip(*(column.split(self.size) for column in x), strict=True))


def test_the_library_trains_the_same_weights_as_our_gradcache(fabric, monkeypatch):
    monkeypatch.setitem(
        __import__("sys").modules, "grad_cache", types.SimpleNamespace(GradCache=CachedByHand)
    )
    recipe = tiny_recipe(objective="gradcache")
    window = noise_window(recipe, 8, pinned=False)
    ours, theirs = Entrant(recipe, fabric), GradCacheLibrary(recipe, fabric)
    assert isinstance(ours.method, Cached)
    for one in (ours, theirs):
        one.train(window)
    for mine, other in zip(ours.student.parameters(), theirs.student.parameters(), strict=True):
        torch.testing.assert_close(mine, other, atol=2e-5, rtol=1e-3)


def test_open_clip_is_called_as_its_own_loop_would_be(fabric, monkeypatch):
    seen = {}

    def train_one_epoch(model, data, loss, epoch, optimizer, scaler, scheduler, dist_model, args):
        batches = list(data["train"].dataloader)
        seen.update(batches=[len(images) for images, _ in batches], every=args.accum_freq)
        outputs = [model(*batch) for batch in batches]
        image, text = (torch.cat([out[f"{kind}_features"] for out in outputs]) for kind in ("image", "text"))
        optimizer.zero_grad()
        loss(image, text, outputs[0]["logit_scale"]).backward()
        optimizer.step()
        model.logit_scale.data.clamp_(0, 4.6)

    class ClipLoss(nn.Module):
        def forward(self, image, text, scale):
            return nn.functional.cross_entropy(scale * image @ text.T, torch.arange(len(image)))

    monkeypatch.setitem(sys.modules, "open_clip", types.ModuleType("open_clip"))
    monkeypatch.setitem(sys.modules, "open_clip.loss", types.SimpleNamespace(ClipLoss=ClipLoss))
    monkeypatch.setitem(sys.modules, "open_clip_train", types.ModuleType("open_clip_train"))
    stand_in = types.SimpleNamespace(train_one_epoch=train_one_epoch)
    monkeypatch.setitem(sys.modules, "open_clip_train.train", stand_in)
    recipe = tiny_recipe()
    one = OpenClipAccumulation(recipe, fabric)
    before = one.view.model.image_projection.weight.clone()
    one.train(noise_window(recipe, 7, pinned=False))
    assert seen == {"batches": [4, 3], "every": 2}
    assert not torch.equal(before, one.view.model.image_projection.weight)
    assert np.isfinite(one.view.model.scale)


def test_a_setting_names_what_the_documents_name():
    standard = {field.name: field.default for field in dataclasses.fields(Setting)}
    assert standard["windows"] == (64, 1024, 4096)
    assert standard["micro_batches"] == (16, 32, 64, 128, 256)
    assert standard["held"] == ((32, 4.8), (64, 11.0))
