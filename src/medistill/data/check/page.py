"""What a check found as one HTML file that needs nothing else."""

from collections.abc import Mapping
from typing import Any

from medistill.data.check.flag import CHECKS, Flag
from medistill.data.check.run import Checked
from medistill.data.image import decode_stored
from medistill.errors import MedistillError
from medistill.html.document import document
from medistill.html.markup import Html, joined, section, tag
from medistill.html.picture import data_url

ADVICE: Mapping[str, str] = {
    "patients": "Give all rows of a patient one split, or leave the split out to have it by hash.",
    "studies": "A study under two patient ids is one patient's: mend the ids, then split again.",
    "identical_images": "Remove one of the two, or give both patients one id.",
    "near_identical_images": "The same picture in another encoding or size: treat it like an identical one.",
    "alike_images": "Look at them (--with-cases): windowed, written on, or one patient under two ids.",
    "shared_texts": "Common texts leak nothing: read recall on unique reports. Look up the rare ones.",
    "unreadable_images": "Find the files at the source and prepare again; training would stop at them.",
    "blank_images": "Nothing can be learned from them: leave them out at the source.",
    "inverted_images": "Compare the DICOM tag (MONOCHROME1) with the picture, and invert at the source.",
    "tiny_images": "Thumbnails, probably: find the full images.",
    "image_metadata": "Prepare the corpus again: medistill stores 8-bit grey pixels and nothing else.",
    "empty_texts": "Leave these rows out: a missing report must not be trained on.",
    "cut_texts": "Look for a column limit or a parser that stops early at the source.",
    "long_texts": "Choose the impression, put it first, or raise --max-tokens.",
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
    "tiny_images",
)
_SHOWN, _ROWS_A_CASE, _NAMED = 6, 3, 5
"""Cases of a flag in pictures, pictures of a case, and cases named in the table."""
_WORDS = {
    "error": "✗ error",
    "warning": "! warning",
    "note": "· note",
    "clear": "✓ clear",
    "one split": "one split",
}
_MORE_STYLE = """
.verdict { font-size: 18px; line-height: 1.45; max-width: 76ch; margin: 0 0 12px; }
.checks th, .checks td { vertical-align: top; padding-top: 9px; padding-bottom: 9px; }
.checks tbody th { width: 25%; }
.checks p { margin: 0 0 4px; }
.checks td p:last-child { margin-bottom: 0; }
.state { white-space: nowrap; }
.state.error { color: var(--second); font-weight: 680; }
.state.warning { font-weight: 620; }
.state.clear { color: var(--accent); }
.scroll { overflow-x: auto; }
.films { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 330px), 1fr)); gap: 16px; }
.films figure { margin: 0; display: flex; gap: 8px; align-items: flex-start; }
.films div { flex: 1; min-width: 0; max-width: 162px; font-size: 12px; color: var(--soft);
  overflow-wrap: anywhere; }
.films img { display: block; width: 100%; border-radius: 5px; margin-bottom: 4px; }
.films + h3, .note + h3 { margin-top: 24px; }
"""


def page(checked: Checked, report: Mapping[str, Any], *, with_cases: bool) -> str:
    """The page; it holds images only `with_cases`, and never a text or an id that is not salted."""
    return document(
        "medistill check",
        _header(checked, report),
        _checks_section(report),
        _labels_section(checked),
        _cases_section(checked, report, shown=with_cases),
        _method_section(report),
        more_style=_MORE_STYLE,
    )


def _header(checked: Checked, report: Mapping[str, Any]) -> Html:
    corpus = report["corpus"]
    drawn = "phantom corpus" if corpus["source"] == "phantom" else f"corpus from {corpus['source']}"
    counts = {name: corpus[name] for name in ("images", "patients")}
    lead = f"A {drawn} in {len(checked.splits)} split{'s' * (len(checked.splits) != 1)}: "
    by_split = corpus["images_by_split"]
    lead += ", ".join(f"{name} {by_split[name] or 0:,} images" for name in checked.splits)
    severities = [check["state"] for check in report["checks"].values()]
    counts |= {f"checks with {what}s": severities.count(what) for what in ("error", "warning")}
    tiles = [
        tag("div", tag("dt", name.capitalize()), tag("dd", f"{count or 0:,}", class_="value"), class_="tile")
        for name, count in counts.items()
    ]
    title = "This corpus can be used" if report["passed"] else "Not to be used as it is"
    return tag(
        "header",
        tag("div", "medistill check", class_="eyebrow"),
        tag("h1", title),
        tag("p", f"{report['verdict'][0].upper()}{report['verdict'][1:]}.", class_="verdict"),
        tag("p", f"{lead}.", class_="lead"),
        tag("dl", tiles, class_="tiles"),
    )


def _checks_section(report: Mapping[str, Any]) -> Html:
    head = tag("tr", [tag("th", name, scope="col") for name in ("Check", "", "Found, and what to do")])
    rows = [_check_row(name, check) for name, check in report["checks"].items()]
    return section(
        "checks",
        "The checks",
        tag("div", tag("table", tag("thead", head), tag("tbody", rows), class_="checks"), class_="card"),
    )


