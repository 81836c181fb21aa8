"""Memory as the system counts it."""

import subprocess
import sys

import pytest
import torch

from medistill.system.memory import available_bytes, peak_bytes

CPU = torch.device("cpu")
MIB = 2**20


def test_the_peak_of_the_process_is_real_and_stays():
    code = (
        "import torch; from medistill.system.memory import peak_bytes; cpu = torch.device('cpu');"
        f"before = peak_bytes(cpu); x = torch.ones(64 * {MIB} // 4); del x; print(peak_bytes(cpu) - before)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(out) == pytest.approx(64 * MIB, rel=0.1)


def test_a_machine_has_some_memory_left():
    assert MIB < available_bytes(CPU) < 2**50
    assert peak_bytes(CPU) > 10 * MIB
