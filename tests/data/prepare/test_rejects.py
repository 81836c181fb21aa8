import pytest

from medistill.data.prepare.writer import write_corpus
from medistill.data.study import Reject
from medistill.errors import MedistillError
from tests.conftest import each_a_unit


def rejects(count: int) -> list[Reject]:
    return [Reject(row=row, reason="empty text", path=f"Jane Doe/{row}.png") for row in range(1, count + 1)]


def test_rejected_rows_are_counted_and_listed_without_their_paths(write, study):
    corpus = write([*rejects(2), *(study(number) for number in range(18))])
    assert corpus.card["rejected"] == {"count": 2, "reasons": {"empty text": 2}}
    table = (corpus.path / "rejected.csv").read_text()
    assert table.splitlines()[0] == "row,reason,id"
    assert table.splitlines()[1].startswith("1,empty text,")
    assert not any(b"Jane" in path.read_bytes() for path in corpus.path.iterdir())


def test_rejected_paths_are_listed_on_request(write, study):
    corpus = write([*rejects(1), *(study(number) for number in range(18))], show_paths=True)
    assert "Jane Doe/1.png" in (corpus.path / "rejected.csv").read_text()


def test_more_than_a_tenth_rejected_is_an_error_that_keeps_the_list(tmp_path, study):
    items = [*rejects(3), *(study(number) for number in range(17))]
    with pytest.raises(
        MedistillError, match=r"3 of 20 rows rejected, most often: empty text.*--allow-rejects"
    ):
        write_corpus(each_a_unit(items), tmp_path / "corpus", source="test", made_with={})
    assert [path.name for path in tmp_path.iterdir()] == ["corpus.rejected.csv"]


def test_more_than_a_tenth_rejected_can_be_allowed(write, study):
    corpus = write([*rejects(3), study()], allow_rejects=True)
    assert corpus.card["images"] == 1


@pytest.mark.parametrize("count", [0, 2])
def test_a_source_without_a_usable_row_is_always_an_error(write, count):
    with pytest.raises(MedistillError, match=f"no usable row: {count} of {count}"):
        write(rejects(count), allow_rejects=True)


def test_progress_counts_studies_and_rejects(write, study):
    seen = []
    write([study(1, views=("PA", "lateral")), *rejects(1)], allow_rejects=True, on_progress=seen.append)
    assert seen == [1, 2]
