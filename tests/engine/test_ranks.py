"""Two ranks give the gradient of one process on the whole window."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.conftest import tiny_model
from tests.engine.two_ranks import MICRO, PAIRS, gradient

ROOT = Path(__file__).parents[2]


def launched(ranks: int, *command: str) -> subprocess.Popen:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*launcher, *command], cwd=ROOT, text=True, **pipes)


def torchrun(ranks: int, *command: str) -> subprocess.CompletedProcess:
    with launched(ranks, *command) as job:
        try:
            output, error = job.communicate(timeout=600)
        except subprocess.TimeoutExpired:
            job.terminate()  # torchrun ends its ranks
            raise
    return subprocess.CompletedProcess(command, job.returncode, output, error)


@pytest.fixture(scope="module")
def of_two_ranks(tmp_path_factory) -> list[dict]:
    """What each of two ranks found."""
    out = tmp_path_factory.mktemp("ranks") / "gradients.pt"
    done = torchrun(2, "-m", "tests.engine.two_ranks", str(out))
    assert done.returncode == 0, done.stderr
    return torch.load(out, weights_only=True)


@pytest.mark.parametrize("name", MICRO)
def test_two_ranks_give_the_gradient_of_one_process_on_the_whole_window(fabric, of_two_ranks, name):
    whole = gradient(fabric, name, PAIRS)["gradient"]
    for rank in of_two_ranks:
        torch.testing.assert_close(rank[name]["gradient"], whole, rtol=1e-10, atol=1e-12)


def test_a_locked_tower_changes_no_gradient_of_the_others_on_two_ranks(fabric, of_two_ranks):
    whole = gradient(fabric, "clip", PAIRS)["gradient"]
    for rank in of_two_ranks:
        found = rank["locked"]["gradient"]
        assert not any(name.startswith("image.") for name in found)
        expected = {name: whole[name] for name in found}
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_replayed_passes_give_it_on_two_ranks_too(fabric, of_two_ranks):
    whole = gradient(fabric, "msd", PAIRS)["gradient"]
    for rank in of_two_ranks:
        replayed, by_graphs = rank["replayed"]
        torch.testing.assert_close(replayed, whole, rtol=1e-10, atol=1e-12)
        assert by_graphs


@pytest.mark.parametrize("name", MICRO)
def test_the_scale_is_counted_once_on_two_ranks(fabric, of_two_ranks, name):
    """Where a loss is repeated on every rank, the gradient of the scale comes out w times too large."""
    whole = gradient(fabric, name, PAIRS)["gradient"]["log_scale"]
    assert float(whole.abs()) > 1e-6
    torch.testing.assert_close(of_two_ranks[0][name]["gradient"]["log_scale"], whole, rtol=1e-10, atol=0)


@pytest.mark.parametrize("live_share", [0.0, 0.3])
def test_teachers_are_bitwise_equal_on_all_ranks(of_two_ranks, live_share):
    first, second = (rank["teacher"][live_share] for rank in of_two_ranks)
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
    assert not torch.equal(first["image_projection.weight"], tiny_model().image_projection.weight)
