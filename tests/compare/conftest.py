"""Comparisons of tiny recipes, and cells that have ended without having run."""

import numpy as np
import pytest

from medistill.compare.cell import RESULT, SPREAD, Cell, write_result
from medistill.compare.comparison import Comparison
from medistill.compare.entrant import make_entrants
from medistill.compare.worker import write_spread
from tests.conftest import tiny_recipe

UNIQUE, SHOTS = "mean_r@10_unique", "auroc_macro@16"


def tiny_comparison(labels=("clip", "msd"), settings=None, **changes) -> Comparison:
    """Two objectives, two seeds, nothing tuned, equal samples."""
    recipe = changes.pop("recipe", tiny_recipe())
    values = {"baseline": "clip", "seeds": 2, "trials": 0, "budgets": ("samples",)}
    entrants = make_entrants(recipe, labels, settings or {})
    return Comparison(recipe=recipe, entrants=entrants, **{**values, **changes})


def entry(value, **more):
    return {"value": value, "low": value, "high": value, "n_images": 400, "n_patients": 200, **more}


def trained(recall: float = 0.5, **changes) -> dict:
    """What a cell that trained says of itself."""
    values = {
        "failed": None,
        "retry": False,
        "recall": recall,
        "validation": {"val/loss": 2.0},
        "pairs": 80,
        "steps": 20,
        "device": "cpu",
        "pairs_per_second": 100.0,
        "cpu_ms_per_pair": 4.0,
        "teacher_half_life_pairs": None,
        "seconds": 10.0,
        "cpu_seconds": 8.0,
        "peak_memory_bytes": 2**29,
    }
    return {**values, **changes}


def end(cell: Cell, out, unique: float = 0.5, shots: float = 0.8, spread: float = 0.01, **changes) -> None:
    """Leave the result of a final cell: two figures whose resamples lie about them."""
    folder = cell.folder(out)
    retrieval = {UNIQUE: entry(unique), "i2t_r@10": entry(unique), "chance_r@10": entry(0.05)}
    metrics = {"retrieval": retrieval, "few_shot": {SHOTS: entry(shots)}}
    about = spread * np.random.default_rng(0).standard_normal(200)
    values = {"retrieval/chance_r@10": 0.05 + 0 * about, "few_shot/auroc_macro@16": shots + about}
    values |= {f"retrieval/{UNIQUE}": unique + about, "retrieval/i2t_r@10": unique + about}
    write_result(folder, trained(metrics=metrics, **changes))
    write_spread(folder / SPREAD, values)
    assert (folder / RESULT).is_file()


@pytest.fixture
def comparison() -> Comparison:
    return tiny_comparison()
