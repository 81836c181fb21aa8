import os
import resource
import signal

import pytest
import torch

from medistill.engine.checkpoint import NAME, load_checkpoint, save_checkpoint
from medistill.errors import MedistillError
from medistill.system.checksums import SUMS


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    save_checkpoint({"step": 3, "weight": torch.arange(4)}, tmp_path)
    state = load_checkpoint(tmp_path)
    assert state["step"] == 3
    assert torch.equal(state["weight"], torch.arange(4))


def test_no_checkpoint_is_none(tmp_path):
    assert load_checkpoint(tmp_path) is None


def test_a_full_disk_leaves_the_previous_checkpoint(tmp_path):
    """A file size limit stands in for the disk: the kernel refuses the write half way all the same."""
    save_checkpoint({"step": 1}, tmp_path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        with pytest.raises(MedistillError, match="the previous one stands"):
            save_checkpoint({"step": 2, "weight": torch.zeros(1_000_000)}, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert load_checkpoint(tmp_path) == {"step": 1}
    assert {p.name for p in tmp_path.iterdir()} == {NAME, SUMS}


class Payload:
    def __reduce__(self):
        return (os.system, ("true",))


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    torch.save({"step": Payload()}, tmp_path / NAME)
    with pytest.raises(MedistillError, match="damaged or not one of"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04garbage"])
def test_a_damaged_checkpoint_is_one_clear_line(tmp_path, content):
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(MedistillError, match="remove it to start"):
        load_checkpoint(tmp_path)
