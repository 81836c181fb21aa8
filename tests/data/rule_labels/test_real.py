"""The Indiana University reports, where they are at hand: all of them parse, whatever their layout."""

import csv
import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from medistill.data.report import Sections, read_sections
from medistill.data.sources.openi import OpeniReport, cleaned_sections, reports_in
from tests.data.sources.test_real import real

pytestmark = [pytest.mark.real, pytest.mark.slow]
NAMES = ("indication", "comparison", "findings", "impression")


@pytest.fixture(scope="module")
def reports() -> list[OpeniReport]:
    found = [report for _, report in reports_in(real("openi_reports/NLMCXR_reports.tgz"))]
    assert len(found) == 3955
    assert all(isinstance(report, OpeniReport) for report in found)
    return found


def test_findings_and_impression_equal_the_table(reports):
    with real("openi_reports/indiana_reports.csv").open(encoding="utf-8", newline="") as file:
        table = {f"CXR{row['uid']}": (row["findings"], row["impression"]) for row in csv.DictReader(file)}
    assert len(table) == 3851
    said = {report.uid: (report.findings, report.impression) for report in reports}
    assert {uid: said[uid] for uid in table} == table


def lines(header: str, between: str, wrapped: bool = False) -> Callable[[dict[str, str]], str]:
    """A layout: a header made of name, NAME or Name before each part."""

    def lay_out(parts: dict[str, str]) -> str:
        texts = {name: textwrap.fill(text, 80) if wrapped else text for name, text in parts.items()}
        return between.join(header.format(name.upper(), name.title()) + texts[name] for name in texts)

    return lay_out


LAYOUTS: dict[str, Callable[[dict[str, str]], str]] = {
    "MIMIC-CXR": lambda parts: (
        "  FINAL REPORT\n EXAMINATION:  CHEST\n\n" + lines(" {0}:  ", "\n\n", True)(parts)
    ),
    "capitals, a line of their own": lines("{0}:\n\n", "\n\n", True),
    "capitals without a colon": lines("{0}\n", "\n", True),
    "capitals run in": lines("{0} ", "\n"),
    "title case": lines("{1}: ", "\n"),
    "title case without a colon": lines("{1}\n", "\n\n"),
    "dashes": lines("{1} - ", "\n"),
    "one line": lines("{0}: ", " "),
    "all capitals": lambda parts: lines("{0}:  ", "\n\n", True)({n: t.upper() for n, t in parts.items()}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_free_text_of_any_layout_parses_back(reports, layout):
    def laid_out(report: OpeniReport) -> Sections:
        parts = {name: getattr(report, name) for name in NAMES}
        return read_sections(LAYOUTS[layout]({name: text for name, text in parts.items() if text}))

    def told(sections: Sections) -> tuple[str, str]:
        told = (sections.findings, sections.impression)
        return (told[0].upper(), told[1].upper()) if layout == "all capitals" else told

    equal = [told(laid_out(report)) == told(cleaned_sections(report)) for report in reports]
    assert sum(equal) >= 0.995 * len(equal)


def test_normal_agrees_with_the_mesh_terms_on_the_half_not_used_for_tuning():
    script = Path(__file__).parents[3] / "benchmarks" / "rule_labels.py"
    command = [sys.executable, str(script), str(real("openi_reports/NLMCXR_reports.tgz")), "--json"]
    result = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    figures = {row["finding"]: row for row in result["rows"]}
    assert result["reports"] > 1900
    assert figures["no finding"]["f1"] >= 0.85
    assert min(figures[name]["f1"] for name in ("atelectasis", "cardiomegaly", "pleural effusion")) >= 0.85
