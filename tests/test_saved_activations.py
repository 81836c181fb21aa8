import gc

import torch
from benchmarks.saved_activations import saved_activations
from torch import nn


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
