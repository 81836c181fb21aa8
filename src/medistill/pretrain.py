"""From corpus and recipe to a run folder."""

import fcntl
import json
import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch

from medistill.atomic import write_atomically
from medistill.data.corpus import Rows, open_corpus, training_rows
from medistill.data.image import letterbox
from medistill.data.loader import WindowLoader
from medistill.engine.checkpoint import load_checkpoint
from medistill.engine.loop import Trainer, Validate, Watch
from medistill.engine.optimizer import make_fabric
from medistill.errors import CallError
from medistill.evaluate.embed import gallery_of, studies_of
from medistill.evaluate.retrieval import validation_metrics
from medistill.model.dual import DualEncoder, build_model, load
from medistill.model.tokenizer import tokenize
from medistill.objective import in_batch_contrast
from medistill.recipe import Recipe, differing_fields, read_config, to_config


def pretrain(recipe: Recipe, data: Path, run: Path, *, watch: Watch) -> None:
    """Train `recipe` on the corpus at `data`; goes on from the newest checkpoint in `run`.

    CallError if the window is larger than the corpus, or `run` holds a run of another recipe or corpus.
    """
    corpus = open_corpus(data)
    rows, validation = training_rows(corpus)
    check_fits(recipe, rows, validation)
    check_run(recipe, run)
    fabric = make_fabric(recipe.precision)
    torch.manual_seed(recipe.seed)
    model = load(recipe.init) if recipe.init else build_model(recipe, rows.texts, rows.patient_ids)
    check_model(recipe, model)
    loader = WindowLoader(
        rows.image,
        rows.texts,
        rows.study_ids,
        partial(_tokens, model),
        size=recipe.size,
        window=recipe.window,
        seed=recipe.seed,
        augmented=recipe.augment,
        workers=recipe.workers,
    )
    validate = make_validate(validation, size=recipe.size, most=recipe.validation_pairs)
    trainer = Trainer(
        recipe, model, loader, run, fabric=fabric, validate=validate, corpus_hash=corpus.card["sha256"]
    )
    with claimed(run):
        write_atomically(run / "config.json", json.dumps(to_config(recipe), indent=1) + "\n")
        trainer.fit(watch)


def check_fits(recipe: Recipe, rows: Rows, validation: Rows) -> None:
    """CallError naming the largest window the corpus allows, or that there is nothing to validate on."""
    if recipe.window > len(rows):
        raise CallError(
            f"window {recipe.window} is larger than the {len(rows)} training pairs of the corpus; "
            f"the largest window is {len(rows)} (--window)"
        )
    if not len(validation):
        raise CallError("the corpus has no pairs to validate on; prepare it with a larger --val")


def check_run(recipe: Recipe, run: Path) -> None:
    """CallError unless `run` is new, or holds a run that trains the same weights.

    A run that has no checkpoint yet has nothing to lose: its recipe may be replaced.
    """
    path = run / "config.json"
    if path.is_file():
        if load_checkpoint(run / "checkpoints") is None:
            return
        differing = differing_fields(read_config(path), recipe)
        if differing:
            raise CallError(
                f"{run} holds a run of another recipe (it differs in {', '.join(differing)}); "
                "give the same recipe to go on with it, or another --out"
            )
    elif run.exists() and (not run.is_dir() or any(run.iterdir())):
        raise CallError(f"{run} is there and holds no run; give a new folder as --out")


def check_model(recipe: Recipe, model: DualEncoder) -> None:
    """CallError if a model to start from takes other inputs than the recipe gives."""
    for name in ("size", "channels", "dim", "max_tokens", "mean", "std"):
        if getattr(model, name) != getattr(recipe, name):
            flag = name.replace("_", "-")
            raise CallError(
                f"the model has {name} {getattr(model, name)}, the recipe {getattr(recipe, name)}; "
                f"set --{flag} {getattr(model, name)}"
            )


@contextmanager
def claimed(run: Path) -> Generator[None]:
    """Keep other processes from training in the same folder."""
    run.mkdir(parents=True, exist_ok=True)
    handle = os.open(run, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise CallError(f"another process is training in {run}; wait for it or give another --out") from error
    finally:
        os.close(handle)


def make_validate(rows: Rows, *, size: int, most: int) -> Validate:
    """Retrieval and loss on at most `most` validation studies, one image each, always the same ones."""
    chosen = studies_of(rows).rows
    rows = rows.select(np.sort(np.random.default_rng(0).permutation(chosen)[:most]))
    squares = [letterbox(rows.image(i), size) for i in range(len(rows))]

    def validate(model: DualEncoder) -> Mapping[str, float]:
        images, texts = model.encode_images(squares), model.encode_texts(rows.texts)
        loss = retrieval_loss(images, texts, rows.texts, scale=model.scale)
        retrieval = validation_metrics(images.numpy(), texts.numpy(), rows.texts, rows.study_ids)
        return {**retrieval, "loss": loss, "n": float(len(rows))}

    return validate


def retrieval_loss(
    images: torch.Tensor, embedded: torch.Tensor, texts: Sequence[str], *, scale: float
) -> float:
    """InfoNCE over all pairs at once, equal texts sharing the target, in nats; log n is a blind guess."""
    text = torch.from_numpy(gallery_of(texts).text_of)
    positive = (text[:, None] == text).float()
    target = positive / positive.sum(dim=1, keepdim=True)
    return float(in_batch_contrast(images, embedded, target, target, scale=torch.tensor(scale)))


def _tokens(model: DualEncoder, texts: Sequence[str], /) -> tuple[torch.Tensor, torch.Tensor]:
    return tokenize(model.tokenizer, texts, model.max_tokens)
