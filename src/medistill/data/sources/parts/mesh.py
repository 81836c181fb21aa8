"""What people coded in a report, as labels."""

from collections.abc import Iterator, Sequence

from medistill.data.report.words import read_words

_TERMS: dict[str, list[str]] = read_words(__package__, "mesh.yaml")
_NOT_CODED = ("No Indexing",)
PREFIX = "mesh: "
"""Before the names of what people coded, since the rules know findings of the same names."""
CODED: tuple[str, ...] = tuple(f"{PREFIX}{name}" for name in _TERMS)
"""The labels that `coded_labels` gives."""


def coded_labels(terms: Sequence[str]) -> dict[str, int]:
    """Each of `CODED` as 1, or 0 where nobody coded it; nothing of a report that nobody coded.

    terms   as the XML has them: `Opacity/lung/base/left`
    """
    if not terms or tuple(terms) == _NOT_CODED:
        return {}
    stated = {form for term in terms for form in _forms(term)}
    return {f"{PREFIX}{name}": int(any(form in stated for form in of)) for name, of in _TERMS.items()}


def _forms(term: str) -> Iterator[str]:
    """The first words of a term, and these with each of its qualifiers."""
    head, *qualifiers = (part.strip() for part in term.split("/"))
    yield head
    yield from (f"{head}/{qualifier}" for qualifier in qualifiers)
