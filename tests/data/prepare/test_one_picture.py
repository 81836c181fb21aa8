"""One picture never ends the whole: whatever a decoder raises is a line among the rejects."""

import csv

import pytest

from medistill.data.check.images import image_flags, measure_images
from medistill.data.image import Kept
from medistill.data.prepare import prepare
from medistill.data.sources import CsvSource, FolderSource
from medistill.data.sources.parts import draft, marked
from medistill.data.sources.parts.dicom_tree import scanned
from medistill.data.sources.parts.draft import Draft, ImageFile, finished
from medistill.data.sources.parts.marked import MarkedFile, marked_work
from medistill.data.study import Reject, Study, StudyImage
from medistill.errors import MedistillError
from medistill.system.isolated import TOO_LARGE
from tests.pictures import NO_PALETTE, STUMBLES


class PanicError(BaseException):
    """As libraries in Rust raise it."""


def raising(error):
    def fail(*_args, **_options):
        raise error("Jane Doe")

    return fail


@pytest.fixture
def source(tmp_path, grey, encoded):
    """Twenty good images of as many patients in a folder, with room for one that is not."""

    def make(bad, kind):
        for number in range(20):
            folder = tmp_path / "films" / f"p{number}" / "s"
            folder.mkdir(parents=True)
            (folder / "a.png").write_bytes(encoded(grey))
            (folder / "r.txt").write_text(f"Report {number}.")
        (folder / "bad.png").write_bytes(bad)
        if kind is FolderSource:
            return FolderSource(path=tmp_path / "films")
        lines = [f"p{number}/s/a.png,p{number},Report." for number in range(20)]
        lines += ["p19/s/bad.png,p19,Report."]
        (tmp_path / "films" / "t.csv").write_text("\n".join(["image,patient_id,text", *lines]))
        return CsvSource(path=tmp_path / "films" / "t.csv")

    return make


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("kind", [CsvSource, FolderSource])
@pytest.mark.parametrize("bad", STUMBLES)
def test_a_picture_that_a_decoder_stumbles_over_is_a_line_in_rejected(source, tmp_path, bad, kind, workers):
    if workers and bad != "no palette":
        pytest.skip("processes take long to start: one is enough")
    card = prepare(source(STUMBLES[bad], kind), tmp_path / "corpus", workers=workers)
    assert (card["images"], card["rejected"]["count"]) == (20, 1)
    with (tmp_path / "corpus" / "rejected.csv").open() as file:
        (line,) = csv.DictReader(file)
    assert line["reason"]


@pytest.mark.parametrize("error", [TypeError, AssertionError, PanicError, RecursionError])
def test_whatever_a_decoder_raises_costs_its_file_and_is_not_quoted(study, tmp_path, error):
    def store(data):
        return raising(error)() if data == b"bad" else Kept((data,))

    for name in ("one", "bad", "two"):
        (tmp_path / name).write_bytes(name.encode())
    files = tuple(
        ImageFile(row=row, path=tmp_path / name, name=name) for row, name in enumerate(("one", "bad", "two"))
    )
    kept, reject = finished(Draft(study=study(1, views=()), files=files), store=store)
    assert [image.image for image in kept.images] == [b"one", b"two"]
    assert reject == Reject(
        row=1, reason=f"cannot be read: its decoder failed with {error.__name__}", path="bad"
    )


def test_memory_that_runs_out_without_a_process_of_its_own_costs_the_file(study, tmp_path):
    (tmp_path / "big").write_bytes(b"big")
    files = (ImageFile(row=1, path=tmp_path / "big", name="big"),)
    (reject,) = finished(Draft(study=study(1, views=()), files=files), store=raising(MemoryError))
    assert reject.reason == TOO_LARGE


def test_a_mark_that_cannot_be_drawn_costs_its_file(study, tmp_path, grey, encoded, monkeypatch):
    (tmp_path / "a.png").write_bytes(encoded(grey))
    file = MarkedFile(
        row=3, path=tmp_path / "a.png", name="a.png", frame=16, boxes={"nodule": (1.0, 1.0, 2.0, 2.0)}
    )
    monkeypatch.setattr(marked, "_scaled", raising(ZeroDivisionError))
    (item,) = marked_work(None, 1000)(Draft(study=study(1, views=()), files=(file,)))
    assert (item.row, item.path) == (3, "a.png")
    assert "ZeroDivisionError" in item.reason


def test_a_header_that_a_parser_stumbles_over_is_a_reject(tmp_path, monkeypatch):
    (tmp_path / "a.dcm").write_bytes(b"x")
    monkeypatch.setattr("medistill.data.sources.parts.dicom_tree.read_header", raising(NotImplementedError))
    (item,) = scanned(tmp_path, without=tmp_path / "none")
    assert item == Reject(
        row=1, reason="cannot be read: its decoder failed with NotImplementedError", path="a.dcm"
    )


def test_a_stored_image_that_cannot_be_decoded_is_named_by_its_row_and_counted_by_check(write, study):
    corpus = write([study(1), study(2, images=(StudyImage(image=NO_PALETTE),)), study(3)], val=0.0, test=0.0)
    with pytest.raises(MedistillError, match=r"^the image in row 1 of the corpus cannot be used: .*check"):
        corpus.split("train").image(1)
    assert corpus.split("train").image(2).shape == (12, 16)
    measures = measure_images(corpus)
    assert list(measures.unreadable) == [1]
    assert next(flag.check for flag in image_flags(measures)) == "unreadable_images"


def test_a_study_of_which_no_image_can_be_read_leaves_its_rejects(study, tmp_path):
    (tmp_path / "bad.png").write_bytes(NO_PALETTE)
    files = tuple(ImageFile(row=row, path=tmp_path / "bad.png", name=str(row)) for row in (1, 2))
    items = draft.image_work(None, 1000)(Draft(study=study(1, views=()), files=files))
    assert [type(item) for item in items] == [Reject, Reject]
    assert not any(isinstance(item, Study) for item in items)


@pytest.mark.parametrize("field", ["text", "study_id", "patient_id", "findings", "impression"])
def test_half_a_surrogate_in_what_is_said_of_a_picture_costs_its_files(study, tmp_path, field):
    files = tuple(ImageFile(row=row, path=tmp_path / "none", name=str(row)) for row in (4, 5))
    draft_ = Draft(study=study(1, views=(), **{field: "Pneumonia \ud83d"}), files=files)
    items = draft.image_work(None, 1000)(draft_)
    reason = "a text or id that is no Unicode: it holds half a surrogate"
    assert items == tuple(Reject(row=row, reason=reason, path=str(row)) for row in (4, 5))
