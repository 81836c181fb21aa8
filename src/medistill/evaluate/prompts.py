"""What is asked of the text encoder for each finding."""

from collections.abc import Mapping, Sequence

from medistill.errors import CallError

Prompts = Mapping[str, Mapping[str, Sequence[str]]]
"""Finding -> {"positive": [...], "negative": [...]}."""

SIDES = ("positive", "negative")
_TEMPLATES = {
    "positive": ("{}", "There is {}."),
    "negative": ("No {}.", "There is no {}."),
}


def resolve_prompts(
    findings: Sequence[str], given: Prompts | None, *, source: str
) -> dict[str, dict[str, list[str]]]:
    """The prompts of every finding: the given ones, else the phantom's own, else a plain template."""
    given = given or {}
    _check(given, findings)
    known: Prompts = {**_phantom_prompts(), **given} if source == "phantom" else given
    return {
        finding: {side: list(known[finding][side]) for side in SIDES}
        if finding in known
        else template(finding)
        for finding in findings
    }


def template(finding: str) -> dict[str, list[str]]:
    """Two prompts a side from the finding's name alone."""
    words = finding.replace("_", " ").strip()
    return {side: [text.format(words) for text in texts] for side, texts in _TEMPLATES.items()}


def _phantom_prompts() -> Prompts:
    from medistill.data.phantom import PROMPTS

    return PROMPTS


def _check(given: Prompts, findings: Sequence[str]) -> None:
    for finding, sides in given.items():
        texts: Mapping[str, object] = sides if isinstance(sides, Mapping) else {}  # pyright: ignore
        if finding not in findings:
            raise CallError(
                f"prompts for '{finding}', which the corpus does not label; it labels: {', '.join(findings)}"
            )
        for side in SIDES:
            if not _is_list_of_texts(texts.get(side)):
                raise CallError(f"prompts for '{finding}' need a list of one or more texts under '{side}'")


def _is_list_of_texts(value: object) -> bool:
    if not isinstance(value, list | tuple) or not value:
        return False
    return all(isinstance(text, str) and text.strip() for text in value)
