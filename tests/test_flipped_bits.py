"""One flipped bit in whatever is read again is noticed, in one line and before it can do harm."""

import random
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import medistill
from medistill.cli import main
from medistill.data.corpus import Rows, open_corpus
from medistill.data.image import encode_image
from medistill.data.prepare.writer import write_corpus
from medistill.data.study import Study, StudyImage
from medistill.engine.checkpoint import load_checkpoint, save_checkpoint
from medistill.engine.track import Track, read_track
from medistill.errors import CallError, MedistillError
from medistill.evaluate.files import read_headlines, read_metrics, write_files
from medistill.model.saved import save_model
from medistill.serve.index.embed import embed
from medistill.serve.index.folder import nearest
from medistill.serve.index.index import index_for, open_index
from medistill.serve.index.table import open_table
from medistill.system import checksums
from tests.conftest import each_a_unit, tiny_model, tiny_texts

FLIPS = 100


def make_corpus(folder: Path) -> None:
    """300 images with masks and boxes, in two batches."""
    dice = np.random.default_rng(0)
    studies = []
    for i in range(300):
        png = encode_image(dice.integers(0, 256, (16, 16), dtype=np.uint8))
        image = StudyImage(image=png, view="PA", masks={"mass": png}, boxes={"mass": (1.0, 2.0, 3.0, 4.0)})
        text, labels = tiny_texts(300)[i], {"mass": 1}
        studies.append(
            Study(study_id=f"s{i}", patient_id=f"p{i}", images=(image,), text=text, labels=labels, age=50.0)
        )
    write_corpus(each_a_unit(studies), folder, source="test", made_with={}, findings=("mass",))


def read_corpus(folder: Path) -> None:
    corpus = open_corpus(folder)
    rows = Rows(corpus, np.arange(corpus.table.num_rows))
    for i in range(len(rows)):
        rows.stored(i)
    rows.column("mask")


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> SimpleNamespace:
    home = tmp_path_factory.mktemp("home")
    model = tiny_model()
    save_model(model, home / "model")
    make_corpus(home / "corpus")
    (home / "table").mkdir()
    embed(home / "model", home / "corpus", home / "table" / "t.arrow")
    table = open_table(home / "table" / "t.arrow")
    index_for(home / "exact", table.about).add(table)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nearest, "_LEAST", 10)
        index = index_for(home / "graph", table.about, "usearch")
        index.add(table)
        index.delete([f"s{i}" for i in range(5)])  # the graph is kept, with keys
    save_checkpoint({"step": 1, "weights": model.state_dict()}, home / "run")
    track = Track(home / "run")
    track.write({"loss": 0.5, "pairs": 8})
    track.sync()
    entry = {"value": 0.5, "low": 0.25, "high": 0.75, "n_images": 4, "n_patients": 4}
    write_files(home / "evaluation", {"zero_shot": {"auroc": entry}}, {"protocols": {}}, "<p>page</p>")
    return SimpleNamespace(folder=home, patched=patch)


def read_evaluation(folder: Path) -> None:
    read_metrics(folder)
    read_headlines(folder)


def read_run(folder: Path) -> None:
    load_checkpoint(folder)
    read_track(folder)


KINDS = {
    "corpus": read_corpus,
    "table": lambda folder: open_table(folder / "t.arrow"),
    "exact": open_index,
    "graph": open_index,
    "model": medistill.load,
    "run": read_run,
    "evaluation": read_evaluation,
}
FOR_OTHERS = {"state.json", "dataset_info.json", "rejected.csv", "page.html"}
"""Read by other tools and by people: what `check --verify` compares."""


