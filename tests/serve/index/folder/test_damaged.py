"""An index whose files are not its own any more is one line, whatever happened to them."""

import json
import shutil

import pytest

from medistill.errors import CallError
from medistill.serve.index.index import index_for, open_index
from tests.conftest import forget_checksums
from tests.serve.index.conftest import make_table


@pytest.fixture
def folder(made, tmp_path):
    index_for(tmp_path / "index", made.table.about).add(made.table)
    forget_checksums(tmp_path / "index")
    return tmp_path / "index"


def part(folder):
    return folder / "part-000001"


def edited(folder, **changes) -> None:
    account = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps(account | changes))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda f: (f / "index.json").unlink(), "not an index: .* holds no index.json"),
        (lambda f: (f / "index.json").write_text("{"), "index.json cannot be read as JSON"),
        (lambda f: (f / "index.json").write_text("[]"), "is of format None, expected 1"),
        (lambda f: edited(f, format=2), "is of format 2, expected 1"),
        (lambda f: edited(f, kind="faiss"), "index.json lacks what it must tell"),
        (lambda f: edited(f, parts=[{"name": "part-000001"}]), "index.json lacks what it must tell"),
        (lambda f: edited(f, about={}), "index.json lacks what it must tell"),
        (
            lambda f: edited(f, parts=[{"name": "../index", "images": 60}]),
            "index.json lacks what it must tell",
        ),
        (lambda f: shutil.rmtree(part(f)), "files of its parts are missing"),
        (lambda f: (part(f) / "cases.arrow").unlink(), "files of its parts are missing"),
        (
            lambda f: (part(f) / "cases.arrow").write_bytes(b"no arrow"),
            "cases.arrow of part.* cannot be read",
        ),
        (lambda f: (part(f) / "cases.arrow").write_bytes(b""), "cases.arrow of part.* cannot be read"),
        (lambda f: (part(f) / "vectors.f32").write_bytes(b"\0" * 40), "are of another length"),
    ],
)
def test_damage_is_told_in_one_line(folder, damage, said):
    damage(folder)
    with pytest.raises(CallError, match=said) as told:
        open_index(folder)
    assert "\n" not in str(told.value)


def test_a_part_of_another_table_is_noticed(folder, tmp_path):
    other = make_table(tmp_path / "other.arrow", findings=("mass",), batch=20)
    index_for(tmp_path / "other", other.table.about).add(other.table)
    shutil.copy(tmp_path / "table.arrow", part(folder) / "cases.arrow")
    with pytest.raises(CallError, match="has other columns"):
        open_index(folder)


def test_a_folder_of_somebody_is_not_taken_for_an_index(made, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("mine")
    with pytest.raises(CallError, match="is there and no index"):
        index_for(tmp_path / "mine", made.table.about)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]
