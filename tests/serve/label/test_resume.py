"""A stopped `medistill label` goes on to the same bytes, a finished one is left alone."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from medistill.errors import CallError
from medistill.model.saved import save_model
from medistill.serve.label import label
from medistill.serve.wanted import Wanted
from tests.conftest import tiny_model
from tests.serve.conftest import PROMPTS


class StopError(Exception):
    """Raised where a test wants the work to end."""


@pytest.fixture
def call(german, tmp_path):
    """The same call each time, but for what a test changes; `stop_at` ends it after so many images."""
    (tmp_path / "prompts.json").write_text(json.dumps(PROMPTS))

    def run(out=tmp_path / "labels.csv", *, stop_at=0, model=german.run, images=german.films, **changes):
        heard = []

        def on_progress(stage, done, total):
            heard.append((stage, done, total))
            if stop_at and done >= stop_at:
                raise StopError

        wanted = Wanted(**({"prompts": tmp_path / "prompts.json"} | changes))
        try:
            label(model, out, wanted, images=images, on_progress=on_progress)
        except StopError:
            assert not out.exists()
        return heard

    return run


def written(out):
    """The three things a call writes."""
    files = [out, out.with_suffix(".json"), *sorted(out.with_suffix(".classifier").iterdir())]
    return [path.read_bytes() for path in files]


def test_a_stopped_run_goes_on_to_the_same_bytes(call, tmp_path):
    call(tmp_path / "whole.csv")
    call(stop_at=64)
    assert call() == [("labeling", 100, 100)]
    assert written(tmp_path / "labels.csv") == written(tmp_path / "whole.csv")
    assert not (tmp_path / ".labels.csv.partial").exists()


def test_what_a_kill_left_half_written_is_cut_off(call, tmp_path):
    call(tmp_path / "whole.csv")
    call(stop_at=64)
    for name in ("rows.csv", "journal"):
        with (tmp_path / ".labels.csv.partial" / name).open("ab") as file:
            file.write(b'film099.png,0.5,1,"torn')
    call()
    assert written(tmp_path / "labels.csv") == written(tmp_path / "whole.csv")


def test_a_kill_just_before_the_end_is_made_good(call, tmp_path):
    call(tmp_path / "whole.csv")
    call(stop_at=100)
    shutil.copytree(tmp_path / "whole.classifier", tmp_path / "labels.classifier")
    shutil.copy(tmp_path / "whole.json", tmp_path / "labels.json")
    assert call() == []
    assert written(tmp_path / "labels.csv") == written(tmp_path / "whole.csv")


def test_a_finished_call_does_nothing_when_given_again(call, tmp_path):
    call()
    before = (tmp_path / "labels.csv").stat()
    assert call() == []
    after = (tmp_path / "labels.csv").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


@pytest.mark.parametrize("stop_at", [0, 64])
def test_another_call_names_what_differs(call, german, tmp_path, stop_at):
    call(stop_at=stop_at)
    (tmp_path / "other.json").write_text(json.dumps({"effusion": PROMPTS["effusion"]}))
    with pytest.raises(CallError, match=r"it differs in classifier: prompts\)"):
        call(prompts=tmp_path / "other.json")
    save_model(tiny_model(seed=1), tmp_path / "other")
    with pytest.raises(CallError, match=r"it differs in model: sha256\)"):
        call(model=tmp_path / "other")
    more = shutil.copytree(german.films, tmp_path / "films")
    (more / "one_more.png").write_bytes((more / "film001.png").read_bytes())
    with pytest.raises(CallError, match=r"it differs in images: files, images: sha256_of_names_and_sizes\)"):
        call(images=more)


@pytest.mark.parametrize("name", ["labels.csv", "labels.json"])
def test_a_file_of_somebody_is_not_overwritten(call, tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(CallError, match="is there and not of `medistill label`"):
        call()
    assert (tmp_path / name).read_text() == "mine"


def test_a_name_that_is_no_csv_is_refused(call, tmp_path):
    with pytest.raises(CallError, match=r"ends in .csv"):
        call(tmp_path / "labels.json")


def test_outputs_among_the_images_are_not_taken_for_images(call, german, tmp_path):
    films = shutil.copytree(german.films, tmp_path / "films")
    call(films / "labels.csv", images=films)
    assert call(films / "labels.csv", images=films) == []
    (films / "labels.csv").unlink()  # its account stays, and is ours
    shutil.rmtree(films / "labels.classifier")
    call(films / "labels.csv", images=films)
    told = json.loads((films / "labels.json").read_text())
    assert (told["images"]["files"], told["files_not_taken_for_images"]) == (100, {})


@pytest.mark.slow
def test_a_killed_process_goes_on_to_the_same_bytes(call, german, tmp_path):
    call(tmp_path / "whole.csv")
    script, out = Path(__file__).with_name("label_process.py"), tmp_path / "labels.csv"
    arguments = [german.run, german.films, out, tmp_path / "prompts.json"]
    killed = subprocess.run([sys.executable, script, *map(str, arguments), "1"], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not out.exists()
    subprocess.run([sys.executable, script, *map(str, arguments), "9"], check=True)
    assert written(out) == written(tmp_path / "whole.csv")
