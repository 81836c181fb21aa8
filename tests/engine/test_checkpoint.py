import contextlib
import os
import resource
import signal

import pytest
import torch

from medistill.engine.checkpoint import BEFORE, NAME, load_checkpoint, save_checkpoint
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


def test_the_checkpoint_before_the_last_is_kept_and_no_older_one(tmp_path):
    for step in range(4):
        save_checkpoint({"step": step}, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {NAME, BEFORE, SUMS}
    (tmp_path / NAME).unlink()
    assert load_checkpoint(tmp_path) == {"step": 2}


@pytest.mark.parametrize("damage", [b"", b"garbage", b"flipped"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before_it_with_one_line(tmp_path, caplog, damage):
    for step in range(3):
        save_checkpoint({"step": step, "weight": torch.arange(1000)}, tmp_path)
    content = bytearray((tmp_path / NAME).read_bytes())
    content[len(content) // 2] ^= 4
    (tmp_path / NAME).write_bytes(content if damage == b"flipped" else damage)
    assert load_checkpoint(tmp_path)["step"] == 1
    assert [record.message for record in caplog.records] == [
        "checkpoints/last.pt is damaged: going on from the one before it"
    ]
    save_checkpoint({"step": 5}, tmp_path)
    assert load_checkpoint(tmp_path) == {"step": 5}


def test_if_both_are_damaged_it_is_one_line(tmp_path):
    for step in range(2):
        save_checkpoint({"step": step}, tmp_path)
    for name in (NAME, BEFORE):
        (tmp_path / name).write_bytes(b"garbage")
    with pytest.raises(MedistillError, match="remove it to start"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("step", range(12))
def test_a_kill_at_any_step_of_saving_leaves_a_checkpoint_that_loads(tmp_path, monkeypatch, step):
    for number in range(2):
        save_checkpoint({"step": number}, tmp_path)
    steps = iter(range(99))

    def stopping(call):
        def stopped(*given, **more):
            if next(steps) == step:
                raise KeyboardInterrupt
            return call(*given, **more)

        return stopped

    with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        patch.setattr(type(tmp_path), "replace", stopping(type(tmp_path).replace))
        patch.setattr("os.fsync", stopping(os.fsync))
        patch.setattr("os.link", stopping(os.link))
        save_checkpoint({"step": 2}, tmp_path)
    assert load_checkpoint(tmp_path)["step"] in (1, 2)
    (tmp_path / NAME).unlink()  # in place it would be another name of the one before, if the kill came then
    (tmp_path / NAME).write_bytes(b"garbage")
    assert load_checkpoint(tmp_path)["step"] in (0, 1)
    save_checkpoint({"step": 3}, tmp_path)
    assert load_checkpoint(tmp_path) == {"step": 3}