def _check_row(name: str, check: Mapping[str, Any]) -> Html:
    found = [joined(tag("p", flag["said"]), _named(flag)) for flag in check["flags"]]
    advice = tag("p", ADVICE[name], class_="quiet") if found else None
    state = check["state"]
    return tag(
        "tr",
        tag("th", check["title"], scope="row"),
        tag("td", _WORDS[state], class_=f"state {state.split()[0]}"),
        tag("td", found or tag("span", "nothing", class_="quiet"), advice),
    )


def _named(flag: Mapping[str, Any]) -> Html | None:
    """The first cases by row number and salted id."""
    if not flag["cases"]:
        return None
    named = [" = ".join(f"{row['row']} ({row['id'][:8]})" for row in case[:4]) for case in flag["cases"]]
    more = f" and {flag['count'] - _NAMED:,} more in check.json" if flag["count"] > _NAMED else ""
    listed = "; ".join(named[:_NAMED])
    return tag("p", f"rows {listed}{more}", class_="quiet")


def _labels_section(checked: Checked) -> Html | None:
    if not checked.labels:
        return None
    head = tag(
        "tr",
        tag("th", "Finding", scope="col"),
        [tag("th", split, class_="number", scope="col") for split in checked.splits],
    )
    rows = [
        tag(
            "tr",
            tag("th", finding, scope="row"),
            [tag("td", _share(by_split[split]), class_="number") for split in checked.splits],
        )
        for finding, by_split in checked.labels.items()
    ]
    note = "Images with the finding present, of those where it is stated as present or absent."
    return section(
        "labels",
        "Findings by split",
        tag("p", note, class_="note"),
        tag("div", tag("table", tag("thead", head), tag("tbody", rows)), class_="card scroll"),
    )


def _share(counts: Mapping[str, int]) -> str:
    present, stated = counts["present"], counts["present"] + counts["absent"]
    return f"{present:,} of {stated:,} ({present / stated:.1%})" if stated else "not stated"


def _cases_section(checked: Checked, report: Mapping[str, Any], *, shown: bool) -> Html | None:
    flags = [(name, flag) for name, found in checked.by_check.items() for flag in found if name in _PICTURED]
    if not flags:
        return None
    withheld = (
        "Images are left out of this page. medistill check --with-cases adds the worst cases of each check: "
        "do that only where whoever opens the page may see them."
    )
    note = "The worst cases of each check, with their split, row number and salted id."
    return section(
        "cases",
        "Images",
        tag("p", note if shown else withheld, class_="note"),
        [_pictured(checked, report, name, flag) for name, flag in flags] if shown else None,
    )


def _pictured(checked: Checked, report: Mapping[str, Any], name: str, flag: Flag) -> Html:
    place = checked.by_check[name].index(flag)
    cases = report["checks"][name]["flags"][place]["cases"][:_SHOWN]
    figures = [tag("figure", [_film(checked, row) for row in case[:_ROWS_A_CASE]]) for case in cases]
    where = f": {' and '.join(flag.splits)}" if flag.splits else ""
    return joined(tag("h3", f"{CHECKS[name]}{where}"), tag("div", figures, class_="films card"))


def _film(checked: Checked, row: Mapping[str, Any]) -> Html:
    label = f"{row['split']} · row {row['row']} · {row['id'][:8]}"
    try:
        image = decode_stored(checked.corpus.cell("image", row["row"]))
    except MedistillError:
        return tag("div", f"{label}: cannot be read")
    return tag("div", tag("img", src=data_url(image), alt=f"Row {row['row']}"), label)


def _method_section(report: Mapping[str, Any]) -> Html:
    limits = report["thresholds"]
    facts = {
        "Near-identical": "correlation of two images' low cosine waves, weighted by frequency, and median "
        f"correlation of 16 tiles of both: {limits['near_identical']:g} or more in both scores. A negative "
        f"counts as the same image. From {limits['alike']:g} on they are much alike, told for images of "
        f"{limits['alike_least_pixels']} pixels or more.",
        "Not seen": "crops of more than a few percent, turned or mirrored copies, black bars around a copy.",
        "Inverted-looking": f"correlation with the mean of drawn chest radiographs below "
        f"{limits['inverted_below']:g}, surely below {limits['surely_inverted_below']:g}. It holds for chest "
        "radiographs; for CT, MR and other regions it is a hint at best.",
        "Identifiers": "patterns for what is written plainly. They find no name without a title: an aid, "
        "no guarantee.",
        "Rows": "numbers are rows of the corpus, from 0. Ids are salted hashes of study ids.",
        "Corpus": f"SHA-256 {report['corpus']['sha256']}",
    }
    return section(
        "method",
        "How this was checked",
        tag("dl", [joined(tag("dt", name), tag("dd", text)) for name, text in facts.items()], class_="facts"),
    )
