"""Pipes, devices and links in what is prepared: none is waited for, none leads out unasked."""

import os

import pytest

from medistill.data.prepare import prepare, studies
from medistill.data.sources import CsvSource, DicomSource, FolderSource
from medistill.data.sources.parts.reports import LARGEST, TextReports, report_text
from medistill.data.study import Reject, Study
from medistill.errors import CallError, MedistillError
from medistill.system.files import LEADS_OUT
from tests.dicoms import dicom

PIPE, DEVICE = "not a file but a named pipe", "not a file but a device"


@pytest.fixture
def films(tmp_path, grey, encoded):
    """Three patients with an image and a report each, and another's outside."""
    for name in ("films/p1/s", "films/p2/s", "films/p3/s", "away/p4/s"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "a.png").write_bytes(encoded(grey))
        (folder / "r.txt").write_text("Clear.")
    return tmp_path / "films"


def read(source) -> list[Study | Reject]:
    return list(studies(source.open()))


def rejects(items):
    return {item.path: item.reason for item in items if isinstance(item, Reject)}


def patients(items):
    return {item.patient_id for item in items if isinstance(item, Study)}


def test_a_pipe_and_a_device_among_images_and_reports_are_rejects(films):
    os.mkfifo(films / "p1/s/b.png")
    (films / "p2/s/b.png").symlink_to("/dev/zero")
    (films / "p3/s/r.txt").unlink()
    os.mkfifo(films / "p3/s/r.txt")
    items = read(FolderSource(path=films, follow_links=True))
    assert rejects(items) == {"p1/s/b.png": PIPE, "p2/s/b.png": DEVICE, "p3/s/r.txt": PIPE}
    assert patients(items) == {"p1", "p2"}


@pytest.mark.parametrize("name", ["pipe.png", "/dev/zero", "/dev/stdin/../zero"])
def test_an_image_column_that_names_a_pipe_or_a_device_costs_its_row(films, name):
    os.mkfifo(films / "pipe.png")
    (films / "t.csv").write_text(f"image,patient_id,text\n{name},p1,Clear.\np1/s/a.png,p1,Clear.\n")
    items = read(CsvSource(path=films / "t.csv"))
    assert set(rejects(items).values()) <= {PIPE, DEVICE, "image file cannot be read"}
    assert len(rejects(items)) == 1
    assert patients(items) == {"p1"}


def test_a_report_without_an_end_is_refused(films):
    (films / "p1/s/r.txt").write_bytes(b"x" * (LARGEST + 1))
    assert rejects(read(FolderSource(path=films))) == {"p1/s/r.txt": "report of more than 1,000,000 bytes"}


def test_lines_end_as_before(films):
    (films / "r.txt").write_bytes(b"\xef\xbb\xbfa\r\nb\rc\n")
    assert report_text(films / "r.txt") == "a\nb\nc"


@pytest.fixture
def linked(films):
    (films / "p4").symlink_to("../away/p4")
    (films / "p1/s/b.png").symlink_to("../../../away/p4/s/a.png")
    (films / "p2/s/same.png").symlink_to("a.png")
    return films


def test_links_out_of_the_folder_are_counted_and_named(linked, tmp_path):
    items = read(FolderSource(path=linked))
    assert rejects(items) == {"p4": LEADS_OUT, "p1/s/b.png": LEADS_OUT}
    assert patients(items) == {"p1", "p2", "p3"}
    assert "--follow-links" in LEADS_OUT
    card = prepare(FolderSource(path=linked), tmp_path / "corpus", allow_rejects=True)
    assert card["rejected"] == {"count": 2, "reasons": {LEADS_OUT: 2}}
    assert "follow_links" not in card["made_with"]  # as cards of before there were any


def test_links_out_of_the_folder_are_followed_on_request(linked, tmp_path):
    items = read(FolderSource(path=linked, follow_links=True))
    assert rejects(items) == {}
    assert patients(items) == {"p1", "p2", "p3", "p4"}
    card = prepare(FolderSource(path=linked, follow_links=True), tmp_path / "corpus")
    assert (card["images"], card["made_with"]["follow_links"]) == (6, True)


def test_a_folder_of_links_alone_is_refused_with_what_follows_them(films, tmp_path):
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "p1").symlink_to("../films/p1")
    with pytest.raises(CallError, match=r"nothing in .* but 1 of this: .*--follow-links"):
        read(FolderSource(path=tmp_path / "links"))


def test_a_source_that_is_mostly_links_names_the_flag(films, tmp_path):
    for number in range(3):
        (films / f"p1/s/{number}.png").symlink_to("../../../away/p4/s/a.png")
    with pytest.raises(MedistillError, match=r"3 of 6 rows rejected, most often: .*--follow-links"):
        prepare(FolderSource(path=films), tmp_path / "corpus")


@pytest.mark.parametrize("follow_links", [False, True])
def test_dicom_files_and_their_reports_behind_links(tmp_path, grey, follow_links):
    for number, place in enumerate(("tree", "away"), start=1):
        (tmp_path / place).mkdir()
        ids = {"StudyInstanceUID": f"1.2.{number}", "SOPInstanceUID": f"1.1.{number}"}
        data = dicom(grey, AccessionNumber=f"A{number}", PatientID=f"P{number}", **ids)
        (tmp_path / place / f"{number}.dcm").write_bytes(data)
    (tmp_path / "tree" / "link.dcm").symlink_to("../away/2.dcm")
    os.mkfifo(tmp_path / "tree" / "pipe.dcm")
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "A1.txt").write_text("One.")
    (tmp_path / "A2.txt").write_text("Two.")
    (tmp_path / "reports" / "A2.txt").symlink_to("../A2.txt")
    source = DicomSource(path=tmp_path / "tree", reports=tmp_path / "reports", follow_links=follow_links)
    items = read(source)
    aside = {"pipe.dcm": PIPE} if follow_links else {"pipe.dcm": PIPE, "link.dcm": LEADS_OUT, "A2": LEADS_OUT}
    assert rejects(items) == aside
    assert patients(items) == ({"P1", "P2"} if follow_links else {"P1"})


def test_a_pipe_among_text_reports_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "A1.txt")
    (report,) = TextReports(tmp_path, "accession")
    assert report.fault == PIPE
