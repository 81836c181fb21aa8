"""The embedding table: what it says, how it is resumed, what is refused."""

import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from medistill.data.corpus import Rows, open_corpus
from medistill.data.image import encode_image
from medistill.data.prepare.writer import write_corpus
from medistill.data.study import NO_REPORT, Study, StudyImage
from medistill.errors import CallError
from medistill.model.dual import DualEncoder
from medistill.model.fingerprint import model_hash
from medistill.model.saved import load, save_model
from medistill.serve.index import embed as module
from medistill.serve.index.embed import embed
from medistill.serve.index.index import index_for
from medistill.serve.index.table import open_table
from medistill.system.checksums import sums_alone
from tests.conftest import each_a_unit, forget_checksums, tiny_model
from tests.pictures import NO_PALETTE


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A model, and a corpus of 40 images, of which some studies have no report and some texts repeat."""
    home = tmp_path_factory.mktemp("embed")
    save_model(tiny_model(), home / "model")
    random = np.random.default_rng(0)
    films = [encode_image(random.integers(0, 256, (32, 32), dtype=np.uint8)) for _ in range(40)]
    studies = [
        Study(
            study_id=f"s{i:02d}",
            patient_id=f"p{i // 2}",
            images=tuple(StudyImage(image=film, view="PA") for film in films[2 * i : 2 * i + 2]),
            text=NO_REPORT if i % 5 == 4 else ("lung clear", "no edema", f"heart {i}")[i % 3],
            labels={"edema": i % 2},
            split="train",
            sex="F",
            age=40.5,
        )
        for i in range(20)
    ]
    write_corpus(each_a_unit(studies), home / "corpus", source="test", made_with={}, findings=("edema",))
    return home


@pytest.fixture(autouse=True)
def few_rows_at_a_time(monkeypatch):
    monkeypatch.setattr(module, "_ROWS", 16)


def test_a_row_says_what_the_corpus_says_and_what_the_model_gives(home, tmp_path):
    told = embed(home / "model", home / "corpus", tmp_path / "table.arrow")
    model, corpus = load(home / "model"), open_corpus(home / "corpus")
    rows, table = Rows(corpus, np.arange(40)), open_table(tmp_path / "table.arrow")
    held = pa.Table.from_batches(list(table.batches()))
    assert (told["images"], len(table), held.num_rows) == (40, 40, 40)
    assert held["row"].to_pylist() == list(range(40))
    for name in ("study_id", "patient_id", "split", "view", "sex", "age", "date", "source", "labels"):
        assert held[name].to_pylist() == rows.column(name)
    texts = [None if text == NO_REPORT else text for text in rows.texts]
    assert held["text"].to_pylist() == texts
    images = model.encode_images([rows.image(i) for i in range(40)]).numpy()
    np.testing.assert_allclose(np.array(held["image_vector"].to_pylist()), images, atol=1e-5)
    for text, vector in zip(texts, held["text_vector"].to_pylist(), strict=True):
        if text is None:
            assert vector is None
        else:
            np.testing.assert_allclose(vector, model.encode_texts([text]).numpy()[0], atol=1e-5)
    about = table.about
    assert (about.model_sha256, about.dim, about.findings) == (model_hash(model), 8, ("edema",))
    assert about.scale == pytest.approx(model.scale)
    assert about.corpora[0].path == str(home / "corpus")
    assert not about.phantoms
    assert {path.name for path in tmp_path.iterdir()} == {"table.arrow", "table.arrow.checksums.json"}


def test_a_study_without_a_report_is_found_with_an_empty_text(home, tmp_path):
    embed(home / "model", home / "corpus", tmp_path / "table.arrow")
    table = open_table(tmp_path / "table.arrow")
    index = index_for(tmp_path / "index", table.about)
    index.add(table)
    hits = index.search(np.eye(8, dtype=np.float32)[0], 20, per_patient=False)
    texts = {hit.case.study_id: hit.case.text for hit in hits}
    assert {study for study, text in texts.items() if not text} == {"s04", "s09", "s14", "s19"}


def test_a_stopped_run_goes_on_to_the_same_bytes(home, tmp_path, monkeypatch):
    seen = []
    encode = DualEncoder.encode_images

    def counted(self, images, **named):
        seen.append(len(images))
        return encode(self, images, **named)

    def stop(stage, done, total):
        if done >= 32:
            raise KeyboardInterrupt

    monkeypatch.setattr(DualEncoder, "encode_images", counted)
    embed(home / "model", home / "corpus", tmp_path / "whole.arrow")
    assert sum(seen) == 40
    seen.clear()
    with pytest.raises(KeyboardInterrupt):
        embed(home / "model", home / "corpus", tmp_path / "table.arrow", on_progress=stop)
    assert not (tmp_path / "table.arrow").exists()
    assert sum(seen) == 32
    embed(home / "model", home / "corpus", tmp_path / "table.arrow")
    assert sum(seen) == 40
    assert max(seen) == 16
    assert (tmp_path / "table.arrow").read_bytes() == (tmp_path / "whole.arrow").read_bytes()
    assert {path.name for path in tmp_path.glob("*.arrow")} == {"table.arrow", "whole.arrow"}
    assert not list(tmp_path.glob(".*"))


def test_a_finished_table_is_left_alone_and_another_is_not_overwritten(home, tmp_path):
    out = tmp_path / "table.arrow"
    first = embed(home / "model", home / "corpus", out)
    before = out.stat().st_mtime_ns
    assert embed(home / "model", home / "corpus", out) == first
    save_model(tiny_model(seed=1), tmp_path / "other")
    with pytest.raises(CallError, match="is there and of another model or corpus"):
        embed(tmp_path / "other", home / "corpus", out)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(CallError, match="not an embedding table"):
        embed(home / "model", home / "corpus", tmp_path / "mine.txt")
    assert out.stat().st_mtime_ns == before
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_two_at_once_are_refused(home, tmp_path):
    def again(stage, done, total):
        with pytest.raises(CallError, match="another run is writing"):
            embed(home / "model", home / "corpus", tmp_path / "table.arrow")

    embed(home / "model", home / "corpus", tmp_path / "table.arrow", on_progress=again)
    assert len(open_table(tmp_path / "table.arrow")) == 40


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (b"", "not an embedding table"),
        (b"PK\3\4 zipped", "not an embedding table"),
        ("cut", "not an embedding table"),
        ("foreign", "not an embedding table"),
        ("format", "is of format 7, expected 1"),
        ("columns", "the embedding table .* is damaged"),
    ],
)
def test_a_file_that_is_no_table_is_one_line(home, tmp_path, held, said):
    path = tmp_path / "table.arrow"
    embed(home / "model", home / "corpus", path)
    sums_alone(path).unlink()
    if isinstance(held, bytes):
        path.write_bytes(held)
    elif held == "cut":
        path.write_bytes(path.read_bytes()[:-200])
    else:
        table = pa.ipc.open_file(path).read_all()
        metadata = {
            "foreign": {},
            "format": {
                b"medistill": table.schema.metadata[b"medistill"].replace(b'"format": 1', b'"format": 7')
            },
            "columns": table.schema.metadata,
        }[held]
        table = table.drop_columns(["view"]) if held == "columns" else table
        with (
            pa.OSFile(str(path), "wb") as file,
            pa.ipc.new_file(file, table.schema.with_metadata(metadata)) as to,
        ):
            to.write_table(table.replace_schema_metadata(metadata))
    with pytest.raises(CallError, match=said):
        open_table(path)


@pytest.mark.slow
def test_a_killed_process_goes_on_to_the_same_bytes(home, tmp_path):
    """As in the test above, but by SIGKILL in a process of its own."""
    code = (
        "import os, sys; from pathlib import Path\n"
        "from medistill.serve.index import embed as m\n"
        "m._ROWS = 16\n"
        "def kill(stage, done, total):\n if done >= 32: os.kill(os.getpid(), 9)\n"
        "m.embed(*map(Path, sys.argv[1:]), on_progress=kill)"
    )
    out = tmp_path / "table.arrow"
    call = [sys.executable, "-c", code, home / "model", home / "corpus", out]
    killed = subprocess.run(list(map(str, call)), check=False, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert killed.returncode == -signal.SIGKILL
    assert not out.exists()
    embed(home / "model", home / "corpus", tmp_path / "whole.arrow")
    embed(home / "model", home / "corpus", out)
    assert out.read_bytes() == (tmp_path / "whole.arrow").read_bytes()
    assert not list(tmp_path.glob(".*"))


def test_a_moved_or_changed_corpus_is_said_when_a_picture_is_asked_for(home, tmp_path):
    from medistill.serve.index.find import case_image

    shutil.copytree(home / "corpus", tmp_path / "corpus")
    embed(home / "model", tmp_path / "corpus", tmp_path / "table.arrow")
    table = open_table(tmp_path / "table.arrow")
    index = index_for(tmp_path / "index", table.about)
    index.add(table)
    case = index.search(np.eye(8, dtype=np.float32)[0], 1)[0].case
    shutil.move(tmp_path / "corpus", tmp_path / "moved")
    with pytest.raises(CallError, match="the corpus of this index is not where it was"):
        case_image(index, case)
    card = (tmp_path / "moved" / "card.json").read_text()
    shutil.copytree(tmp_path / "moved", tmp_path / "corpus")
    forget_checksums(tmp_path / "corpus")
    (tmp_path / "corpus" / "card.json").write_text(card.replace('"sha256": "', '"sha256": "0'))
    with pytest.raises(CallError, match="is not the one that was indexed"):
        case_image(index, case)


@pytest.mark.parametrize("bad", [{7}, {0, 15, 39}, set(range(16, 32))])
def test_an_image_that_cannot_be_read_costs_its_row_alone(home, tmp_path, bad, caplog):
    random = np.random.default_rng(1)
    films = [encode_image(random.integers(0, 256, (32, 32), dtype=np.uint8)) for _ in range(40)]
    studies = [
        Study(
            study_id=f"s{i}",
            patient_id=f"p{i}",
            images=(StudyImage(image=NO_PALETTE if i in bad else films[i]),),
            text=f"heart {i}",
            split="train",
        )
        for i in range(40)
    ]
    write_corpus(each_a_unit(studies), tmp_path / "corpus", source="test", made_with={})
    told = embed(home / "model", tmp_path / "corpus", tmp_path / "table.arrow")
    held = pa.Table.from_batches(list(open_table(tmp_path / "table.arrow").batches()))
    kept = [row for row in range(40) if row not in bad]
    assert told["images"] == 40 - len(bad)
    assert held["row"].to_pylist() == kept
    assert held["study_id"].to_pylist() == [f"s{row}" for row in kept]
    assert f"{len(bad)} images of the corpus cannot be read and are left out" in caplog.text
    index = index_for(tmp_path / "index", open_table(tmp_path / "table.arrow").about)
    assert index.add(open_table(tmp_path / "table.arrow")) == 40 - len(bad)
