"""How far the rule labels agree with the MeSH terms people gave to the Indiana University reports.

The reports are split in two by a hash of their id. The rules were written looking at one half; this prints
precision and recall on the other one. Of a table with a column for each finding that people coded
(metadata.csv), which does not say the half, it takes every report and counts those that get labels.
"""

import argparse
import csv
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medistill.data.rule_labels import label_report, label_sections
from medistill.data.rule_labels.lexicon import FINDINGS
from medistill.data.sources.openi import OpeniReport, cleaned_sections, reports_in

HEADS: dict[str, tuple[str, ...]] = {
    "atelectasis": ("Pulmonary Atelectasis",),
    "cardiomegaly": ("Cardiomegaly",),
    "consolidation": ("Consolidation",),
    # CheXpert counts congestion and failure as edema; MeSH has no other term for mild edema.
    "edema": ("Pulmonary Edema", "Pulmonary Congestion", "Heart Failure"),
    # Every term of the mediastinum that is not normal says wide, prominent or full of nodes.
    "enlarged cardiomediastinum": ("Mediastinum",),
    # Healed ones too: the rules do not tell old fractures from new ones, nor does CheXpert.
    "fracture": ("Fractures, Bone",),
    "lung lesion": ("Nodule", "Mass"),
    # `Density` is what the indexers wrote for opacities called so; consolidation has a term of its own.
    "lung opacity": ("Opacity", "Infiltrate", "Airspace Disease", "Density"),
    "pleural effusion": ("Pleural Effusion", "Hydropneumothorax", "Hemothorax"),
    "pneumonia": ("Pneumonia",),
    "pneumothorax": ("Pneumothorax", "Hydropneumothorax"),
    # Not `Surgical Instruments`: those are clips and wires, which CheXpert does not count as devices.
    "support devices": (
        "Catheters, Indwelling",
        "Implanted Medical Device",
        "Tube, Inserted",
        "Medical Device",
        "Stents",
    ),
}
"""Finding -> the first words of MeSH terms that state it."""
PLEURAL = ("Thickening", "Pleura", "Pulmonary Fibrosis", "Cicatrix", "Calcinosis")
"""With the qualifier `pleura`, or `Pleura` itself: `pleural other`."""
ROUND = ("Opacity", "Density")
"""With the qualifier `round`: how a nodular opacity is indexed, so `lung lesion`."""
NOT_INDEXED = "No Indexing"
COLUMNS: dict[str, tuple[str, ...]] = {
    "no finding": ("normal",),
    "atelectasis": ("atelectasis",),
    "cardiomegaly": ("cardiomegaly",),
    "consolidation": ("consolidation",),
    "edema": ("edema", "congestion"),
    "fracture": ("fracture",),
    "lung lesion": ("nodule", "mass"),
    "lung opacity": ("opacity", "infiltrate", "airspace disease"),
    "pleural effusion": ("effusion",),
    "pneumonia": ("pneumonia",),
    "pneumothorax": ("pneumothorax",),
    "support devices": ("catheter", "device", "implanted device", "tube"),
}
"""Finding -> columns of the table that state it; none is of the mediastinum or, for sure, of the pleura."""

FIGURES = ("precision", "recall", "f1", "recall_with_uncertain")


def main() -> None:
    options = arguments()
    if options.reports.suffix == ".csv":
        pairs = pairs_of_table(options.reports)
        rows, of = results(pairs, tuple(COLUMNS)), len(pairs)
    else:
        found = [report for _, report in reports_in(options.reports) if isinstance(report, OpeniReport)]
        kept = [report for report in found if is_held_out(report.uid) != options.tuning and is_usable(report)]
        pairs = [(mesh_findings(report.mesh), label_sections(cleaned_sections(report))) for report in kept]
        rows, of = (
            results(pairs, ("no finding", *(name for name in FINDINGS if name != "no finding"))),
            len(found),
        )
    labeled = sum(bool(labels) for _, labels in pairs)
    means = {name: mean([row[name] for row in rows]) for name in FIGURES}
    if options.json:
        print(json.dumps({"reports": len(pairs), "labeled": labeled, "macro": means, "rows": rows}))
        return
    print(f"{len(pairs):,} reports of {of:,}, {labeled:,} with labels\n")
    print("| finding | coded | rules | precision | recall | F1 | recall, uncertain counted |")
    print("|---|---|---|---|---|---|---|")
    for row in [*rows, {"finding": "mean", "coded": "", "rules": "", **means}]:
        figures = " | ".join(show(row[name]) for name in FIGURES)
        print(f"| {row['finding']} | {row['coded']} | {row['rules']} | {figures} |")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reports", type=Path, help="NLMCXR_reports.tgz or metadata.csv")
    parser.add_argument("--tuning", action="store_true", help="the half that the rules were written on")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    return parser.parse_args()


def is_held_out(uid: str) -> bool:
    return hashlib.sha256(f"medistill rule labels:{uid}".encode()).digest()[0] >= 128


def is_usable(report: OpeniReport) -> bool:
    """Whether it was indexed and says anything."""
    sections = cleaned_sections(report)
    return report.mesh != (NOT_INDEXED,) and bool(sections.findings or sections.impression)


def mesh_findings(terms: Sequence[str]) -> set[str]:
    """The findings that MeSH terms state; `no finding` for the term `normal`."""
    stated = {"no finding"} if "normal" in terms else set[str]()
    for term in terms:
        head, *qualifiers = term.strip().split("/")
        stated |= {finding for finding, heads in HEADS.items() if head in heads}
        if head == "Pleura" or (head in PLEURAL and "pleura" in qualifiers):
            stated.add("pleural other")
        if head in ROUND and "round" in qualifiers:
            stated.add("lung lesion")
    return stated


def pairs_of_table(table: Path) -> list[tuple[set[str], dict[str, int]]]:
    """Of every study, what people coded and what the rules read from its text; studies not coded left out."""
    pairs, seen = list[tuple[set[str], dict[str, int]]](), set[str]()
    with table.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["study_id"] not in seen and row["normal"]:
                seen.add(row["study_id"])
                coded = {finding for finding, names in COLUMNS.items() if any(row[n] == "1" for n in names)}
                pairs.append((coded, label_report(row["text"])))
    return pairs


def results(
    pairs: Sequence[tuple[set[str], dict[str, int]]], findings: Sequence[str]
) -> list[dict[str, Any]]:
    rows = list[dict[str, Any]]()
    for finding in findings:
        coded = [finding in stated for stated, _ in pairs]
        present = [labels.get(finding) == 1 for _, labels in pairs]
        either = [labels.get(finding) in (1, -1) for _, labels in pairs]
        both = sum(a and b for a, b in zip(coded, present, strict=True))
        in_either = sum(a and b for a, b in zip(coded, either, strict=True))
        rows.append(
            {
                "finding": finding,
                "coded": sum(coded),
                "rules": sum(present),
                "precision": share(both, sum(present)),
                "recall": share(both, sum(coded)),
                "f1": share(2 * both, sum(present) + sum(coded)),
                "recall_with_uncertain": share(in_either, sum(coded)),
            }
        )
    return rows


def mean(figures: Sequence[float | None]) -> float | None:
    """Each finding counts alike; those without a figure are left out."""
    known = [figure for figure in figures if figure is not None]
    return round(sum(known) / len(known), 4) if known else None


def share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def show(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:.3f}"


if __name__ == "__main__":
    main()
