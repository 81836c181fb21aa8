"""Prompts read from JSON, and from another project's Python constants without running them."""

import json

import pytest

from medistill.errors import CallError
from medistill.evaluate.prompts.file import read_prompts

CONSTANTS = '''
"""Settings of a project."""
import os
from pathlib import Path

DATA = Path(os.environ.get("DATA", "."))
TASKS = ["Edema", "Pleural Effusion"]
UNCERTAIN = {"Edema": 1, "Pleural Effusion": 0}
CLASS_PROMPTS = {
    "Edema": {
        "severity": ["", "faint"],
        "subtype": ["edema", "wet lungs"],
        "location": ["", "everywhere"],
    },
    "Pleural Effusion": {"severity": ["big"], "subtype": ["water"], "location": ["below", "around"]},
}
OTHER_PROMPTS: dict = {"Covid": ["ground glass", "patchy opacity"]}
COMPUTED = {"Nodule": ["a " + word for word in TASKS]}
'''


def write(path, text):
    path.write_text(text, "utf-8")
    return path


def refusal(path):
    """What is said of a file that gives no prompts: one line."""
    with pytest.raises(CallError) as error:
        read_prompts(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    return str(error.value)


def test_json_with_both_sides_is_taken_as_it_is(tmp_path):
    given = {"edema": {"positive": ["Wet lungs."], "negative": ["Dry lungs."]}}
    assert read_prompts(write(tmp_path / "p.json", json.dumps(given))) == given


def test_json_without_a_negative_side_has_an_empty_one(tmp_path):
    path = write(tmp_path / "p.json", json.dumps({"edema": {"positive": ["Wet lungs.", "Edema."]}}))
    assert read_prompts(path) == {"edema": {"positive": ["Wet lungs.", "Edema."], "negative": []}}


@pytest.mark.parametrize("text", ['{"edema": {"negative": ["a"]}}', '{"edema": ["a"]}', "[]", "{", "3"])
def test_json_without_prompts_is_one_line(tmp_path, text):
    with pytest.raises(CallError) as error:
        read_prompts(write(tmp_path / "p.json", text))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ['{"edema": {"positive": ["a"], "negative": "b"}}', "{}"])
def test_json_whose_prompts_could_not_be_used_is_refused(tmp_path, text):
    with pytest.raises(CallError):
        read_prompts(write(tmp_path / "p.json", text))


def test_words_of_a_python_file_are_combined_in_their_order(tmp_path):
    prompts = read_prompts(write(tmp_path / "constants.py", CONSTANTS))
    assert prompts["edema"]["positive"] == [
        "edema",
        "edema everywhere",
        "wet lungs",
        "wet lungs everywhere",
        "faint edema",
        "faint edema everywhere",
        "faint wet lungs",
        "faint wet lungs everywhere",
    ]
    assert prompts["pleural effusion"]["positive"] == ["big water below", "big water around"]
    assert prompts["edema"]["negative"] == []


def test_every_dictionary_of_prompts_is_taken_and_what_is_computed_is_not(tmp_path):
    prompts = read_prompts(write(tmp_path / "constants.py", CONSTANTS))
    assert set(prompts) == {"edema", "pleural effusion", "covid"}
    assert prompts["covid"]["positive"] == ["ground glass", "patchy opacity"]


def test_a_class_named_twice_keeps_the_first_prompts(tmp_path):
    text = 'A = {"Edema": ["first"]}\nB = {"EDEMA": ["second"]}\n'
    prompts = read_prompts(write(tmp_path / "p.py", text))
    assert prompts == {"edema": {"positive": ["first"], "negative": []}}


def test_code_in_a_python_file_is_not_run(tmp_path):
    marker = tmp_path / "marker"
    text = (
        f'open({str(marker)!r}, "w").write("run")\nA = {{"edema": ["wet"]}}\nB = __import__("os").getcwd()\n'
    )
    assert set(read_prompts(write(tmp_path / "p.py", text))) == {"edema"}
    assert not marker.exists()


@pytest.mark.parametrize("text", ["def (:\n", "A = {'a': ['b']\n", "A = '\x00'\n"])
def test_a_file_that_is_not_python_is_one_line(tmp_path, text):
    assert "cannot read prompts" in refusal(write(tmp_path / "p.py", text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A = 1\n",
        'A = {"edema": 1}\n',
        'A = {"edema": []}\n',
        'A = {"edema": [""]}\n',
        'A = {"edema": {"severity": [""], "subtype": [""]}}\n',
        'A = {1: ["wet"]}\n',
        'A = {"edema": "wet"}\n',
        "A = {}\n",
        'f(A={"edema": ["wet"]})\n',
    ],
)
def test_a_python_file_without_prompts_is_one_line(tmp_path, text):
    assert "no dictionary of prompts" in refusal(write(tmp_path / "p.py", text))


@pytest.mark.parametrize("depth", [90, 1000, 100_000])
@pytest.mark.parametrize("opens", ["[", "(", "-", "f(", "{1: "])
def test_deep_nesting_in_a_python_file_is_one_line(tmp_path, depth, opens):
    closes = {"[": "]", "(": ")", "-": "", "f(": ")", "{1: ": "}"}[opens]
    path = write(tmp_path / "p.py", f"A = {opens * depth}1{closes * depth}\n")
    refusal(path)


@pytest.mark.parametrize("joint", [" + 1", ".a", "[0]", " if 1 else 1"])
def test_long_chains_in_a_python_file_are_one_line(tmp_path, joint):
    refusal(write(tmp_path / "p.py", f"A = 1{joint * 50_000}\n"))


def test_deep_nesting_in_json_is_one_line(tmp_path):
    refusal(write(tmp_path / "p.json", "[" * 100_000 + "]" * 100_000))


def test_a_dictionary_with_too_many_combinations_is_not_one_of_prompts(tmp_path):
    words = [f"w{i}" for i in range(200)]
    text = f'A = {{"paths": {{"a": {words}, "b": {words}, "c": {words}, "d": {words}}}}}\n'
    refusal(write(tmp_path / "p.py", text))


def test_a_file_that_is_not_there_or_not_text_is_one_line(tmp_path):
    refusal(tmp_path / "nothing.json")
    (tmp_path / "bytes.py").write_bytes(b"\xff\xfe\x00A")
    refusal(tmp_path / "bytes.py")
