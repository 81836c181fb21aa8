import gc
import importlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from benchmarks.saved_activations import saved_activations
from lightning_fabric import Fabric
from torch import nn

from medistill.engine.plan.probe import model_at_random, synthetic_window
from medistill.recipe import small


def test_saved_bytes_are_those_counted_by_hand():
    weight = torch.randn(4, 3, requires_grad=True)
    x = torch.randn(5, 4)
    with saved_activations([weight, x]) as saved:
        hidden = x @ weight  # saves x and weight, which live anyway
        assert saved.now == 0
        out = hidden.exp().sin().sum()  # exp saves its result, sin its input: one storage of 5 x 3 floats
        assert saved.now == saved.peak == 5 * 3 * 4
        out.backward()
    assert saved.now == 0
    assert saved.peak == 5 * 3 * 4


def test_what_is_not_said_to_live_anyway_counts():
    weight = torch.randn(4, 3, requires_grad=True)
    with saved_activations([weight]) as saved:
        (torch.randn(5, 4) @ weight).sum().backward()
    assert saved.peak == 5 * 4 * 4


def test_what_begins_to_live_anyway_counts_no_more():
    weight = torch.randn(4, 3, requires_grad=True)
    with saved_activations([weight]) as saved:
        keys = torch.randn(7, 3)
        (torch.randn(5, 4) @ weight @ keys.T).sum().backward()
        assert saved.peak == (5 * 4 + 7 * 3) * 4
        saved.leave_out([keys])
        saved.peak = 0
        (torch.randn(5, 4) @ weight @ keys.T).sum().backward()
    assert saved.peak == 5 * 4 * 4


def test_views_of_one_storage_count_once_and_parameters_not_at_all():
    weight = torch.randn(6, requires_grad=True)
    x = torch.randn(2, 6)
    with saved_activations([weight]) as saved:
        out = (x[0] * weight).sum() + (x[1] * weight.view(2, 3).view(6)).sum()
        assert saved.now == 2 * 6 * 4
        del out
    gc.collect()
    assert saved.now == 0


def test_the_peak_is_that_of_one_micro_batch_when_they_follow_one_another():
    net = nn.Sequential(nn.Linear(8, 32), nn.GELU(), nn.Linear(32, 1))
    peaks = []
    for micro_batches in (1, 4):
        with saved_activations(net.parameters()) as saved:
            for _ in range(micro_batches):
                net(torch.randn(16, 8)).sum().backward()
        peaks.append(saved.peak)
    assert peaks[0] == peaks[1] > 0


@pytest.mark.parametrize("objective", ["msd", "gradcache"])
def test_a_larger_window_adds_keys_and_hardly_any_activations(objective, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")  # as a script finds its neighbours
    step = importlib.import_module("benchmarks.step")
    recipe = replace(small(), objective=objective, size=32, max_tokens=16, micro_batch=2, micro_per_step=1)
    fabric, drawn = (
        Fabric(accelerator="cpu", devices=1),
        synthetic_window(recipe, model_at_random(recipe), 64),
    )
    counted = [
        step.activation_bytes(step.entrant(replace(recipe, window=pairs), fabric), step.cut(drawn, pairs))
        for pairs in (2, 64)
    ]
    (peak, keys), (larger_peak, larger_keys) = counted
    assert larger_keys - keys >= 62 * 2 * recipe.dim * 4  # float32, both modalities
    assert larger_peak - peak <= 3 * 2 * 62 * 4  # rows of similarities and targets of a micro-batch
