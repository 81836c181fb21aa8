"""SIGTERM to any command: one line that says what comes of the same command, and the end by that signal."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from medistill.cli import COMMANDS
from medistill.data.corpus import open_corpus
from medistill.serve.index.embed import embed
from medistill.serve.index.index import open_index
from tests.cli.test_cli import call, write_csv
from tests.serve.conftest import german  # noqa: F401 - a fixture

GO_ON = {"quickstart", "prepare", "train", "compare", "label", "embed"}


def stopped(*arguments: object, number: str = "SIGTERM", at: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(Path(__file__).with_name("stopped_process.py")), number, str(at)]
    return subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_is_told_to_stop_says_what_calling_it_again_does(name):
    told = {
        True: "medistill: stopped by SIGTERM: the same command goes on where it was\n",
        False: "medistill: stopped by SIGTERM: the same command begins anew\n",
    }
    ended = stopped(name)
    assert ended.returncode == -signal.SIGTERM
    if name == "index":
        assert (
            ended.stderr
            == "medistill: stopped by SIGTERM: the index is whole, and the same command goes on\n"
        )
    else:
        assert ended.stderr == told[name in GO_ON]


def test_ctrl_c_says_the_same():
    ended = stopped("prepare", number="SIGINT")
    assert (ended.returncode, ended.stderr) == (
        1,
        "medistill: interrupted: the same command goes on where it was\n",
    )


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


def test_preparing_goes_on(tmp_path):
    table = write_csv(tmp_path, rows=40)
    columns = ["--text", "text", "--patient-id", "patient_id", "--allow-rejects"]
    ended = stopped("prepare", "csv", table, "--out", tmp_path / "corpus", *columns, at=5)
    assert ended.returncode == -signal.SIGTERM
    assert lines(ended.stderr)[-1].endswith("stopped by SIGTERM: the same command goes on where it was")
    assert "Traceback" not in ended.stderr and not (tmp_path / "corpus" / "card.json").exists()
    assert call("prepare", "csv", table, "--out", tmp_path / "corpus", *columns) == 0
    assert call("prepare", "csv", table, "--out", tmp_path / "whole", *columns) == 0
    assert open_corpus(tmp_path / "corpus").card["sha256"] == open_corpus(tmp_path / "whole").card["sha256"]


def test_embedding_and_indexing_go_on(german, tmp_path):  # noqa: F811
    command = ["embed", german.run, "--data", german.corpus, "--out", tmp_path / "table.arrow"]
    ended = stopped(*command, at=1)
    assert (ended.returncode, "Traceback" in ended.stderr) == (-signal.SIGTERM, False)
    assert "the same command goes on" in lines(ended.stderr)[-1]
    assert call(*command) == 0
    embed(str(german.run), german.corpus, tmp_path / "whole.arrow")
    assert (tmp_path / "table.arrow").read_bytes() == (tmp_path / "whole.arrow").read_bytes()
    command = ["index", tmp_path / "table.arrow", "--out", tmp_path / "index"]
    ended = stopped(*command, at=1)
    assert (ended.returncode, "Traceback" in ended.stderr) == (-signal.SIGTERM, False)
    assert "the index is whole" in lines(ended.stderr)[-1]
    assert call(*command) == 0
    assert len(open_index(tmp_path / "index")) == 160


def test_labeling_goes_on(german, tmp_path):  # noqa: F811
    command = [
        "label",
        german.run,
        "--data",
        german.corpus,
        "--findings",
        "effusion",
        "--workers",
        "1",
        "--out",
    ]
    ended = stopped(*command, tmp_path / "labels.csv", at=2)
    assert (ended.returncode, "Traceback" in ended.stderr) == (-signal.SIGTERM, False)
    assert "the same command goes on" in lines(ended.stderr)[-1]
    assert call(*command, tmp_path / "labels.csv") == 0
    assert call(*command, tmp_path / "whole.csv") == 0
    assert (tmp_path / "labels.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_a_second_signal_does_not_wait():
    code = (
        "import os, signal, time\n"
        "from medistill.system.stop import terminable\n"
        "with terminable():\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "    finally:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        time.sleep(60)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=30)
    assert ended.returncode == -signal.SIGTERM
