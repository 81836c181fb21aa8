"""What a model card is written from: a run, its corpus, its evaluations."""

import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medistill.data.corpus import CARD, open_corpus
from medistill.data.folds import FoldedCorpus, in_fold
from medistill.engine.checkpoint import load_checkpoint
from medistill.engine.track import best_validation, read_track
from medistill.errors import CallError
from medistill.evaluate.files import ACCOUNT, METRICS
from medistill.evaluate.statistics.interval import Metrics
from medistill.model.dual import DualEncoder
from medistill.model.fingerprint import model_hash
from medistill.model.saved import load
from medistill.system.checksums import read_checked
from medistill.system.json_files import read_json

log = logging.getLogger(__name__)
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+|timm:[\w.-]+")


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """One folder of figures of the model."""

    metrics: Mapping[str, Metrics]
    account: Mapping[str, Any]

    @property
    def source(self) -> str:
        return str(self.account.get("source") or "not stated")

    def split(self, task: str) -> str:
        """The split that the figures of a task are of."""
        return str(self.about(task).get("split", "not stated"))

    def about(self, task: str) -> Mapping[str, Any]:
        """How the figures of a task came about: a protocol's own account, or that of the whole."""
        protocols: Mapping[str, Any] = self.account.get("protocols", {})
        return protocols.get(task.removeprefix("protocol:"), self.account)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that is known; what is not is None, and never guessed."""

    recipe: Mapping[str, Any]
    sha256: str
    parameters: Mapping[str, int]
    """Of the image tower, the text tower, and both with their projections."""
    last: Mapping[str, Any]
    """The last line of metrics.jsonl."""
    best: Mapping[str, Any] | None
    """The validation whose model the run delivers."""
    corpus: Mapping[str, Any] | None
    """The card of the training corpus."""
    corpus_sha256: str | None
    evaluations: tuple[Evaluated, ...]

    @property
    def name(self) -> str:
        """For people and leaderboards; says nothing of the folder."""
        return f"{self.recipe['name']}-{self.recipe['objective']}"


def gather(run: Path, *, evaluations: Sequence[Path] = (), data: Path | None = None) -> Facts:
    """The facts of a run; CallError if a corpus or evaluation named is of another run.

    Those not named are looked for where the quickstart leaves them: beside the run, or within it.
    """
    recipe = _recipe(run)
    model = load(run)
    sha256 = str(model_hash(model))
    trained_on = _trained_on(run)
    return Facts(
        recipe=recipe,
        sha256=sha256,
        parameters=_parameters(model),
        last=next(iter(reversed(read_track(run))), {}),
        best=best_validation(run),
        corpus=_corpus(run, data, trained_on, recipe),
        corpus_sha256=trained_on,
        evaluations=tuple(_evaluations(run, evaluations, sha256)),
    )


def _recipe(run: Path) -> dict[str, Any]:
    """The recipe as it stands, with the names of local folders left out."""
    try:
        recipe: dict[str, Any] = json.loads(read_checked(run / "config.json"))
        towers = {name: {**recipe[name], "pretrained": _origin(recipe[name])} for name in ("image", "text")}
        init = "a model of medistill" if recipe.get("init") else ""
        return {**recipe, **towers, "init": init, "objective": recipe["objective"], "name": recipe["name"]}
    except (OSError, ValueError, KeyError, TypeError):
        raise CallError(
            f"no run in {run}: expected the config.json that `medistill train` writes there"
        ) from None


def _origin(tower: Mapping[str, Any]) -> str:
    name = str(tower.get("pretrained") or "")
    if not name:
        return ""
    is_public = _HUB_NAME.fullmatch(name) and not Path(name.removeprefix("timm:")).exists()
    return name if is_public else "weights from a local folder"


def _parameters(model: DualEncoder) -> dict[str, int]:
    parts = {"image tower": model.image, "text tower": model.text, "in all": model}
    return {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}


def _trained_on(run: Path) -> str | None:
    """The hash of the corpus that the run's checkpoint names; None where there is no checkpoint."""
    checkpoint = load_checkpoint(run / "checkpoints")
    return checkpoint["start"]["corpus"] if checkpoint and "start" in checkpoint else None


def _corpus(
    run: Path, data: Path | None, trained_on: str | None, recipe: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """The card of the corpus named, or of one beside the run if it is the one the run was trained on."""
    if data is not None:
        card = _card(data, recipe)
        if trained_on not in (None, card["sha256"]):
            raise CallError(f"the run was trained on another corpus than {data}; name that one with --data")
        return card
    beside = run.absolute().parent / "corpus"
    if trained_on is None or not (beside / CARD).is_file():
        return None
    card = _card(beside, recipe)
    return card if card["sha256"] == trained_on else None


def _card(data: Path, recipe: Mapping[str, Any]) -> Mapping[str, Any]:
    """With the splits that the recipe trains with."""
    corpus = in_fold(open_corpus(data), fold=recipe.get("fold", 0), folds=recipe.get("folds", 0))
    return corpus.counted_card if isinstance(corpus, FoldedCorpus) else corpus.card


def _evaluations(run: Path, named: Sequence[Path], sha256: str) -> list[Evaluated]:
    evaluations: list[Evaluated] = []
    for folder in named or (run.absolute().parent / "evaluation", run / "evaluation"):
        if not (folder / METRICS).is_file() and not named:
            continue
        evaluated = _read(folder)
        if evaluated.account.get("model_sha256") == sha256:
            evaluations.append(evaluated)
        elif named:
            raise CallError(f"the evaluation in {folder} is of another model; evaluate this run again")
        else:
            log.info("%s is of another model, left out", folder)
    return evaluations


def _read(folder: Path) -> Evaluated:
    absent = f"no evaluation in {folder}: expected {METRICS} and {ACCOUNT}, which `medistill evaluate` writes"
    return Evaluated(metrics=read_json(folder / METRICS, absent), account=read_json(folder / ACCOUNT, absent))
