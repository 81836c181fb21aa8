"""The body of a model card: what the model is, rests on, and must not be used for."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from medistill.serve.card.facts import Evaluated, Facts
from medistill.serve.card.metadata import number

UNKNOWN = "not stated"
_FEW = 25
"""A finding with fewer positive cases than this is named among the limits."""


def body(facts: Facts, loading: str | None = None) -> str:
    """All sections, as Markdown; `loading` takes the place of the one that says how medistill loads it."""
    sections = (_summary, _use, _data, _recipe, _figures, _protocols, _limits)
    parts = [*(section(facts) for section in sections), _loading() if loading is None else loading.strip()]
    return "\n\n".join(parts) + "\n"


def _summary(facts: Facts) -> str:
    recipe, parameters = facts.recipe, facts.parameters
    towers = " and ".join(f"{recipe[name]['type']} for {name}s" for name in ("image", "text"))
    return (
        f"# {facts.name}\n\n"
        f"A dual encoder of images and reports ({plain(towers)}; {parameters['in all']:,} parameters, "
        f"{parameters['image tower']:,} of them in the image tower) into one space of width {recipe['dim']}, "
        f"pretrained by medistill with the objective `{plain(recipe['objective'])}`.\n\n"
        f"SHA-256 of the weights: `{facts.sha256}`\n\n"
        "**Not a medical device.** License, language of the reports and contact are for whoever publishes "
        "the model to fill in; this card was written from what is on disk, and says "
        f'"{UNKNOWN}" where that is silent.'
    )


def _use(facts: Facts) -> str:
    return _section(
        "Intended use",
        _listed(
            (
                "Research on vision-language models: embeddings, zero-shot and few-shot findings, search "
                "among images and reports.",
                "Sorting and searching one's own archive, where a person looks at what is found.",
                "Out of scope: diagnosis, triage, and any decision about a patient. It is no medical device "
                "and has no clearance as one.",
            )
        ),
    )


def _data(facts: Facts) -> str:
    card = facts.corpus
    if card is None:
        known = f"SHA-256 `{facts.corpus_sha256}`" if facts.corpus_sha256 else UNKNOWN
        return _section("Training data", f"Corpus: {known}. Source, counts and splits: {UNKNOWN}.")
    drawn = " (radiographs drawn by a program, of nobody)" if card.get("source") == "phantom" else ""
    counts = _table(
        ("Split", "Images", "Studies", "Patients"),
        [
            (name, *(f"{split[unit]:,}" for unit in ("images", "studies", "patients")))
            for name, split in card["splits"].items()
        ],
    )
    told = (
        f"Source: {plain(str(card.get('source') or UNKNOWN))}{drawn}. Split by patient; the split `train` "
        f"was trained on. SHA-256 of the corpus: `{card['sha256']}`. "
        f"{card.get('rejected', {}).get('count', 0):,} rows of the source could not be used."
    )
    return _section("Training data", told, counts, _labels(card))


def _labels(card: Mapping[str, Any]) -> str:
    findings: Mapping[str, Mapping[str, int]] = card["splits"].get("train", {}).get("findings", {})
    if not findings:
        return "Labels in `train`: none."
    states = ("present", "absent", "uncertain")
    rows = [(name, *(f"{counts.get(s, 0):,}" for s in states)) for name, counts in findings.items()]
    return _table(("Finding in train, images", *states), rows)


def _recipe(facts: Facts) -> str:
    recipe = facts.recipe
    rows = [(name, value) for name, value in recipe.items() if isinstance(value, str | int | float)]
    for name in ("image", "text"):
        tower = recipe[name]
        rows.append((f"{name} tower", f"{tower['type']}, {tower['pretrained'] or 'from random weights'}"))
    done = f"{facts.last['epoch']:g} epochs, {facts.last['pairs']:,} pairs" if facts.last else UNKNOWN
    chosen = f"the validation at epoch {facts.best['epoch']:g}" if facts.best else UNKNOWN
    told = f"Trained: {done}. The weights are those of {chosen}. Machine and time: {UNKNOWN}."
    shown = [(name, value if value not in ("", None) else "none") for name, value in rows]
    return _section("Recipe", told, _table(("Field", "Value"), shown))


def _figures(facts: Facts) -> str:
    if not facts.evaluations:
        return _section("Figures", "Not evaluated: no claim is made of how good the model is.")
    note = "Intervals are 95 %, resampled by patient."
    parts = [part for evaluated in facts.evaluations for part in _figures_of(evaluated)]
    return _section("Figures", note, *parts)


def _figures_of(evaluated: Evaluated) -> Iterable[str]:
    for task, entries in evaluated.metrics.items():
        yield f"### {plain(task)}, on {plain(evaluated.source)} ({plain(evaluated.split(task))})"
        yield _table(
            ("Figure", "Value", "95 % interval", "Images", "Patients"),
            [(name, *_cells(entry)) for name, entry in entries.items()],
        )


def _cells(entry: Mapping[str, Any]) -> tuple[str, ...]:
    counts = f"{entry['n_images']:,}", f"{entry['n_patients']:,}"
    if entry["value"] is None:
        return (f"not defined: {entry.get('reason', UNKNOWN)}", "", *counts)
    return number(entry["value"]), f"{number(entry['low'])} to {number(entry['high'])}", *counts


def _protocols(facts: Facts) -> str:
    parts: list[str] = []
    for evaluated in facts.evaluations:
        accounts: Mapping[str, Any] = evaluated.account.get("protocols") or {"": evaluated.account}
        for name, account in accounts.items():
            parts += _account(name, evaluated, account)
    return _section("Protocol and prompts", *(parts or ["Not evaluated."]))


def _account(name: str, evaluated: Evaluated, account: Mapping[str, Any]) -> list[str]:
    """Options and prompts; what else the account holds are figures, or long."""
    title = name or f"{evaluated.source} ({account.get('split', UNKNOWN)})"
    told = {
        key: value
        for key, value in {**evaluated.account, **account}.items()
        if isinstance(value, str | int | float) and key not in ("prompts", "findings")
    }
    options = _table(("What", "Value"), [(key.replace("_", " "), value) for key, value in told.items()])
    prompts: Mapping[str, Mapping[str, Sequence[str]]] = account.get("prompts") or {}
    rows = [
        (finding, *("; ".join(sides.get(side, ())) for side in ("positive", "negative")))
        for finding, sides in prompts.items()
    ]
    asked = _table(("Finding", "Asked as present", "Asked as absent"), rows) if rows else "Prompts: none."
    return [f"### {plain(str(title))}", options, asked]


def _limits(facts: Facts) -> str:
    recipe, card = facts.recipe, facts.corpus
    cut = f"Reports are cut to {recipe['max_tokens']} tokens; their language: {UNKNOWN}."
    seen = f"Images are seen as {recipe['size']} x {recipe['size']} pixels of grey: smaller things are lost."
    size = UNKNOWN
    if card is not None and "train" in card["splits"]:
        train = card["splits"]["train"]
        size = f"{train['images']:,} images of {train['patients']:,} patients, source {card.get('source')}"
    lines = [
        seen,
        cut,
        f"Trained on: {plain(size)}. Hospitals, devices, countries, views, ages and sexes: {UNKNOWN}.",
        *_limits_of_figures(facts),
    ]
    return _section("Limits", _listed(lines))


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


def _loading() -> str:
    code = (
        "```python\n"
        "import medistill\n\n"
        'model = medistill.load("FOLDER OF THE MODEL")\n'
        "model.encode_images(images)   # PIL images -> unit rows\n"
        "model.encode_texts(texts)\n"
        "```"
    )
    return _section("Use it", code, "`medistill label`, `medistill evaluate` do the rest.")


def _section(title: str, *parts: str) -> str:
    return "\n\n".join((f"## {title}", *parts))


def _listed(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(plain(str(cell)) for cell in line)} |" for line in lines)


def plain(text: str) -> str:
    """On one line, and taken for words by whatever shows Markdown."""
    for mark in ("\\", "|", "<", "`", "*", "[", "_"):
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())
