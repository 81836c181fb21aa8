"""What a check found, for people and for scripts: check.json, page.html, a table."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from medistill.data.check import alike, images, splits, texts
from medistill.data.check.flag import ACROSS, CHECKS, Flag, row_id
from medistill.data.check.page import page
from medistill.data.check.run import Checked, check_corpus
from medistill.data.corpus import Corpus, open_corpus
from medistill.system.atomic import write_together
from medistill.system.isolated import cores
from medistill.system.json_files import canonical_json
from medistill.system.locks import writing
from medistill.system.private import private_files
from medistill.system.progress import Progress

REPORT, PAGE = "check.json", "page.html"
_SEVEREST = ("error", "warning", "note")
_LEAKS = ("patients", "studies", "identical_images", "near_identical_images")


@private_files()
def check_and_write(
    path: Path,
    out: Path,
    *,
    with_cases: bool = False,
    show_ids: bool = False,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Check the corpus at `path` and write check.json and page.html into `out`; returns the former.

    with_cases   put images of the worst cases on the page
    show_ids     name study and patient ids in check.json, beside the salted ones
    """
    corpus = open_corpus(path)
    with writing(out):
        checked = check_corpus(corpus, workers=cores(), on_progress=on_progress)
        text = canonical_json(as_json(checked, show_ids=show_ids))
        report: dict[str, Any] = json.loads(text)
        report["checks"] = {name: report["checks"][name] for name in CHECKS}  # in the order they are shown in
        write_together(out, {REPORT: text, PAGE: page(checked, report, with_cases=with_cases)})
    return report


def as_json(checked: Checked, *, show_ids: bool = False) -> dict[str, Any]:
    """The whole outcome as plain values; nothing of a patient but salted ids, unless `show_ids`."""
    card, alone = checked.corpus.card, len(checked.splits) < 2
    counts = {name: card.get(name) for name in ("sha256", "source", "images", "studies", "patients")}
    by_split = {name: card["splits"].get(name, {}).get("images") for name in checked.splits}
    return {
        "passed": checked.passed,
        "verdict": _verdict(checked),
        "corpus": counts | {"images_by_split": by_split},
        "checks": {
            name: {
                "title": CHECKS[name],
                "state": _state(flags, alone and name in ACROSS),
                "flags": [_flag(checked.corpus, flag, show_ids) for flag in flags],
            }
            for name, flags in checked.by_check.items()
        },
        "labels": checked.labels,
        "thresholds": {
            "near_identical": alike.NEAR_IDENTICAL,
            "alike": alike.ALIKE,
            "alike_least_pixels": alike.DETAILED,
            "blank_share_of_pixels": images.FLAT,
            "inverted_below": images.INVERTED,
            "surely_inverted_below": images.SURELY_INVERTED,
            "tiny_below_pixels": images.TINY,
            "rare_texts_from_patients": splits.MANY,
            "telling_text_from_words": splits.TELLING,
            "closed_texts_are_custom_from": texts.CLOSED_BY_CUSTOM,
        },
    }


def _verdict(checked: Checked) -> str:
    """One sentence: whether the corpus may be used."""
    failed = [flag for flag in checked.flags if flag.severity == "error"]
    warned = sum(flag.severity == "warning" for flag in checked.flags)
    if not failed:
        alone = len(checked.splits) < 2
        leaks = "one split, so nothing to leak between" if alone else "no leak between splits"
        return f"{leaks}, every image can be read; {warned:,} warning{'s' * (warned != 1)}"
    counts: Counter[str] = Counter()
    for flag in failed:
        counts[flag.check] += flag.count
    faults = ", ".join(f"{CHECKS[name].lower()} ({count:,})" for name, count in counts.items())
    return f"the corpus {'leaks' if counts.keys() & set(_LEAKS) else 'is broken'}: {faults}"


def _state(flags: tuple[Flag, ...], not_applicable: bool) -> str:
    if not_applicable:
        return "one split"
    return min((flag.severity for flag in flags), key=_SEVEREST.index) if flags else "clear"


def _flag(corpus: Corpus, flag: Flag, show_ids: bool) -> dict[str, Any]:
    return {
        "severity": flag.severity,
        "said": flag.said,
        "count": flag.count,
        "splits": list(flag.splits),
        "figures": dict(flag.figures),
        "cases": [[_row(corpus, row, show_ids) for row in case] for case in flag.cases],
    }


def _row(corpus: Corpus, row: int, show_ids: bool) -> dict[str, Any]:
    study = str(corpus.cell("study_id", row))
    named = {"row": row, "split": corpus.cell("split", row), "id": row_id(study)}
    ids = {"study_id": study, "patient_id": corpus.cell("patient_id", row)}
    return named | ids if show_ids else named
