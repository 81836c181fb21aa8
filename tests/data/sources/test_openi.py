import io
import tarfile

import pytest

from medistill.data.corpus import open_corpus
from medistill.data.phantom import phantom_studies
from medistill.data.prepare import prepare, studies
from medistill.data.sources.openi import OpeniSource, read_report, reports_in
from medistill.data.sources.parts.mesh import CODED, coded_labels
from medistill.data.study import Reject
from medistill.errors import CallError, MedistillError

XML = """<?xml version="1.0" encoding="utf-8"?>
<eCitation>
   <meta type="rr"/>
   <uId id="CXR{number}"/>
   <MedlineCitation Owner="Indiana University" Status="supplied by publisher">
      <Article PubModel="Electronic">
         <Abstract>
            <AbstractText Label="COMPARISON">None.</AbstractText>
            <AbstractText Label="INDICATION">XXXX-year-old with cough</AbstractText>
            <AbstractText Label="FINDINGS">{findings}</AbstractText>
            <AbstractText Label="IMPRESSION">{impression}</AbstractText>
         </Abstract>
      </Article>
   </MedlineCitation>
   <MeSH>
      <major>Pleural Effusion/left/small</major>
      <automatic>effusion</automatic>
   </MeSH>
{images}</eCitation>
"""
IMAGE = """   <parentImage id="{0}">
      <figureId>F1</figureId>
      <caption>PA and lateral views of the chest</caption>
      <panel type="single"><url>/hadoop/storage/radiology/extract/{0}.jpg</url></panel>
   </parentImage>
"""


def report(
    number, images=2, findings="Small left effusion. Heart size XXXX normal.", impression="1. Effusion."
):
    """The XML of a report, and the ids of its images."""
    names = [f"CXR{number}_IM-0001-{1001 + image}" for image in range(images)]
    parts = "".join(IMAGE.format(name) for name in names)
    return XML.format(number=number, findings=findings, impression=impression, images=parts), names


@pytest.fixture
def tree(tmp_path):
    """A folder as the two published archives unpack to; reports as arguments of `report`."""
    pictures = [study.images[0].image for study in phantom_studies(4)]

    def make(*reports):
        for folder in ("NLMCXR_png", "ecgen-radiology"):
            (tmp_path / folder).mkdir()
        for options in reports:
            xml, names = report(**options)
            (tmp_path / "ecgen-radiology" / f"{options['number']}.xml").write_text(xml)
            for place, name in enumerate(names):
                (tmp_path / "NLMCXR_png" / f"{name}.png").write_bytes(pictures[place])
        return tmp_path

    return make


def read(path, **options):
    return list(studies(OpeniSource(path=path, **options).open()))


def packed(root):
    """The tree with its reports packed again."""
    with tarfile.open(root / "NLMCXR_reports.tgz", "w:gz") as archive:
        archive.add(root / "ecgen-radiology", "ecgen-radiology")
    for path in (root / "ecgen-radiology").iterdir():
        path.unlink()
    return root


def test_a_report_is_read_word_for_word(tree):
    read = read_report(tree({"number": 7}) / "ecgen-radiology" / "7.xml")
    assert (read.findings, read.impression) == (
        "Small left effusion. Heart size XXXX normal.",
        "1. Effusion.",
    )
    assert (read.indication, read.comparison) == ("XXXX-year-old with cough", "None.")
    assert (read.uid, read.images) == ("CXR7", ("CXR7_IM-0001-1001", "CXR7_IM-0001-1002"))
    assert (read.mesh, read.automatic) == (("Pleural Effusion/left/small",), ("effusion",))


def test_a_report_is_a_study_and_a_patient_with_clean_text_and_labels(tree):
    (study,) = read(tree({"number": 7}))
    assert (study.study_id, study.patient_id, len(study.images)) == ("CXR7", "CXR7", 2)
    assert study.text == "Small left effusion. Heart size normal. Effusion."
    assert (study.findings, study.impression) == ("Small left effusion. Heart size normal.", "Effusion.")
    by_rule = {name: state for name, state in study.labels.items() if name not in CODED}
    assert by_rule == {"cardiomegaly": 0, "no finding": 0, "pleural effusion": 1}
    assert study.labels["mesh: effusion"] == 1


