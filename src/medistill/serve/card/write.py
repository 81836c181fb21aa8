"""A model card of a run, as the Hugging Face hub reads it."""

from collections.abc import Sequence
from pathlib import Path

from medistill.errors import CallError
from medistill.serve.card.facts import Facts, gather
from medistill.serve.card.metadata import front_matter
from medistill.serve.card.text import body
from medistill.system.atomic import write_atomically


def write_card(run: Path, out: Path, *, evaluations: Sequence[Path] = (), data: Path | None = None) -> Facts:
    """Write the card of `run` to `out`, from what is on disk alone; returns what it was written from.

    evaluations   folders that `medistill evaluate` wrote of this run
    data          the corpus it was trained on, of which counts alone are told
    CallError if one of them is of another model or corpus, or `out` is there already
    """
    if out.exists():
        raise CallError(f"{out} is there already, and may have been edited: name another --out, or remove it")
    facts = gather(run, evaluations=evaluations, data=data)
    write_atomically(out, f"{front_matter(facts)}\n{body(facts)}")
    return facts