def flipped(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place // 8] ^= 1 << place % 8
    path.write_bytes(content)
    checksums._fitting.clear()


def files_of(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in FOR_OTHERS]


@pytest.mark.parametrize("kind", KINDS)
def test_of_a_hundred_flipped_bits_all_are_noticed(home, kind):
    folder, dice = home.folder / kind, random.Random(kind)
    files = files_of(folder)
    KINDS[kind](folder)
    for number in range(FLIPS):
        path = files[number % len(files)]
        place = dice.randrange(8 * path.stat().st_size)
        flipped(path, place)
        with pytest.raises(MedistillError) as error:
            KINDS[kind](folder)
        said = str(error.value)
        assert "\n" not in said
        assert "damaged" in said, (path.name, said)
        flipped(path, place)
    KINDS[kind](folder)


@pytest.mark.parametrize("kind", KINDS)
def test_verifying_compares_every_byte_of_every_kind(home, kind, capsys):
    folder, dice = home.folder / kind, random.Random(kind)
    target = folder / "t.arrow" if kind == "table" else folder
    main(["check", str(target), "--verify"])
    said = capsys.readouterr()
    assert said.err.endswith("files are as they were written\n") or "1 files" in said.err
    for path in files_of(folder):
        place = dice.randrange(8 * path.stat().st_size)
        flipped(path, place)
        with pytest.raises(SystemExit) as end:
            main(["check", str(target), "--verify"])
        assert end.value.code == 1
        said = capsys.readouterr().err
        assert path.name in said
        assert said.count("\n") == 1
        flipped(path, place)


def test_a_bit_of_an_image_is_noticed_when_the_image_is_read_and_by_check(home, tmp_path, capsys):
    folder = shutil.copytree(home.folder / "corpus", tmp_path / "corpus")
    corpus = open_corpus(folder)
    image = corpus.cell("image", 250)
    table = folder / "data-00000-of-00001.arrow"
    flipped(table, 8 * (table.read_bytes().index(image) + len(image) // 2))
    corpus = open_corpus(folder)  # no image is read for that
    assert corpus.cell("image", 249)
    with pytest.raises(CallError, match="the image in row 250 does not fit its checksum"):
        corpus.cell("image", 250)
    with pytest.raises(SystemExit):
        main(["check", str(folder), "--out", str(tmp_path / "check")])
    assert "unreadable images (1)" in capsys.readouterr().err


def test_a_report_that_was_overwritten_does_not_pass_check(home, tmp_path):
    folder = shutil.copytree(home.folder / "corpus", tmp_path / "corpus")
    table = folder / "data-00000-of-00001.arrow"
    text = tiny_texts(300)[7].encode()
    assert text in table.read_bytes()
    table.write_bytes(table.read_bytes().replace(text, bytes(reversed(text))))
    with pytest.raises(SystemExit) as end:
        main(["check", str(folder), "--out", str(tmp_path / "check")])
    assert end.value.code == 2


@pytest.mark.parametrize("kind", KINDS)
def test_what_has_no_checksums_opens_with_one_line(home, kind, tmp_path, caplog):
    if kind == "evaluation":
        return  # read in passing, by what says its own
    folder = shutil.copytree(home.folder / kind, tmp_path / kind)
    for sums in folder.rglob("*checksums.json"):
        sums.unlink()
    caplog.set_level("INFO", "medistill")
    KINDS[kind](folder)
    KINDS[kind](folder)
    assert [record.message.count("has no checksums") for record in caplog.records] == [1]


def test_a_file_replaced_by_a_kill_between_checksum_and_name_is_the_one_before(tmp_path, monkeypatch):
    path = tmp_path / "card.json"
    checksums.write_checked(path, "{}")
    for content in ("[1]", "[2]"):  # two kills, one after the other
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            replace = type(path).replace

            def stopped(self, target, replace=replace):
                if target == path:
                    raise KeyboardInterrupt
                return replace(self, target)

            patch.setattr(type(path), "replace", stopped)
            checksums.write_checked(path, content)
        assert checksums.read_checked(path) == b"{}"
    checksums.write_checked(path, "[3]")
    assert checksums.read_checked(path) == b"[3]"
