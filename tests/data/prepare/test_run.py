import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest

from medistill.data.corpus import open_corpus
from medistill.data.prepare import prepare, studies
from medistill.data.sources import SOURCES, CsvSource, PhantomSource, Reading
from medistill.errors import CallError


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


def test_a_negative_number_of_workers_is_a_call_error(tmp_path):
    with pytest.raises(CallError, match="negative"):
        prepare(PhantomSource(count=1), tmp_path / "corpus", workers=-1)


def test_without_ray_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray.data", None)
    with pytest.raises(CallError, match=re.escape("pip install 'medistill[ray]'")):
        prepare(PhantomSource(count=1), tmp_path / "corpus", engine="ray")
    assert not list(tmp_path.iterdir())


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


PREPARE_AND_TELL_THE_PEAK = """
import sys
from pathlib import Path
from medistill.data.prepare import prepare
from medistill.data.sources import PhantomSource
if __name__ == "__main__":
    prepare(PhantomSource(count=int(sys.argv[1])), Path(sys.argv[2]), workers=2)
    status = Path("/proc/self/status").read_text()
    print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells a process its peak")
def test_memory_does_not_grow_with_the_number_of_studies(tmp_path):
    script = tmp_path / "prepare_phantoms.py"
    script.write_text(PREPARE_AND_TELL_THE_PEAK)

    def peak(studies: int) -> int:
        command = [sys.executable, str(script), str(studies), str(tmp_path / str(studies))]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert peak(6000) < 1.2 * peak(600)


def test_the_count_it_is_told_to_stop_at_is_what_is_expected(tmp_path):
    told = []
    prepare(PhantomSource(count=9), tmp_path / "corpus", limit=3, on_progress=lambda *what: told.append(what))
    assert told[-1] == ("preparing phantom", 3, 3)
