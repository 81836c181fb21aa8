"""`medistill prepare`: its flags, and what it says of a corpus."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from medistill.cli.terminal import print_json, say, stages
from medistill.errors import CallError
from medistill.system.private import files_for


def prepare(
    source: Any,
    *,
    out: Path,
    val: float = 0.1,
    test: float = 0.1,
    engine: Literal["local", "ray"] = "local",
    workers: int = 0,
    limit: int = 0,
    allow_rejects: bool = False,
    show_paths: bool = False,
    deidentify: Path | None = None,
    scrub: str = "",
    group_readable: bool = False,
    json: bool = False,
) -> None:
    """Turn source files into a corpus: one row per image, split by patient.

    Example: medistill prepare csv reports.csv --out corpus --text findings impression --patient-id subject

    Args:
        source: What to read.
        out: Corpus folder to make.
        val: Share of the patients in the validation split, where the source has no splits of its own.
        test: Share of the patients in the test split, where the source has no splits of its own.
        engine: Who runs the processes that read images: this command, or Ray Data (pip install
            'medistill[ray]'), on other machines too if RAY_ADDRESS names a cluster. The corpus is the same.
        workers: Processes that read images; 0 takes one a core.
        limit: Stop after so many studies and rejects; 0 reads all.
        allow_rejects: Go on when more than a tenth of the rows cannot be used.
        show_paths: Name the files in rejected.csv instead of giving salted ids.
        deidentify: Give studies and patients other ids by the secret key in this file, made if missing,
            shift dates by patient and cap ages over 89. An aid, no guarantee.
        scrub: With --deidentify: MODULE:FUNCTION of yours that gives a report's text without names.
        group_readable: Let the group read what is written; its owner alone reads it otherwise.
        json: Print the corpus's card as JSON on standard output.
    """
    from medistill.data.prepare.deidentify import Deidentifier, read_key, scrub_function
    from medistill.data.prepare.run import prepare as run
    from medistill.system.isolated import cores

    if scrub and not deidentify:
        raise CallError("--scrub goes with --deidentify KEY")
    function = scrub_function(scrub) if scrub else None
    change = Deidentifier(key=read_key(deidentify, out), scrub=function) if deidentify else None
    with files_for(group=group_readable), stages() as on_progress:
        card = run(
            source,
            out,
            engine=engine,
            workers=workers or (cores() if engine == "local" else 0),
            limit=limit,
            val=val,
            test=test,
            allow_rejects=allow_rejects,
            show_paths=show_paths,
            deidentify=change,
            on_progress=on_progress,
        )
    report_card(card, out, json)


def report_card(card: Mapping[str, Any], out: Path, as_json: bool) -> None:
    if as_json:
        print_json(card)
    for name, counts in card["splits"].items():
        listed = ", ".join(f"{count:,} {what}" for what, count in counts.items() if isinstance(count, int))
        say(f"{name:<6} {listed}")
    _say_unified(card.get("patient_ids"))
    from medistill.data.sources.parts.reports import WHOLE_TEXTS

    if whole := card.get(WHOLE_TEXTS):
        say(f"{whole:,} texts are kept whole: their headers are of a language that is not known")
    for kind, what in (("rejected", "set aside"), ("skipped", "skipped by rule")):
        entry = card.get(kind)
        if entry and entry["count"]:
            say(f"{entry['count']:,} rows {what}, see {out / 'rejected.csv'}:")
            for reason, count in entry["reasons"].items():
                say(f"  {count:>6,}  {reason}")
    say(f"corpus: {out}")


def _say_unified(unified: Mapping[str, Any] | None) -> None:
    """Which spellings of patient ids were taken as one."""
    from medistill.data.ids import counted_kinds

    if unified:
        kinds = counted_kinds(unified["by"])
        say(f"{unified['unified']:,} other spellings of patient ids ({kinds}), split as the ids they are")
        if torn := unified.get("in_two_splits"):
            say(f"  {torn:,} of them in two splits by the source's own `split`: `medistill check` names them")
