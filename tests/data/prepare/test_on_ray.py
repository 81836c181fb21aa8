"""Ray Data gives what the processes of one machine give, to the byte."""

import importlib.util
import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from medistill.data.prepare import on_ray, prepare, results
from medistill.data.sources import CsvSource, PhantomSource
from medistill.data.sources.parts.draft import Draft, ImageFile, Reading
from medistill.data.study import Reject
from medistill.errors import MedistillError
from tests.data.prepare import ray_work

pytestmark = [
    pytest.mark.slow,  # the first of them waits for Ray to start
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs medistill[ray]"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),  # it copies settings that it has deprecated
]


@pytest.fixture(scope="module")
def ray():
    """A local Ray with two processors, shared by the tests."""
    with on_ray.running_ray(2):
        import ray

        yield ray


@pytest.fixture
def table(tmp_path, grey, encoded):
    """A CSV of 300 rows that share two images, one row without a usable image."""
    (tmp_path / "0.png").write_bytes(encoded(grey))
    (tmp_path / "1.png").write_bytes(encoded(grey[::-1]))
    (tmp_path / "broken.png").write_text("no image")
    images = ["broken.png" if number == 7 else f"{number % 2}.png" for number in range(300)]
    lines = [f"{image},p{number // 2},Report {number}." for number, image in enumerate(images)]
    (tmp_path / "data.csv").write_text("\n".join(["image,patient_id,text", *lines]))
    return tmp_path / "data.csv"


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def on_two(reading):
    """What two processes of Ray make of an opened source."""
    items = [items for _, items in results(reading, engine="ray", workers=2)]
    return list(itertools.chain.from_iterable(items))


@pytest.mark.parametrize("kind", ["phantom", "csv"])
def test_the_corpus_is_that_of_the_local_engine(ray, table, tmp_path, kind):
    source = PhantomSource(count=50) if kind == "phantom" else CsvSource(path=table)
    prepare(source, tmp_path / "local", workers=1)
    card = prepare(source, tmp_path / "ray", engine="ray", workers=2)
    assert card["rejected"]["count"] == (kind == "csv")
    assert files_of(tmp_path / "ray") == files_of(tmp_path / "local")


@pytest.mark.parametrize("engines", [("local", "ray"), ("ray", "local")])
def test_either_engine_goes_on_with_what_the_other_was_stopped_at(ray, table, tmp_path, engines):
    begun: list[int] = []

    def stop_at_280(_stage, seen, _expected):
        if seen == 280:
            raise KeyboardInterrupt

    def note(_stage, seen, _expected):
        begun.append(seen)

    first, second = engines
    with pytest.raises(KeyboardInterrupt):
        prepare(CsvSource(path=table), tmp_path / "corpus", engine=first, workers=2, on_progress=stop_at_280)
    assert (tmp_path / ".corpus.partial").is_dir()
    prepare(CsvSource(path=table), tmp_path / "corpus", engine=second, workers=2, on_progress=note)
    assert begun[0] > 250
    prepare(CsvSource(path=table), tmp_path / "whole")
    assert files_of(tmp_path / "corpus") == files_of(tmp_path / "whole")


def test_a_file_that_kills_its_process_costs_the_study_that_file(ray, study, tmp_path):
    files = tuple(
        ImageFile(row=row, path=tmp_path, name=name)
        for row, name in enumerate(("one", "bad", "two"), start=1)
    )
    drafts = [Draft(study=study(1, views=()), files=files), Draft(study=study(2, views=()), files=files[:1])]
    first, reject, second = on_two(Reading(units=drafts, work=ray_work.finished_or_dead))
    assert [image.image for image in first.images] == [b"one", b"two"]
    assert reject == Reject(row=2, reason="the process that read it crashed", path="bad")
    assert second.study_id == "s2"


def test_what_no_file_is_to_blame_for_ends_the_preparation_with_one_line(ray):
    with pytest.raises(MedistillError, match="LookupError, and no file is to blame") as error:
        on_two(Reading(units=range(4), work=ray_work.failed))
    assert "in read_isolated" in "".join(error.value.__notes__)
    with pytest.raises(MedistillError, match="crashed, and no file is to blame"):
        on_two(Reading(units=range(5, 7), work=ray_work.failed))


def test_units_are_handed_over_in_rounds_and_no_more_than_are_wanted(ray, monkeypatch):
    monkeypatch.setattr(on_ray, "_ROUND", 20)
    monkeypatch.setattr(on_ray, "_TASK", 3)
    units = itertools.count()
    items = on_two(Reading(units=units, work=ray_work.seen_twice, studies=100))
    assert [item.row for item in items] == [number // 2 for number in range(100)]
    assert next(units) == 60  # a round of 40, and one of the 20 items that are left


def test_a_cluster_named_by_its_address_is_used_and_left_running(ray, table, tmp_path):
    command = [sys.executable, "-m", "medistill", "prepare", "csv", str(table)]
    command += ["--out", str(tmp_path / "corpus"), "--engine", "ray", "--json"]
    address = ray.get_runtime_context().gcs_address
    before = len(ray.nodes())
    run = subprocess.run(
        command, env={**os.environ, "RAY_ADDRESS": address}, capture_output=True, text=True, check=True
    )
    prepare(CsvSource(path=table), tmp_path / "local")
    assert json.loads(run.stdout) == json.loads((tmp_path / "local" / "card.json").read_text())
    assert len(ray.nodes()) == before
    assert files_of(tmp_path / "corpus") == files_of(tmp_path / "local")


def test_a_ray_of_ones_own_is_quiet_and_leaves_nothing_behind(tmp_path):
    call = ["medistill", "prepare", "phantom", "--count", "5", "--out", str(tmp_path / "corpus")]
    command = [sys.executable, "-m", *call, "--engine", "ray", "--workers", "2", "--json"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, text=True, start_new_session=True) as run:
        out, err = run.communicate()
    assert json.loads(out)["studies"] == 5
    assert [line.split()[0] for line in err.splitlines()] == ["preparing", "train", "val", "corpus:"]
    assert not list(Path("/tmp").glob(f"medistill-{run.pid}-*"))
    deadline = time.monotonic() + 60  # its workers end by themselves once they miss their raylet
    while left := subprocess.run(["pgrep", "-s", str(run.pid)], capture_output=True).stdout:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def test_an_address_that_is_none_is_a_call_error_of_one_line(tmp_path):
    command = [sys.executable, "-m", "medistill", "prepare", "phantom", "--out", str(tmp_path / "corpus")]
    environment = {**os.environ, "RAY_ADDRESS": "nonsense"}
    run = subprocess.run([*command, "--engine", "ray"], env=environment, capture_output=True, text=True)
    assert run.returncode == 2
    assert "medistill: no Ray answers at RAY_ADDRESS=nonsense" in run.stderr
    assert "Traceback" not in run.stderr
