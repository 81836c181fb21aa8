"""Phantoms, pretraining and evaluation in one go."""

from pathlib import Path

from medistill.data.prepare import cores, prepare
from medistill.data.sources import PhantomSource
from medistill.evaluate.run import evaluate_run
from medistill.pretrain import pretrain
from medistill.progress import stages, training_bar
from medistill.recipe import quickstart as quickstart_recipe

STUDIES = 7000


def quickstart(out: Path, *, studies: int = STUDIES) -> None:
    """Make `out`/corpus, `out`/run and `out`/evaluation; what is there already is not made again."""
    corpus, run = out / "corpus", out / "run"
    if not corpus.exists():
        with stages() as on_progress:
            prepare(PhantomSource(count=studies), corpus, workers=cores(), on_progress=on_progress)
    with training_bar() as watch:
        pretrain(quickstart_recipe(), corpus, run, watch=watch)
    with stages() as on_progress:
        evaluate_run(run, corpus, out / "evaluation", on_progress=on_progress)
