"""Which prompts the findings of a corpus get."""

from collections.abc import Sequence

from medistill.errors import CallError
from medistill.evaluate.prompts.own import asked
from medistill.evaluate.prompts.prompts import SIDES, Prompts, checked

GIVEN, PHANTOM = "given in a file", "the phantoms' own"
OWN = "the model's own, in the words of the reports it was trained on"
PLAIN = "plain templates"


def resolve_prompts(
    findings: Sequence[str], given: Prompts | None, *, source: str, own: Prompts | None = None
) -> dict[str, dict[str, list[str]]]:
    """The prompts of every finding: those given, else the phantom's own, the model's, or a template."""
    given = checked(given or {})
    unknown = [finding for finding in given if finding not in findings]
    if unknown:
        raise CallError(
            f"prompts for '{unknown[0]}', which the corpus does not label; it labels "
            f"{', '.join(findings) or 'nothing'}"
        )
    known = {**_of_source(source), **given}
    return {
        finding: {side: list(known[finding][side]) for side in SIDES}
        if finding in known
        else asked(finding, own)
        for finding in findings
    }


def origin_of(
    findings: Sequence[str], given: Prompts | None, *, source: str, own: Prompts | None = None
) -> str:
    """Whose the prompts are that `resolve_prompts` gives, several parted by a semicolon."""
    of_source, left = _of_source(source), [finding for finding in findings if finding not in (given or {})]
    rest = [finding for finding in left if finding not in of_source]
    origins = {
        GIVEN: len(left) < len(findings),
        PHANTOM: len(rest) < len(left),
        OWN if own else PLAIN: bool(rest),
    }
    return "; ".join(origin for origin, is_used in origins.items() if is_used)


def _of_source(source: str) -> Prompts:
    if source != "phantom":
        return {}
    from medistill.data.phantom.prompts import PROMPTS

    return PROMPTS
