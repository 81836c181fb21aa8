"""A preparation that was stopped goes on to the same bytes."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from medistill.data.corpus import TABLE, open_corpus
from medistill.data.prepare import prepare
from medistill.data.prepare.writer import write_corpus
from medistill.data.sources import CsvSource, PhantomSource
from medistill.data.study import Reject
from medistill.errors import CallError, MedistillError
from tests.conftest import each_a_unit

COUNT = 900
"""Studies: three batches and a rest."""


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def items(study):
    ages = (None, 0.1, 41.0)
    made = [study(n, age=ages[n % 3], labels={"mass": n % 3 - 1}) for n in range(COUNT)]
    made[100:100] = [Reject(row=row, reason="empty text", path=f"{row}.png") for row in range(20)]
    return made


def written(items, out):
    return write_corpus(each_a_unit(items), out, source="test", made_with={}, findings=["mass"])


def stopped(items, after):
    yield from items[:after]
    raise KeyboardInterrupt


def stop(items, after, out):
    with pytest.raises(KeyboardInterrupt):
        written(stopped(items, after), out)


@pytest.mark.parametrize("stops", [[300], [600, 610, 919], [10, 920]])
def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(tmp_path, items, stops):
    card = written(items, tmp_path / "whole")
    for after in stops:
        stop(items, after, tmp_path / "corpus")
    assert written(items, tmp_path / "corpus") == card
    assert files_of(tmp_path / "corpus") == files_of(tmp_path / "whole")


def test_what_was_saved_is_not_read_again(tmp_path, items):
    stop(items, 600, tmp_path / "corpus")
    asked = []

    def results(place):
        asked.append(place.units)
        return each_a_unit(items)(place)

    write_corpus(results, tmp_path / "corpus", source="test", made_with={}, findings=["mass"])
    assert asked == [532]  # two batches of 256 studies, and 20 rejects


def test_what_a_kill_tore_is_written_again(tmp_path, items):
    stop(items, 600, tmp_path / "corpus")
    partial = tmp_path / ".corpus.partial"
    for name in (TABLE, "journal.jsonl"):
        with (partial / name).open("ab") as file:
            file.write(b'{"place": [1')
    stop(items, 900, tmp_path / "corpus")
    written(items, tmp_path / "corpus")
    written(items, tmp_path / "whole")
    assert files_of(tmp_path / "corpus") == files_of(tmp_path / "whole")


def test_a_table_shorter_than_its_journal_is_begun_again(tmp_path, items):
    stop(items, 600, tmp_path / "corpus")
    table = tmp_path / ".corpus.partial" / TABLE
    os.truncate(table, table.stat().st_size - 5000)
    written(items, tmp_path / "corpus")
    written(items, tmp_path / "whole")
    assert files_of(tmp_path / "corpus") == files_of(tmp_path / "whole")


def test_other_options_begin_again(tmp_path, items):
    stop(items, 600, tmp_path / "corpus")
    for name in ("corpus", "whole"):
        results, options = each_a_unit(items), {"findings": ["mass"], "val": 0.5}
        write_corpus(results, tmp_path / name, source="test", made_with={}, **options)
    assert files_of(tmp_path / "corpus") == files_of(tmp_path / "whole")


def test_too_many_rejects_lose_nothing_of_the_work(tmp_path, items):
    rejects = [Reject(row=row, reason="empty text", path=f"{row}.png") for row in range(200)]
    with pytest.raises(MedistillError, match="--allow-rejects"):
        written([*items, *rejects], tmp_path / "corpus")
    assert (tmp_path / ".corpus.partial" / TABLE).is_file()


@pytest.fixture
def table(tmp_path, grey, encoded):
    """A CSV file of 300 rows that share an image."""
    (tmp_path / "image.png").write_bytes(encoded(grey))
    lines = [f"image.png,p{number},Report {number}." for number in range(300)]
    (tmp_path / "data.csv").write_text("\n".join(["image,patient_id,text", *lines]))
    return tmp_path / "data.csv"


def change(table, word):
    table.write_text(table.read_text().replace("Report 5.", word))


def stop_preparing(table, out):
    def stop_at_280(_stage, seen, _expected):
        if seen == 280:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(CsvSource(path=table), out, on_progress=stop_at_280)


@pytest.mark.parametrize("word", ["Report 5.", "Another."])
def test_a_source_that_changed_is_read_anew(table, tmp_path, word):
    stop_preparing(table, tmp_path / "corpus")
    assert (tmp_path / ".corpus.partial").is_dir()
    change(table, word)
    prepare(CsvSource(path=table), tmp_path / "corpus")
    prepare(CsvSource(path=table), tmp_path / "whole")
    assert files_of(tmp_path / "corpus") == files_of(tmp_path / "whole")


def test_a_complete_corpus_is_left_as_it_is(table, tmp_path):
    card = prepare(CsvSource(path=table), tmp_path / "corpus")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "corpus").iterdir()}
    assert prepare(CsvSource(path=table), tmp_path / "corpus") == card
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "corpus").iterdir()} == before


@pytest.mark.parametrize("more", [False, True])
def test_a_corpus_of_a_source_that_changed_is_not_taken_for_complete(table, tmp_path, more):
    prepare(CsvSource(path=table), tmp_path / "corpus")
    if more:
        table.write_text(f"{table.read_text()}\nimage.png,p,One more.")
    else:
        change(table, "Another.")
    with pytest.raises(CallError, match="is there already"):
        prepare(CsvSource(path=table), tmp_path / "corpus")


def test_a_corpus_of_other_options_is_not_taken_for_complete(table, tmp_path):
    prepare(CsvSource(path=table), tmp_path / "corpus")
    for options in ({"limit": 5}, {"val": 0.2}):
        with pytest.raises(CallError, match="is there already"):
            prepare(CsvSource(path=table), tmp_path / "corpus", **options)


def test_what_is_in_the_way_is_told_before_the_source_is_read(tmp_path):
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "notes.txt").write_text("mine")
    with pytest.raises(CallError, match="is there already"):
        prepare(CsvSource(path=tmp_path / "nowhere.csv"), tmp_path / "corpus")


def test_a_limit_takes_the_first_studies(table, tmp_path):
    card = prepare(CsvSource(path=table), tmp_path / "corpus", limit=7)
    assert open_corpus(tmp_path / "corpus").table["text"].to_pylist() == [f"Report {n}." for n in range(7)]
    assert card["made_with"]["limit"] == 7
    assert prepare(CsvSource(path=table), tmp_path / "corpus", limit=7) == card


def test_a_limit_does_not_draw_more_phantoms_than_asked_for(tmp_path):
    assert prepare(PhantomSource(count=5), tmp_path / "corpus", limit=20)["studies"] == 5


@pytest.mark.slow
def test_kills_at_random_moments_do_not_change_a_byte(tmp_path):
    """Twenty SIGKILLs, their workers' orphans included, and then the end."""
    command = [sys.executable, "-m", "medistill", "prepare", "phantom", "--count", "3000", "--out"]
    subprocess.run([*command, tmp_path / "whole"], check=True, stderr=subprocess.DEVNULL)
    draw = random.Random(0)
    for _ in range(20):
        run = subprocess.Popen([*command, tmp_path / "corpus"], stderr=subprocess.DEVNULL)
        time.sleep(draw.uniform(1, 6))
        run.send_signal(signal.SIGKILL)
        run.wait()
        if (tmp_path / "corpus").exists():
            break
    subprocess.run([*command, tmp_path / "corpus"], check=True, stderr=subprocess.DEVNULL)
    assert files_of(tmp_path / "corpus") == files_of(tmp_path / "whole")
    assert not (tmp_path / ".corpus.partial").exists()
