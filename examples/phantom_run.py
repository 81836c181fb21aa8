"""What the other examples start from: a corpus of phantoms and a model pretrained on it, in seconds."""

import dataclasses
from pathlib import Path

from medistill.data.prepare import prepare
from medistill.data.sources import PhantomSource
from medistill.pretrain import pretrain
from medistill.recipe import quickstart

STUDIES = 200


def phantom_run(home: Path) -> tuple[Path, Path]:
    """(corpus, run) below `home`; of so little data a poor model, which shows the way alone."""
    corpus, run = home / "corpus", home / "run"
    prepare(PhantomSource(count=STUDIES), corpus, val=0.1, test=0.3)
    recipe = dataclasses.replace(quickstart(), epochs=2, window=64, min_patients=5)
    pretrain(recipe, corpus, run, watch=lambda pairs, of, loss: None)
    return corpus, run
