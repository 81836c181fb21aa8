"""An ONNX export as a model by its name: what it gives, what it is told apart by, what is refused."""

import json
import shutil

import pytest
import torch

from medistill.cli import main
from medistill.data.corpus import open_corpus
from medistill.errors import CallError
from medistill.model.any_model import is_foreign, open_model, public_name
from medistill.model.fingerprint import embedder_name, model_hash
from medistill.model.saved import load
from medistill.serve.index.table import open_table
from tests.conftest import forget_checksums
from tests.model.foreign_models import rewrite
from tests.planted import phantom_corpus
from tests.serve.export.models import TEXTS, phantoms, saved, vit_model

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A model, its export with 8-bit graphs, and a corpus of phantoms."""
    home = tmp_path_factory.mktemp("foreign_onnx")
    saved(vit_model(), home / "model")
    main(["export", str(home / "model"), "--to", "onnx", "--out", str(home / "out"), "--int8"])
    phantom_corpus(home / "corpus", count=60)
    return home


@pytest.fixture
def copied(home, tmp_path):
    folder = shutil.copytree(home / "out", tmp_path / "copied")
    forget_checksums(folder)
    return folder


def test_the_float_graphs_give_what_the_model_gives(home):
    ours, theirs = load(home / "model"), open_model(f"onnx:{home / 'out'}")
    films = [*phantoms(3), phantoms(4)[3][10:60]]
    torch.testing.assert_close(theirs.encode_images(films), ours.encode_images(films), atol=1e-5, rtol=0)
    torch.testing.assert_close(theirs.encode_texts(TEXTS), ours.encode_texts(TEXTS), atol=1e-5, rtol=0)
    assert theirs.scale == pytest.approx(ours.scale)
    assert theirs.preprocessing == ours.preprocessing
    assert theirs.dim == ours.dim


@pytest.mark.parametrize("kind", ["", ":int8"])
def test_an_embedding_does_not_depend_on_what_is_beside_it(home, kind):
    model, films = open_model(f"onnx:{home / 'out'}{kind}"), phantoms(4)
    for encode, items in ((model.encode_images, films), (model.encode_texts, TEXTS)):
        alone = torch.cat([encode([item]) for item in items])
        torch.testing.assert_close(encode(items), alone, atol=1e-6, rtol=0)


def test_the_command_compares_8_bits_with_the_model(home, tmp_path):
    folder, out = home / "out", tmp_path / "comparison"
    call = [home / "model", "--against", f"onnx:{folder}", f"onnx:{folder}:int8", "--data", home / "corpus"]
    main(["evaluate", *map(str, call), "--out", str(out)])
    comparison = json.loads((out / "comparison.json").read_text())
    assert [about["name"] for about in comparison["models"].values()] == [
        "a model folder",
        "onnx",
        "onnx:int8",
    ]
    figure = comparison["tasks"]["zero_shot"]["auroc_macro"]
    ours, floats, small = (figure["values"][label] for label in "ABC")
    for part in ("value", "low", "high"):
        assert floats[part] == pytest.approx(ours[part], abs=2e-3)
        assert small[part] == pytest.approx(ours[part], abs=0.1)
    assert str(tmp_path) not in (out / "comparison.html").read_text()
    stated = json.loads((out / "C" / "evaluation.json").read_text())
    assert stated["model_sha256"] == model_hash(open_model(f"onnx:{folder}:int8"))


def test_each_kind_of_graphs_has_a_hash_of_its_own_wherever_it_lies(home, copied):
    names = [str(home / "model"), f"onnx:{home / 'out'}", f"onnx:{home / 'out'}:int8"]
    hashes = [model_hash(open_model(name)) for name in names]
    assert len(set(hashes)) == 3
    assert [model_hash(open_model(f"onnx:{copied}{kind}")) for kind in ("", ":int8")] == hashes[1:]


@pytest.mark.parametrize("name", ["image.onnx", "text.onnx", "tokenizer.json"])
def test_another_file_is_another_model(home, copied, name):
    before = open_model(f"onnx:{copied}")
    with (copied / name).open("ab") as file:
        file.write(b"\n" if name.endswith("json") else b"\x72\x00")  # an empty field of metadata
    after = open_model(f"onnx:{copied}")
    assert model_hash(after) != model_hash(before)
    assert embedder_name(after) != embedder_name(before)


def test_an_export_of_before_with_figures_is_opened(copied):
    account = json.loads((copied / "export.json").read_text())
    old = {"measured_on": {}, "figures": {}, "int8_less_float": {}, "speed": {"threads": 1}}
    rewrite(copied / "export.json", int8=account["int8"] | old)
    assert len(open_model(f"onnx:{copied}:int8").encode_texts(["heart"])) == 1


def test_label_and_embed_take_it(home, tmp_path, monkeypatch):
    monkeypatch.chdir(home)
    given = ["--data", home / "corpus"]
    labels, table = tmp_path / "labels.csv", tmp_path / "cases.arrow"
    flags = ["--findings", "edema", "--workers", 1, "--out", labels]
    main(["label", *map(str, ["onnx:out:int8", *given, *flags])])
    main(["embed", *map(str, ["onnx:out:int8", *given, "--out", table])])
    rows = open_corpus(home / "corpus").table.num_rows
    assert len(labels.read_text().splitlines()) == rows + 1
    assert open_table(table).about.model == f"onnx:{home / 'out'}:int8"


def test_the_name_is_foreign_and_says_no_folder(home):
    assert is_foreign(f"onnx:{home / 'out'}")
    assert public_name(f"onnx:{home / 'out'}:int8") == "onnx:int8"
    with pytest.raises(CallError, match=r"medistill\.open_model loads it"):
        load(f"onnx:{home / 'out'}")


def refused(name):
    with pytest.raises(CallError) as stopped:
        open_model(name)
    assert "\n" not in str(stopped.value)
    return str(stopped.value)


def test_what_is_no_export_is_one_line(home, copied):
    assert "no export in" in refused(f"onnx:{home / 'model'}")
    assert "no export in" in refused(f"onnx:{home / 'nowhere'}")
    rewrite(copied / "export.json", kind="hub")
    assert "is for hub: expected export.json" in refused(f"onnx:{copied}")


def test_an_export_without_8_bit_graphs_says_so(copied):
    account = json.loads((copied / "export.json").read_text())
    del account["int8"]
    (copied / "export.json").write_text(json.dumps(account))
    assert "again with --int8" in refused(f"onnx:{copied}:int8")
    assert len(open_model(f"onnx:{copied}").encode_texts(["heart"])) == 1


def test_a_graph_that_is_missing_or_damaged_is_one_line(copied):
    (copied / "image.onnx").write_bytes(b"no graph")
    assert refused(f"onnx:{copied}").startswith(f"cannot load onnx:{copied}")
    (copied / "image.onnx").unlink()
    assert refused(f"onnx:{copied}").startswith(f"cannot load onnx:{copied}")


def test_a_missing_package_is_one_line_that_names_the_extra(home, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    assert "pip install 'medistill[export]'" in refused(f"onnx:{home / 'out'}")
