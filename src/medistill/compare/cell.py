"""One cell of the comparison: a training run, its figures, its folder."""

import io
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from medistill.recipe import Recipe, to_config
from medistill.system.checksums import read_checked, write_checked
from medistill.system.json_files import read_json

CONFIG, RUN, RESULT = "config.json", "run", "result.json"
SPENT, SPREAD = "spent.json", "spread.npz"
Result = Mapping[str, Any]
"""What a cell came to: `failed` (a reason or None), `retry`, and if it trained its figures and costs."""


@dataclass(frozen=True, kw_only=True, eq=False)  # by identity: a recipe holds dicts and has no hash
class Cell:
    """One training run; a tuning trial if `trial` is set, else a final one with its evaluation."""

    label: str
    recipe: Recipe
    trial: int | None = None

    @property
    def name(self) -> str:
        """The folder's name. Budgets that ask for the same epochs share the cell."""
        if self.trial is not None:
            return f"tuning-{self.label}-{self.trial}"
        return f"final-{self.label}-{self.recipe.epochs}-{self.recipe.seed}"

    @property
    def final(self) -> bool:
        """Whether it reads the test split, once, at its end."""
        return self.trial is None

    def folder(self, out: Path) -> Path:
        return out / "cells" / self.name


def prepare_folder(cell: Cell, out: Path) -> Path:
    """The cell's folder, ready to start or to go on."""
    folder = cell.folder(out)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / RUN / CONFIG).is_file():  # a kill as early as that leaves nothing to go on from
        shutil.rmtree(folder / RUN, ignore_errors=True)
    (folder / RESULT).unlink(missing_ok=True)
    write_checked(folder / CONFIG, json.dumps(to_config(cell.recipe), indent=1) + "\n")
    return folder


def read_result(cell: Cell, out: Path) -> Result | None:
    """What the cell came to, or None if it has not come to an end."""
    path = cell.folder(out) / RESULT
    return read_json(path) if path.is_file() else None


def write_result(folder: Path, result: Result) -> None:
    """Leave what the cell came to in its folder."""
    write_json(folder / RESULT, result)


def write_json(path: Path, value: object) -> None:
    """Whole or not at all; a number that is none is an error, never written."""
    write_checked(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def failure(reason: str, *, retry: bool) -> Result:
    """The result of a cell that failed; `retry` if the next run of the command should try again."""
    return {"failed": reason, "retry": retry}


def read_spread(cell: Cell, out: Path) -> dict[str, Float[np.ndarray, " r"]]:
    """The resampled values of each figure, by task/metric."""
    with np.load(io.BytesIO(read_checked(cell.folder(out) / SPREAD)), allow_pickle=False) as file:
        return {name: file[name].astype(np.float64) for name in file.files}


def remove_large(cell: Cell, out: Path) -> None:
    """What a finished cell no longer needs: its checkpoint, and after tuning its model."""
    run = cell.folder(out) / RUN
    shutil.rmtree(run / "checkpoints", ignore_errors=True)
    if not cell.final:
        shutil.rmtree(run / "model", ignore_errors=True)
