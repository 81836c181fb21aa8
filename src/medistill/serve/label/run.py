"""Findings for new images: labels.csv, what it rests on, and the classifier that gave it."""

import functools
import json
import logging
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from medistill import __version__
from medistill.errors import CallError
from medistill.evaluate.prompts.own import own_prompts
from medistill.model.any_model import open_model
from medistill.model.embedder import UnitEmbedder
from medistill.model.fingerprint import model_hash
from medistill.serve.embedding import Batch, embedded
from medistill.serve.label.classifier import Classifier, read_classifier
from medistill.serve.label.images import CorpusImages, FolderImages, corpus_images, folder_images
from medistill.serve.label.table import Reached, UnfinishedTable, refuse_other, unfinished_table
from medistill.serve.label.wanted import Maker, Wanted, maker_of
from medistill.serve.reading import read_images
from medistill.system.atomic import write_atomically
from medistill.system.private import private_files
from medistill.system.progress import Progress

log = logging.getLogger(__name__)
UNREADABLE = "unreadable"
"""The last column: why an image has no figures."""


@private_files()
def label(
    model: str | Path,
    out: Path,
    wanted: Wanted,
    *,
    data: Path | None = None,
    images: Path | None = None,
    save: Path | None = None,
    follow_links: bool = False,
    workers: int = 0,
    device: str = "auto",
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Write `out`, a CSV file with a row an image, and beside it what it rests on; returns the latter.

    A run that was stopped goes on where it was, to the same bytes; a finished one is left as it is.
    CallError if what is there is of another call.

    data, images   a corpus, all of whose rows are labeled; or a folder, of which all image files are
    save           folder for the classifier; `out` with the suffix .classifier if not named
    follow_links   take what links in the folder lead to that lead out of it
    workers        processes that read files, with limits on memory and time; 0 reads them in this process
    """
    if out.suffix != ".csv":
        raise CallError(f"--out is {out.name}; give it a name that ends in .csv")
    sidecar, save = out.with_suffix(".json"), save or out.with_suffix(".classifier")
    find = functools.partial(folder_images, without=(out, sidecar, save), follow_links=follow_links)
    shown, maker, opened = _opened(model, wanted, data, images, find, workers=workers, device=device)
    embedder = UnitEmbedder(opened)
    about = {"sha256": model_hash(opened), "preprocessing": embedder.preprocessing}
    call = {"medistill": __version__, "model": about, "images": shown.described()}
    call = json.loads(json.dumps(call | {"classifier": maker.described()}))  # as it will be read again
    if (finished := _finished(out, sidecar, call)) is not None:
        log.info("%s is complete, and of the same call: nothing to do", out)
        return finished
    with unfinished_table(out, call) as table:
        if wanted.classifier is None and table.reached.images < len(shown):
            _check_free(save)
        classifier = _classifier(table, maker, embedder, about, on_progress)
        table.begin([*shown.columns, *header(classifier), UNREADABLE])
        _write_rows(table, shown, classifier, embedder, on_progress)
        if wanted.classifier is None:
            classifier.save(save)
        manifest = call | _account(table.reached, classifier, shown)
        write_atomically(sidecar, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
        table.finish(out)
    return manifest


def header(classifier: Classifier) -> list[str]:
    """Two columns a finding: the probability, or a figure that is none yet; and the decision."""
    return [
        name
        for finding, basis in zip(classifier.findings, classifier.basis, strict=True)
        for name in (
            f"{'probability' if basis.calibrated else 'uncalibrated'}/{finding}",
            f"present/{finding}",
        )
    ]


def _opened(
    model: str | Path,
    wanted: Wanted,
    data: Path | None,
    images: Path | None,
    find: Callable[..., FolderImages],
    *,
    workers: int,
    device: str,
) -> tuple[CorpusImages | FolderImages, Maker, Any]:
    """The images, where the classifier comes from, and the model: the cheap first."""
    if (data is None) == (images is None):
        raise CallError("give either --data CORPUS or --images DIR")
    shown = corpus_images(data) if data else None
    opened = open_model(model, device)
    square = UnitEmbedder(opened).square
    read = functools.partial(read_images, size=square, workers=workers)
    if shown is None:
        assert images is not None
        shown = find(images, read)
    else:
        shown = replace(shown, size=square)
    return shown, maker_of(wanted, shown, read, own_prompts(opened)), opened


def _finished(out: Path, sidecar: Path, call: dict[str, Any]) -> dict[str, Any] | None:
    """What a finished call of the same wrote; CallError if `out` is there and is not that."""
    if not out.exists() and not sidecar.exists():
        return None
    try:
        manifest = json.loads(sidecar.read_text("utf-8"))
        earlier = {name: manifest[name] for name in call}
    except (OSError, ValueError, KeyError, TypeError):
        there = out if out.exists() else sidecar
        raise CallError(f"{there} is there and not of `medistill label`: name another --out") from None
    if not out.exists():
        return None  # stopped just before the end, or removed to be written anew
    refuse_other(earlier, call, str(out))
    return manifest


def _check_free(save: Path) -> None:
    if save.exists() and (not save.is_dir() or any(save.iterdir())):
        raise CallError(f"{save} is there already: name another folder with --save, or remove it first")


def _classifier(
    table: UnfinishedTable,
    maker: Maker,
    model: UnitEmbedder,
    about: dict[str, Any],
    on_progress: Progress | None,
) -> Classifier:
    """The one a stopped run began with, or a new one, kept in case this run is stopped."""
    kept = table.folder / "classifier"
    if table.reached.end:
        return read_classifier(kept)
    classifier = maker.make(model, about, on_progress)
    classifier.save(kept)
    return classifier


def _write_rows(
    table: UnfinishedTable,
    shown: CorpusImages | FolderImages,
    classifier: Classifier,
    model: UnitEmbedder,
    on_progress: Progress | None,
) -> None:
    with closing(shown.seen(table.reached.images)) as seen:
        for batch in embedded(model, seen):
            start = table.reached.images
            names = shown.cells(start, start + len(batch.reasons))
            cells, present = _cells(batch, classifier)
            lines = [[*name, *row, why] for name, row, why in zip(names, cells, batch.reasons, strict=True)]
            table.append(lines, _after(table.reached, batch, present))
            if on_progress:
                on_progress("labeling", table.reached.images, len(shown))


def _cells(batch: Batch, classifier: Classifier) -> tuple[list[list[str]], Counter[str]]:
    """Each image's cells, empty where it cannot be read; in how many images each finding is present."""
    cells = [[""] * (2 * len(classifier.findings)) for _ in batch.reasons]
    present: Counter[str] = Counter()
    if batch.embeddings is None:
        return cells, present
    probabilities = classifier.probabilities(batch.embeddings)
    decisions = classifier.decisions(probabilities)
    for place, row, said in zip(batch.readable.nonzero()[0], probabilities, decisions, strict=True):
        cells[place] = [
            cell for p, is_said in zip(row, said, strict=True) for cell in (f"{p:.6f}", str(int(is_said)))
        ]
    present.update(dict(zip(classifier.findings, map(int, decisions.sum(axis=0)), strict=True)))
    return cells, present


def _after(reached: Reached, batch: Batch, present: Counter[str]) -> Reached:
    return Reached(
        images=reached.images + len(batch.reasons),
        unreadable=dict(Counter(reached.unreadable) + Counter(filter(None, batch.reasons))),
        present=dict(Counter(reached.present) + present),
    )


def _account(reached: Reached, classifier: Classifier, shown: CorpusImages | FolderImages) -> dict[str, Any]:
    """What came of it, and what each column rests on."""
    account: dict[str, Any] = {
        "labeled": reached.images - sum(reached.unreadable.values()),
        "unreadable": {
            "count": sum(reached.unreadable.values()),
            "reasons": dict(sorted(reached.unreadable.items())),
        },
        "classifier_sha256": classifier.sha256,
        "made_with": classifier.made_with,
        "findings": {
            finding: {"present": reached.present.get(finding, 0), **entry}
            for finding, entry in classifier.described().items()
        },
    }
    if isinstance(shown, FolderImages):
        account["files_not_taken_for_images"] = shown.others
    return account
