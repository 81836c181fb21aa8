"""From corpus and recipe to a run folder."""

import json
import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from medistill.atomic import write_atomically
from medistill.data.corpus import Rows, open_corpus, training_rows
from medistill.data.loader import WindowLoader
from medistill.engine.loop import Trainer, Validate, Watch
from medistill.engine.optimizer import make_fabric
from medistill.errors import CallError
from medistill.evaluate.retrieval import validation_metrics
from medistill.model.dual import DualEncoder, build_model, load
from medistill.model.tokenizer import tokenize
from medistill.recipe import Recipe, differing_fields, read_config, to_config


def pretrain(recipe: Recipe, data: Path, run: Path, *, init: Path | None = None, watch: Watch) -> None:
    """Train `recipe` on the corpus at `data`; goes on from the newest checkpoint in `run`.

    CallError if the window is larger than the corpus, or `run` holds a run of another recipe or corpus.
    """
    corpus = open_corpus(data)
    rows, validation = training_rows(corpus)
    check_fits(recipe, rows)
    claim_run(recipe, run)
    torch.manual_seed(recipe.seed)
    model = load(init) if init else build_model(recipe, rows.texts, rows.patient_ids)
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
    validate = make_validate(validation, most=recipe.validation_pairs)
    fabric = make_fabric(recipe.precision)
    trainer = Trainer(
        recipe, model, loader, run, fabric=fabric, validate=validate, corpus_hash=corpus.card["sha256"]
    )
    trainer.fit(watch)


def check_fits(recipe: Recipe, rows: Rows) -> None:
    """CallError naming the largest window the corpus allows."""
    if recipe.window > len(rows):
        raise CallError(
            f"window {recipe.window} is larger than the {len(rows)} training pairs of the corpus; "
            f"the largest window is {len(rows)} (--window)"
        )


def claim_run(recipe: Recipe, run: Path) -> None:
    """Write the recipe into a new run folder, or check that the run there trains the same weights."""
    path = run / "config.json"
    if path.is_file():
        differing = differing_fields(read_config(path), recipe)
        if differing:
            raise CallError(
                f"{run} holds a run of another recipe (it differs in {', '.join(differing)}); "
                "give the same recipe to go on with it, or another --out"
            )
    elif run.exists() and any(run.iterdir()):
        raise CallError(f"{run} is not empty and holds no run; give a new folder as --out")
    write_atomically(path, json.dumps(to_config(recipe), indent=1) + "\n")


def check_model(recipe: Recipe, model: DualEncoder) -> None:
    """CallError if a model to start from takes other inputs than the recipe gives."""
    for name in ("size", "channels", "dim", "max_tokens"):
        if getattr(model, name) != getattr(recipe, name):
            flag = name.replace("_", "-")
            raise CallError(
                f"the model has {name} {getattr(model, name)}, the recipe {getattr(recipe, name)}; "
                f"set --{flag} {getattr(model, name)}"
            )


def make_validate(rows: Rows, *, most: int) -> Validate:
    """Retrieval and loss on at most `most` validation pairs, always the same ones."""
    chosen = np.random.default_rng(0).permutation(len(rows))[:most]
    rows = rows.select(np.sort(chosen))

    def validate(model: DualEncoder) -> Mapping[str, float]:
        images = model.encode_images([rows.image(i) for i in range(len(rows))])
        texts = model.encode_texts(rows.texts)
        loss = symmetric_loss(images, texts, model.scale)
        retrieval = validation_metrics(images.numpy(), texts.numpy(), rows.texts, rows.study_ids)
        return {**retrieval, "loss": loss, "n": float(len(rows))}

    return validate


def symmetric_loss(images: torch.Tensor, texts: torch.Tensor, scale: float) -> float:
    """InfoNCE over all pairs at once, in nats; log n is a blind guess."""
    logits = scale * images @ texts.T
    own = torch.arange(len(logits))
    return float(F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2 if len(own) else math.nan


def _tokens(model: DualEncoder, texts: Sequence[str], /) -> tuple[torch.Tensor, torch.Tensor]:
    return tokenize(model.tokenizer, texts, model.max_tokens)
