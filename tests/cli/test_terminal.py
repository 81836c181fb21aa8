"""What a terminal is told: no word of a file is a command to it."""

import io
import logging

import pytest
from rich.console import Console

from medistill.cli.check import table
from medistill.cli.label import report_labels
from medistill.cli.terminal import say
from medistill.errors import MedistillError
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