def test_the_impression_alone_can_be_trained_on(tree):
    items = read(tree({"number": 1}, {"number": 2, "impression": "XXXX."}), text="impression")
    assert items[0].text == "Effusion."
    assert items[1].reason == "empty text"


def test_packed_reports_give_the_same_corpus(tree, tmp_path):
    root = tree(*({"number": number} for number in (1, 2, 10, 11)))
    cards = [prepare(OpeniSource(path=root), tmp_path / "unpacked")]
    cards.append(prepare(OpeniSource(path=packed(root)), tmp_path / "packed"))
    assert cards[0] == cards[1]
    assert len(open_corpus(tmp_path / "packed").split("train")) > 0


def test_what_cannot_be_trained_on_is_set_aside_with_its_reason(tree):
    root = tree(
        {"number": 1},
        {"number": 2, "images": 0},
        {"number": 3, "findings": "", "impression": "XXXX"},
        {"number": 4},
        {"number": 5, "images": 1},
    )
    (root / "ecgen-radiology" / "4.xml").write_text("<eCitation>")
    (root / "NLMCXR_png" / "CXR5_IM-0001-1001.png").unlink()
    (root / "NLMCXR_png" / "CXR1_IM-0001-1002.png").write_bytes(b"GIF89a")
    reasons = {item.path: item.reason for item in read(root) if isinstance(item, Reject)}
    assert reasons == {
        "CXR1_IM-0001-1002.png": "not a PNG, JPEG or DICOM image but a GIF image",
        "2.xml": "report names no image",
        "3.xml": "empty text",
        "4.xml": "report is not XML that can be read (broken, or with a DTD)",
        "CXR5_IM-0001-1001.png": "no such image file",
        "CXR4_IM-0001-1001.png": "no report names the image",
        "CXR4_IM-0001-1002.png": "no report names the image",
    }


BOMB = (
    '<!DOCTYPE e [<!ENTITY a "secret">'
    + "".join(f'<!ENTITY {b} "{10 * f"&{a};"}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    + "]><eCitation><uId id='CXR1'/>&i;</eCitation>"
)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"secret",
        b"<eCitation>secret",
        b"<other>secret</other>",
        b"<eCitation><uId/>secret</eCitation>",
        b"\xff\xfe\x00secret",
        b"<?xml version='1.0' encoding='secret'?><eCitation/>",
        b"<?xml version='1.0' encoding='utf-7'?><eCitation/>",
        "<eCitation>secret\x00</eCitation>".encode("utf-16"),
        b"<a>" * 200_000,
        report(1)[0].encode() + b" " * 1_000_000,
        BOMB.encode(),
        b"<!DOCTYPE e SYSTEM 'file:///secret'><eCitation><uId id='CXR1'/></eCitation>",
        b"<!DOCTYPE e [<!ENTITY x SYSTEM 'file:///etc/hosts'>]><eCitation><uId id='CXR1'/>&x;</eCitation>",
    ],
)
def test_bytes_that_are_no_report_are_one_line_without_a_quote(tmp_path, data):
    (tmp_path / "1.xml").write_bytes(data)
    with pytest.raises(MedistillError) as error:
        read_report(tmp_path / "1.xml")
    assert "\n" not in str(error.value)
    assert "secret" not in str(error.value)


def test_a_broken_archive_is_one_line(tree):
    archive = packed(tree({"number": 1})) / "NLMCXR_reports.tgz"
    for data in (archive.read_bytes()[:200], b"no archive", b""):
        archive.write_bytes(data)
        with pytest.raises(MedistillError, match="broken or cut short"):
            list(reports_in(archive))


