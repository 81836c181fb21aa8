"""Equal memory: every objective at the largest micro-batch that fits."""

import dataclasses
import json
import logging
from pathlib import Path

from medistill.atomic import write_atomically
from medistill.compare.comparison import Comparison
from medistill.plan import make_plan, with_micro_batch

log = logging.getLogger(__name__)

MICRO_BATCHES = "micro_batches.json"


def at_equal_memory(comparison: Comparison, out: Path) -> Comparison:
    """The comparison with the micro-batches that its memory allows; measured once and kept in `out`.

    An objective without a teacher has room for more pairs. The pairs of an optimizer step stay as near as
    can be. MedistillError if not one pair fits.
    """
    if not comparison.memory:
        return comparison
    path = out / MICRO_BATCHES
    if not path.is_file():
        log.info("measuring which micro-batches fit into memory")
        measured = {
            e.label: make_plan(e.recipe, memory=comparison.memory).largest for e in comparison.entrants
        }
        write_atomically(path, json.dumps(measured, indent=1) + "\n")
    sizes: dict[str, int] = json.loads(path.read_text())
    entrants = (
        dataclasses.replace(e, recipe=with_micro_batch(e.recipe, sizes[e.label])) for e in comparison.entrants
    )
    return dataclasses.replace(comparison, entrants=tuple(entrants))
