"""JSON that cannot be read is one line."""

import pytest

from medistill.errors import CallError
from medistill.system.json_files import read_json


@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff\xfe"])
def test_a_file_that_is_no_json_is_complained_of(tmp_path, content):
    path = tmp_path / "figures.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CallError, match=r"figures\.json is damaged"):
        read_json(path)
    with pytest.raises(CallError, match=r"^write it again$"):
        read_json(path, "write it again")


def test_a_file_is_read_as_utf_8(tmp_path):
    (tmp_path / "words.json").write_bytes('{"wort": "größer"}'.encode())
    assert read_json(tmp_path / "words.json") == {"wort": "größer"}