def test_only_files_of_reports_are_read_from_an_archive(tmp_path):
    xml = report(1)[0].encode()
    with tarfile.open(tmp_path / "a.tgz", "w:gz") as archive:
        for name, kind in (
            ("../1.xml", tarfile.REGTYPE),
            ("2.xml", tarfile.SYMTYPE),
            ("3.txt", tarfile.REGTYPE),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.size, member.linkname = kind, len(xml), "/etc/hosts"
            archive.addfile(member, io.BytesIO(xml))
    assert [name for name, _ in reports_in(tmp_path / "a.tgz")] == ["1.xml"]


@pytest.mark.parametrize("missing", ["folder", "NLMCXR_png", "ecgen-radiology"])
def test_a_part_of_the_collection_that_is_missing_is_a_call_error(tree, missing):
    root = tree({"number": 1}) if missing != "folder" else None
    if root is None:
        with pytest.raises(CallError, match="no such folder"):
            OpeniSource(path=tree() / "none").open()
        return
    for path in (root / missing).iterdir():
        path.unlink()
    with pytest.raises(CallError, match=r"no (PNG|XML) files in"):
        OpeniSource(path=root).open()


def test_jpeg_files_are_read_beside_png_ones_and_a_png_goes_first(tree):
    root = tree({"number": 1}, {"number": 2, "images": 1})
    folder = root / "NLMCXR_png"
    (folder / "CXR1_IM-0001-1001.png").rename(folder / "CXR1_IM-0001-1001.jpg")
    for place in (folder, root / "later"):
        place.mkdir(exist_ok=True)
        (place / "CXR2_IM-0001-1001.JPEG").write_bytes(b"GIF89a")
    first, second = read(root)
    assert (len(first.images), len(second.images)) == (2, 1)


def test_views_are_those_of_a_table_among_the_images(tree):
    root = tree({"number": 1, "images": 3}, {"number": 2, "images": 1})
    (root / "other.csv").write_text("image,findings\nCXR1_IM-0001-1001.png,PA\n")
    names = [f"images/CXR1_IM-0001-100{number}.jpg" for number in (1, 2, 3)]
    lines = [f"{name},{view}" for name, view in zip(names, ("Frontal", "LATERAL", "PA"), strict=True)]
    (root / "metadata.csv").write_text("\n".join(["image,view", *lines, "CXR2_IM-0001-1001.png,", "x"]))
    first, second = read(root)
    assert [image.view for image in first.images] == ["frontal", "lateral", "PA"]
    assert [image.view for image in second.images] == [None]


def test_reports_may_lie_elsewhere_and_those_of_other_images_are_skipped(tree, tmp_path):
    root = tree({"number": 1}, {"number": 2}, {"number": 3})
    for path in (root / "NLMCXR_png").glob("CXR2_*"):
        path.unlink()
    next((root / "NLMCXR_png").glob("CXR3_*")).unlink()
    items = list(studies(OpeniSource(path=root / "NLMCXR_png", reports=packed(root) / ".").open()))
    assert [item.study_id for item in items if not isinstance(item, Reject)] == ["CXR1", "CXR3"]
    aside = {item.reason: item.skipped for item in items if isinstance(item, Reject)}
    assert aside == {"none of the report's images is here": True, "no such image file": False}


def test_reports_that_are_nowhere_are_asked_for(tree, tmp_path):
    root = tree({"number": 1})
    with pytest.raises(CallError, match=r"no XML files .*--reports"):
        OpeniSource(path=root / "NLMCXR_png").open()
    with pytest.raises(CallError, match="--reports takes the folder"):
        OpeniSource(path=root, reports=root / "nowhere").open()


@pytest.mark.parametrize(
    ("terms", "coded"),
    [
        (("Pleural Effusion/left/small", "Lung/hyperdistention"), {"effusion", "hyperdistention"}),
        (("Lung/left/hyperdistention", "Nodules"), {"hyperdistention"}),
        (("Heart/hyperdistention", "Nodules", "hyperdistention"), set()),
        (("Hydropneumothorax", "Fractures, Bone/ribs"), {"pneumothorax", "fracture"}),
        (("normal",), {"normal"}),
    ],
)
def test_what_people_coded_stands_beside_the_rules_labels(terms, coded):
    labels = coded_labels(terms)
    assert set(labels) == set(CODED)
    assert {name.removeprefix("mesh: ") for name, state in labels.items() if state == 1} == coded


@pytest.mark.parametrize("terms", [(), ("No Indexing",)])
def test_a_report_that_nobody_coded_states_nothing(terms):
    assert coded_labels(terms) == {}
