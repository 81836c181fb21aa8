import gc
import subprocess
import sys

import pytest
import torch
from torch import nn

from medistill.engine.saved_activations import saved_activations
from medistill.system.memory import available_bytes, peak_bytes

CPU = torch.device("cpu")
MIB = 2**20


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


def test_the_peak_of_the_process_is_real_and_stays():
    code = (
        "import torch; from medistill.engine.saved_activations import peak_bytes; cpu = torch.device('cpu');"
        f"before = peak_bytes(cpu); x = torch.ones(64 * {MIB} // 4); del x; print(peak_bytes(cpu) - before)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(out) == pytest.approx(64 * MIB, rel=0.1)


def test_a_machine_has_some_memory_left():
    assert MIB < available_bytes(CPU) < 2**50
    assert peak_bytes(CPU) > 10 * MIB
