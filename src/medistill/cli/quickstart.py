"""`medistill quickstart`: phantoms, pretraining and evaluation in one go."""

import shutil
from pathlib import Path

from medistill.cli.evaluate import report_figures
from medistill.cli.terminal import say, stages, training_bar

STUDIES = 7000
QUICKSTART = Path("quickstart")
"""The folder that `medistill serve` looks for without a model."""


def quickstart(*, out: Path = QUICKSTART, json: bool = False) -> None:
    """Draw a corpus of phantoms, pretrain on it, evaluate and write a page: two minutes on two cores.

    Example: medistill quickstart --out quickstart

    Args:
        out: Folder to make; a quickstart that was stopped goes on where it was.
        json: Print the figures as JSON on standard output.
    """
    run_quickstart(out)
    report_figures(out / "evaluation", json)


def run_quickstart(out: Path, *, studies: int = STUDIES) -> None:
    """Make `out`/corpus, `out`/run and `out`/evaluation; what is there already is not made again."""
    from medistill.data.prepare.run import prepare
    from medistill.data.sources import PhantomSource
    from medistill.evaluate.run import evaluate_run
    from medistill.pretrain import pretrain
    from medistill.recipe import quickstart as recipe
    from medistill.system.isolated import cores

    corpus, run = out / "corpus", out / "run"
    if not corpus.exists():
        with stages() as on_progress:
            prepare(PhantomSource(count=studies), corpus, workers=cores(), on_progress=on_progress)
    with training_bar() as watch:
        pretrain(recipe(), corpus, run, watch=watch)
    with stages() as on_progress:
        evaluate_run(run, corpus, out / "evaluation", on_progress=on_progress)


def made_quickstart(folder: Path) -> tuple[str, str]:
    """Model and index of the quickstart in a folder; what is missing of it is made, in two minutes."""
    if not (folder / "evaluation" / "page.html").is_file():
        say(f"making the quickstart in {folder.absolute()}: two minutes")
        run_quickstart(folder)
    run, index = folder / "run", folder / "index"
    if not _is_index_of(index, run):
        _index_anew(run, folder / "corpus", index)
    return str(run), str(index)


def _is_index_of(index: Path, run: Path) -> bool:
    """Whether there is a filled index of that run's model."""
    from medistill.model.any_model import open_model
    from medistill.model.fingerprint import model_hash
    from medistill.serve.index.index import open_index

    if not index.exists():
        return False
    opened = open_index(index)
    try:
        return bool(opened.about.corpora) and opened.about.model_sha256 == model_hash(open_model(run))
    finally:
        opened.close()


def _index_anew(run: Path, corpus: Path, index: Path) -> None:
    from medistill.serve.index.embed import embed
    from medistill.serve.index.index import fill

    shutil.rmtree(index, ignore_errors=True)  # of a quickstart that was made before this one
    table = index.with_suffix(".arrow")
    table.unlink(missing_ok=True)
    with stages() as on_progress:
        embed(run, corpus, table, on_progress=on_progress)
        fill(index, table, kind=None, delete=(), on_progress=on_progress)
    table.unlink()  # the index holds all of it
