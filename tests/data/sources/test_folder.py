import pytest

from medistill.data.prepare import studies
from medistill.data.sources import FolderSource
from medistill.data.study import Reject, Study
from medistill.errors import CallError


@pytest.fixture
def tree(tmp_path, grey, encoded):
    """Make files below a folder: images by their suffix, text files with the path as their report."""

    def make(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".txt":
                path.write_text(f"Report {name}.")
            else:
                path.write_bytes(encoded(grey, "PNG" if path.suffix.lower() == ".png" else "JPEG"))
        return tmp_path

    return make


def read(path, **options) -> list[Study | Reject]:
    return list(studies(FolderSource(path=path, **options).open()))


def found(items):
    return {(item.patient_id, item.study_id, len(item.images), item.text) for item in items}


def test_an_image_with_a_text_file_of_its_name_is_a_study_of_its_folders_patient(tree):
    items = read(tree("p1/a.png", "p1/a.txt", "p1/b.jpg", "p1/b.txt", "p2/c.JPEG", "p2/c.txt"))
    assert found(items) == {
        ("p1", "p1/a", 1, "Report p1/a.txt."),
        ("p1", "p1/b", 1, "Report p1/b.txt."),
        ("p2", "p2/c", 1, "Report p2/c.txt."),
    }


def test_a_folder_of_images_with_one_text_file_is_a_study(tree):
    items = read(tree("p1/s1/a.png", "p1/s1/b.png", "p1/s1/report.txt", "p2/s1/a.png", "p2/s1/a.txt"))
    assert found(items) == {
        ("p1", "p1/s1", 2, "Report p1/s1/report.txt."),
        ("p2", "p2/s1/a", 1, "Report p2/s1/a.txt."),
    }


def test_leftovers_are_rejected_with_their_reason(tree):
    root = tree(
        "p1/a.png", "p1/a.txt", "p1/b.png", "p1/c.txt", "p1/e.png", "p1/e.txt", "p2/d.png", "p2/d.txt"
    )
    (root / "p2/d.txt").write_text(" -- ")
    reasons = {item.path: item.reason for item in read(root) if isinstance(item, Reject)}
    assert reasons == {
        "p1/b.png": "no report: no text file goes with the image",
        "p1/c.txt": "no image goes with the report",
        "p2/d.txt": "empty text",
    }


def test_a_broken_image_leaves_the_rest_of_its_study(tree):
    root = tree("p1/s1/a.png", "p1/s1/b.png", "p1/s1/report.txt", "p2/s2/a.png", "p2/s2/r.txt")
    (root / "p1/s1/b.png").write_text("not an image")
    items = read(root)
    assert [len(item.images) for item in items if isinstance(item, Study)] == [1, 1]
    assert [(item.path, item.reason) for item in items if isinstance(item, Reject)] == [
        ("p1/s1/b.png", "not a PNG, JPEG or DICOM image")
    ]


def test_a_report_that_is_not_utf8_is_rejected(tree):
    root = tree("p1/a.png", "p1/a.txt", "p1/b.png", "p1/b.txt", "p2/c.png", "p2/c.txt")
    (root / "p1/a.txt").write_bytes("Müller".encode("latin-1"))
    assert [item.reason for item in read(root) if isinstance(item, Reject)] == ["report is not UTF-8 text"]


@pytest.mark.parametrize(
    "names",
    [
        ("a.png", "a.txt", "b.png", "b.txt"),
        ("s1/a.png", "s1/b.png", "s1/report.txt"),
        ("s1/a.png", "s1/a.txt", "s2/b.png", "s2/b.txt"),
    ],
)
def test_unknown_patients_are_an_error_that_says_what_follows(tree, names):
    with pytest.raises(
        CallError, match=r"two splits, and every figure would be too good.*--patient-is-study"
    ):
        read(tree(*names))
    items = read(tree(*names), patient_is_study=True)
    assert all(item.patient_id == item.study_id for item in items)


def test_one_folder_above_all_studies_is_not_taken_for_a_patient(tree):
    with pytest.raises(CallError, match="as if of one patient"):
        read(tree("images/a.png", "images/a.txt", "images/b.png", "images/b.txt"))


def test_a_folder_without_images_is_answered_with_what_it_holds(tree, tmp_path):
    tree("p1/a.txt")
    (tmp_path / "p1" / "a.nii").write_text("")
    with pytest.raises(CallError, match="no image in"):
        read(tmp_path)
    (tmp_path / "p1" / "a.txt").unlink()
    with pytest.raises(CallError, match=r"no PNG, JPEG or DICOM .* files in .*; it holds 1 \.nii"):
        read(tmp_path)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(CallError, match="no such folder"):
        read(tmp_path / "none")


def test_hidden_files_are_passed_over(tree):
    assert (
        len(read(tree("p1/a.png", "p1/a.txt", "p1/._a.png", "p1/b.png", "p1/b.txt", "p2/c.png", "p2/c.txt")))
        == 3
    )
