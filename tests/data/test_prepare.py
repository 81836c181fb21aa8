import itertools
import os
import subprocess
import sys

import pytest

from medistill.data.corpus import open_corpus
from medistill.data.prepare import prepare, studies
from medistill.data.sources import SOURCES, CsvSource, PhantomSource, Reading
from medistill.errors import CallError, MedistillError


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def table(tmp_path, grey, encoded):
    """A CSV of 40 rows, one of them without a usable image."""
    lines = ["image,patient_id,text"]
    for number in range(40):
        (tmp_path / f"{number}.png").write_bytes(encoded((grey + number).astype("uint8")))
        lines.append(f"{number}.png,p{number // 2},Report {number}.")
    (tmp_path / "7.png").write_text("no image")
    (tmp_path / "data.csv").write_text("\n".join(lines))
    return tmp_path / "data.csv"


def test_the_corpus_is_the_same_for_any_number_of_workers(table, tmp_path):
    for workers in (1, 2):
        prepare(CsvSource(path=table), tmp_path / f"corpus{workers}", workers=workers)
    assert open_corpus(tmp_path / "corpus1").card["rejected"]["count"] == 1
    assert files_of(tmp_path / "corpus1") == files_of(tmp_path / "corpus2")


def test_phantoms_are_the_same_for_any_number_of_workers(tmp_path):
    cards = [
        prepare(PhantomSource(count=20), tmp_path / f"c{workers}", workers=workers) for workers in (1, 2)
    ]
    assert cards[0] == cards[1]
    assert cards[0]["studies"] == 20


def test_endless_units_are_read_only_as_far_as_needed(study):
    reading = Reading(units=itertools.count(), work=lambda number: (study(number),) * 2, studies=5)
    assert [found.study_id for found in studies(reading)] == ["s0", "s0", "s1", "s1", "s2"]


def die(_unit):
    os._exit(1)


def test_a_worker_that_dies_is_one_line():
    with pytest.raises(MedistillError, match="--workers 1"):
        list(studies(Reading(units=range(3), work=die), workers=2))


def test_no_workers_is_a_call_error(tmp_path):
    with pytest.raises(CallError, match="at least 1"):
        prepare(PhantomSource(count=1), tmp_path / "corpus", workers=0)


@pytest.mark.parametrize("options", [{"count": 0}, {"size": 32}, {"size": 1024}])
def test_impossible_phantoms_are_a_call_error(tmp_path, options):
    with pytest.raises(CallError, match=f"--{next(iter(options))}"):
        prepare(PhantomSource(**options), tmp_path / "corpus")


def test_sources_are_known_by_the_name_they_bear():
    assert {"phantom", "folder", "csv"} <= SOURCES.keys()


def test_workers_import_nothing_heavy():
    code = "import sys, medistill.data.sources, medistill.data.phantom; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"torch", "transformers", "datasets", "pyarrow", "pandas"} & set(loaded)
