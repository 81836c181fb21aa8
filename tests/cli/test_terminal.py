"""What a terminal is told: no word of a file is a command to it."""

import errno
import io
import logging
import os
import resource
import signal
import subprocess
import sys

import pytest
from rich.console import Console

from medistill.cli.check import table
from medistill.cli.label import report_labels
from medistill.cli.terminal import say
from medistill.errors import MedistillError
from medistill.system.atomic import write_atomically
from medistill.system.files import naming
from medistill.system.journal import append_durably
from medistill.system.shown import HarmlessFormatter
from tests.cli.test_cli import call

EVIL, SHOWN = "\x1b[2J\x1b]0;owned\x07", r"\x1b[2J\x1b]0;owned\x07"


def test_a_line_that_is_said(capsys):
    say(f"corpus: {EVIL}")
    assert capsys.readouterr().err == f"corpus: {SHOWN}\n"


def test_a_name_that_is_no_unicode_is_said(capsys):
    say("labels: M\udcfcller")
    assert capsys.readouterr().err == "labels: M\\xfcller\n"


@pytest.mark.parametrize("words", [("no\n\x1b[2Jsuch",), ("--help\x1b[2J",)])
def test_an_error_is_one_line_whatever_it_quotes(words, capsys, monkeypatch):
    def fail(_arguments):
        raise MedistillError(f"no such file: {words[0]}")

    monkeypatch.setattr("medistill.cli.commands._run", fail)
    assert call("check") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "\x1b" not in line
    assert line.startswith("medistill: no such file: ")


def test_a_line_of_the_log():
    record = logging.LogRecord("medistill", logging.INFO, "", 0, "%s is complete", (EVIL,), None)
    assert HarmlessFormatter().format(record) == f"{SHOWN} is complete"


def test_the_table_of_check():
    flag = {"said": f"a label named {EVIL}"}
    report = {"checks": {"labels": {"state": "warning", "title": "labels", "flags": [flag]}}}
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(table(report))
    assert SHOWN in console.export_text()


def test_findings_that_labels_are_reported_of(capsys, tmp_path):
    entry = {"calibrated": False, "positive": None, "negative": None, "present": 1, "threshold": 0.5}
    account = {"findings": {EVIL: entry}, "labeled": 2, "unreadable": {"count": 0}}
    report_labels(account, tmp_path, False)
    assert SHOWN in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [("--findings", "\udcfcber"), ("--findings=\udcd6dem",), ("--findings", "a", "\udce4b c")]
)
def test_a_word_of_the_call_in_another_encoding_is_one_line(words, capsys, tmp_path):
    assert call("label", "run", "--images", tmp_path, "--out", tmp_path / "a.csv", *words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "is not UTF-8" in line
    assert "\\x" in line


def test_the_name_of_a_file_in_another_encoding_is_a_name(tmp_path, capsys):
    folder = tmp_path / "M\udcfcller"
    folder.mkdir()
    assert call("prepare", "csv", folder / "no.csv", "--out", tmp_path / "corpus") == 2
    assert r"M\xfcller/no.csv" in capsys.readouterr().err


def test_a_refusal_has_no_empty_bar_before_it(tmp_path, capfd):
    for command in (
        ("train", "small", "--data", tmp_path / "no", "--out", tmp_path / "run"),
        ("prepare", "csv", tmp_path / "no.csv", "--out", tmp_path / "corpus"),
        ("evaluate", tmp_path / "no", "--data", tmp_path / "no", "--out", tmp_path / "e"),
        ("check", tmp_path / "no"),
        ("plan", "small", "--data", tmp_path / "no"),
        ("embed", tmp_path / "no", "--data", tmp_path / "no", "--out", tmp_path / "t"),
    ):
        assert call(*command) == 2
        lines = capfd.readouterr().err.split("\n")
        assert len(lines) == 2, lines
        assert lines[0].startswith("medistill: ")


@pytest.mark.parametrize("words", [("train", "--help"), ("train", "small", "--help"), ("--help",)])
def test_help_that_nobody_reads_to_its_end_says_nothing_of_it(words):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "medistill", *words]
    run = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (run.returncode, run.stderr) == (0, "")


def test_a_pipe_that_breaks_elsewhere_is_still_told(capsys, monkeypatch):
    def fail(_arguments):
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr("medistill.cli.commands._run", fail)
    assert call("check") == 1
    assert "Broken pipe: while reading or writing" in capsys.readouterr().err


def test_tables_of_another_library_do_not_drown_the_one_line():
    code = (
        "from medistill.cli import main; import sys\ntry:\n main(['check', 'no'])\nexcept SystemExit: pass\n"
    )
    code += "from transformers.utils import logging; print(logging.get_verbosity() >= logging.ERROR)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "True"


def test_a_file_that_cannot_grow_is_named(tmp_path):
    with pytest.raises(OSError, match="File too large") as raised, naming(tmp_path / "labels.csv"):
        raise OSError(errno.EFBIG, "File too large")
    assert raised.value.filename == str(tmp_path / "labels.csv")
    with pytest.raises(OSError, match="x") as raised, naming(tmp_path / "a"):
        raise OSError(errno.ENOENT, "x", "b")
    assert raised.value.filename == "b"


@pytest.mark.parametrize("write", [write_atomically, append_durably])
def test_a_file_too_large_for_its_limit_is_named_by_whatever_writes_it(write, tmp_path):
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large") as raised:
            write(tmp_path / "labels.csv", b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert raised.value.filename == str(tmp_path / "labels.csv")
