"""A model card of a run, as the Hugging Face hub reads it: the text is in `templates`."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from medistill.errors import CallError
from medistill.serve.card.facts import Evaluated, Facts, gather
from medistill.serve.card.metadata import front_matter, number
from medistill.system.atomic import write_atomically
from medistill.system.locks import writing
from medistill.system.shown import in_line

UNKNOWN = "not stated"
_FEW = 25
"""A finding with fewer positive cases than this is named among the limits."""


def write_card(run: Path, out: Path, *, evaluations: Sequence[Path] = (), data: Path | None = None) -> Facts:
    """Write the card of `run` to `out`, from what is on disk alone; returns what it was written from.

    evaluations   folders that `medistill evaluate` wrote of this run
    data          the corpus it was trained on, of which counts alone are told
    CallError if one of them is of another model or corpus, or `out` is there already
    """
    if out.exists():
        raise CallError(f"{out} is there already, and may have been edited: name another --out, or remove it")
    facts = gather(run, evaluations=evaluations, data=data)
    with writing(out.parent):
        write_atomically(out, f"{front_matter(facts)}\n{body(facts)}")
    return facts


def body(facts: Facts, loading: str | None = None) -> str:
    """All sections, as Markdown; `loading` takes the place of the one that says how medistill loads it."""
    values = {"facts": facts, "trained_on": _trained_on(facts), "limits": _limits_of_figures(facts)}
    if loading is None:
        loading = _templates().get_template("use.txt").render()  # ruff would format the code in a .md
    return _templates().get_template("card.md").render(values, loading=loading.strip())


@cache
def _templates() -> Environment:
    """Of Markdown, not HTML: what is not ours goes through `plain`."""
    templates = Environment(
        loader=PackageLoader("medistill.serve.card"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters.update(plain=plain, code=code, number=number, whole="{:,}".format)
    return templates


def _trained_on(facts: Facts) -> str:
    if facts.corpus is None or "train" not in facts.corpus["splits"]:
        return UNKNOWN
    train, source = facts.corpus["splits"]["train"], facts.corpus.get("source")
    return f"{train['images']:,} images of {train['patients']:,} patients, source {source}"


def _limits_of_figures(facts: Facts) -> list[str]:
    if not facts.evaluations:
        return ["Not evaluated."]
    tasks = [task for evaluated in facts.evaluations for task in evaluated.metrics]
    slices = [task for task in tasks if "/" in task]
    lines = [_where(facts, evaluated) for evaluated in facts.evaluations]
    lines.append(
        "Figures by view, sex, age or source are among those above."
        if slices
        else "No figures by view, sex, age or source: whether it serves all groups alike is not known."
    )
    for evaluated in facts.evaluations:
        findings: Mapping[str, Mapping[str, Any]] = evaluated.account.get("findings", {})
        rare = [
            f"{plain(name)} ({entry['positive']})"
            for name, entry in findings.items()
            if entry["positive"] < _FEW
        ]
        if rare:
            lines.append(f"Fewer than {_FEW} positive cases on {plain(evaluated.source)}: {', '.join(rare)}.")
    missing = sum(
        entry["value"] is None
        for evaluated in facts.evaluations
        for entries in evaluated.metrics.values()
        for entry in entries.values()
    )
    return [*lines, f"{missing} figures are not defined on these data."] if missing else lines


def _where(facts: Facts, evaluated: Evaluated) -> str:
    name = plain(evaluated.source)
    tested = evaluated.account.get("corpus_sha256")
    if facts.corpus_sha256 is None or tested is None:
        return f"Whether the figures on {name} are of the training corpus or of another: {UNKNOWN}."
    if tested == facts.corpus_sha256:
        if evaluated.account.get("split") == "train":
            return f"The figures on {name} are of the training images: they say nothing of new ones."
        return (
            f"The figures on {name} are of other patients of the training corpus: elsewhere it may do worse."
        )
    return f"The figures on {name} are of another corpus than the model was trained on."


_MARKUP = re.compile(r"[\\|<`*\[\]_&~$]|(?<=www)\.|(?<=http):|(?<=https):", re.IGNORECASE)
"""What GitHub's Markdown, which the hub shows, takes for more: elements, entities, links, math."""


def plain(value: object) -> str:
    """On one line, and taken for words by whatever shows Markdown."""
    return _MARKUP.sub(r"\\\g<0>", in_line(str(value)))


def code(value: object) -> str:
    """On one line between back quotes, which nothing can end; there Markdown takes nothing for more."""
    return in_line(str(value)).replace("`", "'")
