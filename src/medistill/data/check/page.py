"""What a check found as one HTML file that needs nothing else."""

from collections.abc import Mapping
from typing import Any

from medistill.data.check.flag import CHECKS, MARKS
from medistill.data.check.run import Checked
from medistill.data.image import decode_stored
from medistill.errors import MedistillError
from medistill.html import templates
from medistill.html.picture import data_url
from medistill.system.isolated import decoding

ADVICE: Mapping[str, str] = {
    "patients": "Give all rows of a patient one split, or leave the split out to have it by hash.",
    "studies": "A study under two patient ids is one patient's: mend the ids, then split again.",
    "identical_images": "Remove one of the two, or give both patients one id.",
    "near_identical_images": "The same picture in another encoding or size: treat it like an identical one.",
    "alike_images": "Look at them (--with-cases): windowed, written on, or one patient under two ids.",
    "shared_texts": "Common texts leak nothing: read recall on unique reports. Look up the rare ones.",
    "unreadable_images": "Find the files at the source and prepare again; training would stop at them.",
    "blank_images": "Nothing can be learned from them: leave them out at the source.",
    "faint_images": "Nearly black or white: 12 bits taken for 16, or a wrong window. Prepare them again.",
    "inverted_images": "Compare the DICOM tag (MONOCHROME1) with the picture, and invert at the source.",
    "tiny_images": "Thumbnails, probably: find the full images.",
    "image_metadata": "Prepare the corpus again: medistill stores 8-bit grey pixels and nothing else.",
    "empty_texts": "Leave these rows out: a missing report must not be trained on.",
    "rows_in_texts": "Look for a stray quotation mark in the table, and prepare again from one without it.",
    "cut_texts": "Look for a column limit or a parser that stops early at the source.",
    "long_texts": "Choose the impression, put it first, or raise --max-tokens.",
    "markup": "Trained on as words: prepare again, and take out at the source what is left then.",
    "labels": "Figures of such a finding are not defined in that split: split again, or leave it out.",
    "identifiers": "Look at these rows, and de-identify at the source. A name without a title goes unseen.",
    "identifying_ids": "Replace patient ids by ones that name nobody before anything else is done.",
}
"""What to do about what each check flags."""
_PICTURED = (
    "identical_images",
    "near_identical_images",
    "alike_images",
    "inverted_images",
    "blank_images",
    "faint_images",
    "tiny_images",
)
_SHOWN, _ROWS_A_CASE, _NAMED = 6, 3, 5
"""Cases of a flag in pictures, pictures of a case, and cases named in the table."""


def page(checked: Checked, report: Mapping[str, Any], *, with_cases: bool) -> str:
    """The page; it holds images only `with_cases`, and never a text or an id that is not salted."""
    states = [check["state"] for check in report["checks"].values()]
    return templates.page(
        "medistill.data.check",
        "check.html",
        report=report,
        splits=checked.splits,
        states={state: states.count(state) for state in ("error", "warning")},
        checks=[
            {
                "title": check["title"],
                "state": check["state"],
                "mark": MARKS[check["state"]][0].removeprefix("- "),
                "flags": [(flag["said"], _named(flag)) for flag in check["flags"]],
                "advice": ADVICE[name],
            }
            for name, check in report["checks"].items()
        ],
        labels={
            finding: [_share(by_split[split]) for split in checked.splits]
            for finding, by_split in checked.labels.items()
        },
        pictured=_pictured(checked, report, shown=with_cases),
        with_cases=with_cases,
    )


def _named(flag: Mapping[str, Any]) -> str:
    """The first cases by row number and salted id; nothing where no case is a row."""
    if not flag["cases"]:
        return ""
    named = [" = ".join(f"{row['row']} ({row['id'][:8]})" for row in case[:4]) for case in flag["cases"]]
    more = f" and {flag['count'] - _NAMED:,} more in check.json" if flag["count"] > _NAMED else ""
    return f"{'; '.join(named[:_NAMED])}{more}"


def _share(counts: Mapping[str, int]) -> str:
    present, stated = counts["present"], counts["present"] + counts["absent"]
    return f"{present:,} of {stated:,} ({present / stated:.1%})" if stated else "not stated"


def _pictured(checked: Checked, report: Mapping[str, Any], *, shown: bool) -> list[dict[str, Any]]:
    """The flags whose cases are pictures, with the first of them if they are `shown`."""
    return [
        {
            "title": f"{CHECKS[name]}{': ' if flag['splits'] else ''}{' and '.join(flag['splits'])}",
            "cases": [[_film(checked, row) for row in case[:_ROWS_A_CASE]] for case in flag["cases"][:_SHOWN]]
            if shown
            else [],
        }
        for name in CHECKS
        if name in _PICTURED
        for flag in report["checks"][name]["flags"]
    ]


def _film(checked: Checked, row: Mapping[str, Any]) -> dict[str, Any]:
    try:
        with decoding():
            picture = data_url(decode_stored(checked.corpus.cell("image", row["row"])))
    except MedistillError:
        picture = None
    return {"picture": picture, "row": row["row"], "split": row["split"], "id": row["id"][:8]}
