"""The commands of docs/real-data.md, on the data they were written for."""

import csv
import json
import os
from pathlib import Path

import pytest

from medistill.cli import main
from medistill.data.sources.openi import reports_in
from medistill.data.sources.parts.mesh import CODED, PREFIX, coded_labels

REAL = Path(os.environ.get("MEDISTILL_REAL_DATA", Path(__file__).parents[2] / "shared" / "data"))
PROMPTS = Path(__file__).parents[1] / "docs" / "medpix_prompts.json"
pytestmark = [pytest.mark.real, pytest.mark.slow]


def real(name: str) -> Path:
    if not (REAL / name).is_file():
        pytest.skip("no real data here: set MEDISTILL_REAL_DATA to the folder that holds it")
    return REAL / name


def run(*arguments: object) -> None:
    main([str(a) for a in arguments])


def test_small_learns_medpix_from_scratch(tmp_path):
    """A third of the epochs of docs/real-data.md reach the most of it: recall@10 .288, AUROC .823."""
    texts = ["--text", "modality", "plane", "location", "caption", "--classes", "region", "--size", 96]
    run("prepare", "csv", real("medpix/train.csv"), "--out", tmp_path / "train", "--test", 0, *texts)
    run("prepare", "csv", real("medpix/dev.csv"), "--out", tmp_path / "dev", "--val", 0, "--test", 1, *texts)
    run("train", "small", "--data", tmp_path / "train", "--out", tmp_path / "run", "--epochs", 10)
    out = tmp_path / "evaluation"
    run("evaluate", tmp_path / "run", "--data", tmp_path / "dev", "--prompts", PROMPTS, "--out", out)
    metrics = json.loads((out / "metrics.json").read_text())
    retrieval = metrics["retrieval"]
    assert retrieval["i2t_r@10"]["value"] >= 3 * retrieval["chance_r@10"]["value"]
    assert metrics["zero_shot"]["auroc_macro"]["value"] >= 0.70
    page = (out / "page.html").read_text()
    assert "data:image/png" not in page
    assert "MPX" not in page


def test_small_goes_through_covid_cxr_without_a_false_step(tmp_path):
    source = real("covid_cxr/metadata.csv")
    corpus, shape = tmp_path / "corpus", ["--size", 96]
    with pytest.raises(SystemExit) as refused:
        run("prepare", "csv", source, "--out", corpus, "--classes", "finding", *shape)
    assert refused.value.code == 1
    run("prepare", "csv", source, "--out", corpus, "--classes", "finding", *shape, "--allow-rejects")
    # Nothing is learned here however long it goes on; the collapse watch has no say in so few steps.
    run("train", "small", "--data", corpus, "--out", tmp_path / "run", "--min-patients", 10, "--epochs", 4)
    run("evaluate", tmp_path / "run", "--data", corpus, "--out", tmp_path / "evaluation")
    metrics = json.loads((tmp_path / "evaluation" / "metrics.json").read_text())
    assert 0 <= metrics["retrieval"]["i2t_r@10"]["value"] <= 1


def test_small_learns_indiana_and_is_asked_in_its_reports_own_words(tmp_path):
    """The path of docs/real-data.md, with smaller images and an objective that needs fewer epochs."""
    reports = real("openi_reports/NLMCXR_reports.tgz").parent
    source, corpus = real("indiana/metadata.csv").parent, tmp_path / "corpus"
    run(
        "prepare",
        "openi",
        source,
        "--reports",
        reports,
        "--out",
        corpus,
        "--size",
        64,
        "--val",
        0.2,
        "--test",
        0,
    )
    shape = ["--objective", "clip", "--size", 64, "--epochs", 3, "--lr", 7e-4]
    run("train", "small", "--data", corpus, "--out", tmp_path / "run", *shape)
    out = tmp_path / "evaluation"
    run("evaluate", tmp_path / "run", "--data", corpus, "--split", "val", "--out", out)
    metrics = json.loads((out / "metrics.json").read_text())
    retrieval, zero_shot = metrics["retrieval"], metrics["zero_shot"]
    assert retrieval["i2t_r@10"]["value"] >= 2 * retrieval["chance_r@10"]["value"]
    assert zero_shot["auroc/mesh: cardiomegaly"]["low"] > 0.6
    assert zero_shot["auroc_abnormal/mesh: cardiomegaly"]["low"] > 0.55
    prompts = json.loads((out / "evaluation.json").read_text())["prompts"]
    assert prompts["mesh: effusion"]["negative"] == prompts["cardiomegaly"]["negative"]
    assert "XXXX" not in json.dumps(prompts)


def test_what_people_coded_in_the_xml_is_what_the_table_says():
    codes = {}
    for _, report in reports_in(real("openi_reports/NLMCXR_reports.tgz")):
        codes[report.uid] = coded_labels(report.mesh)
    with real("indiana/metadata.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            of_row = {f"{PREFIX}{name}": cell for name, cell in row.items() if f"{PREFIX}{name}" in CODED}
            assert {name: int(cell) for name, cell in of_row.items() if cell} == codes[row["study_id"]]
