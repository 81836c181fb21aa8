"""One process at a time."""

import subprocess
import sys

import pytest

from medistill.errors import CallError
from medistill.system.locks import locked

HOLDER = """
import sys
from pathlib import Path
from medistill.system.locks import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the folder's lock until its input ends."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_a_lock_that_another_process_holds_is_refused_with_the_line(holder, tmp_path):
    with pytest.raises(CallError, match="somebody is at it"), locked(tmp_path, "somebody is at it"):
        pass


def test_a_lock_ends_with_its_process_whatever_kills_it(holder, tmp_path):
    holder.kill()
    holder.wait()
    with locked(tmp_path, "somebody is at it"):
        pass


def test_without_a_line_a_lock_is_waited_for(holder, tmp_path):
    holder.stdin.close()
    with locked(tmp_path):
        assert holder.wait(10) == 0
