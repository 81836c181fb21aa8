"""Text that is no text: half a surrogate, marks before a file, names of nothing."""

import codecs
import json

import numpy as np
import pytest

from medistill.compare.entrant import read_settings
from medistill.errors import CallError
from medistill.evaluate.prompts.file import read_prompts
from medistill.evaluate.prompts.prompts import checked
from medistill.evaluate.prompts.resolved import resolve_prompts
from medistill.model.embedder import UnitEmbedder
from medistill.model.remembering import Remembering
from medistill.serve.label.wanted import Wanted

GIVEN = {"effusion": {"positive": ["Pleuraerguss."], "negative": ["Kein Erguß."]}}
BLANK = ["", " ", "\t", "\u00a0", "\u200b", "\ufeff", "?", "_", "--"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "utf-16-be"])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_file_of_prompts_is_read_in_whatever_unicode_an_editor_writes(tmp_path, encoding, ascii_only):
    path = tmp_path / "prompts.json"
    path.write_bytes(json.dumps(GIVEN, ensure_ascii=ascii_only).encode(encoding))
    assert read_prompts(path) == GIVEN


def test_a_mark_before_a_python_file_and_before_settings_is_no_word(tmp_path):
    (tmp_path / "p.py").write_bytes(codecs.BOM_UTF8 + b"PROMPTS = {'edema': ['Edema.']}")
    assert read_prompts(tmp_path / "p.py")["edema"]["positive"] == ["Edema."]
    (tmp_path / "s.json").write_bytes(codecs.BOM_UTF8 + b'{"clip": {"lr": 0.1}}')
    assert read_settings(tmp_path / "s.json") == {"clip": {"lr": 0.1}}


def test_a_file_of_latin_1_is_one_line(tmp_path):
    (tmp_path / "p.json").write_bytes('{"a": {"positive": ["Erguß."]}}'.encode("latin-1"))
    with pytest.raises(CallError, match="cannot read prompts from"):
        read_prompts(tmp_path / "p.json")


@pytest.mark.parametrize("name", BLANK)
def test_a_finding_without_a_name_is_refused(tmp_path, name):
    with pytest.raises(CallError, match="give it a name of letters or digits"):
        checked({name: GIVEN["effusion"]})
    (tmp_path / "p.json").write_text(json.dumps({name: GIVEN["effusion"]}))
    with pytest.raises(CallError, match="give it a name"):
        read_prompts(tmp_path / "p.json")
    with pytest.raises(CallError, match="give it a name"):
        Wanted(findings=("edema", name))


@pytest.mark.parametrize("name", ["edema", "胸水", "Ödem", "T2", "ground-glass opacity", "1"])
def test_names_of_any_language_are_names(name):
    assert checked({name: GIVEN["effusion"]})
    assert Wanted(findings=(name,)).findings == (name,)


@pytest.mark.parametrize("half", ["\ud83d", "a\udc00b", "M\udcfcller"])
def test_half_a_surrogate_is_one_line_wherever_it_stands(tmp_path, half):
    for given in ({half: GIVEN["effusion"]}, {"a": {"positive": [half], "negative": ["b"]}}):
        (tmp_path / "p.json").write_text(json.dumps(given))
        with pytest.raises(CallError, match="is no Unicode"):
            read_prompts(tmp_path / "p.json")
        with pytest.raises(CallError, match="is no Unicode"):
            resolve_prompts(("a", half), given, source="test")
    with pytest.raises(CallError, match="is no Unicode"):
        Wanted(findings=(f"edema {half}",))


class Any:
    """A model of any kind."""

    def encode_images(self, images):
        return np.ones((len(images), 2))

    encode_texts = encode_images


def test_a_text_with_half_a_surrogate_never_meets_a_tokenizer(tmp_path):
    for embedder in (UnitEmbedder(Any()), Remembering(Any(), tmp_path)):
        with pytest.raises(CallError, match="text 2 of 2 is no Unicode"):
            embedder.encode_texts(["clear", "edema \ud83d"])
