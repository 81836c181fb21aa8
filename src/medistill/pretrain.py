"""From corpus and recipe to a run folder."""

import gc
import json
import logging
import signal
import traceback
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import distributed

from medistill.data.corpus import Rows, open_corpus, training_rows
from medistill.data.folds import in_fold
from medistill.data.image import letterbox
from medistill.data.loader.windows import WindowLoader
from medistill.data.loader.wording import wordings
from medistill.data.studies import gallery_of, studies_of
from medistill.engine.checkpoint import load_checkpoint
from medistill.engine.features import Bar, Revisited, keep_features
from medistill.engine.gather import ranks
from medistill.engine.loop import Trainer, Validate, Watch
from medistill.engine.optimizer import make_fabric
from medistill.errors import CallError, MedistillError
from medistill.evaluate.prompts.derived import derive_prompts
from medistill.evaluate.tasks.retrieval import validation_metrics
from medistill.model.dual import DualEncoder
from medistill.model.saved import save_fold, save_prompts
from medistill.model.start import start_model
from medistill.model.tokenizer import pad_id, tokenize
from medistill.objective import info_nce
from medistill.recipe import Recipe, differing_fields, read_config, to_config
from medistill.system.checksums import verify, write_checked
from medistill.system.locks import being_trained, locked
from medistill.system.private import private_files

log = logging.getLogger(__name__)


@private_files()
def pretrain(recipe: Recipe, data: Path, run: Path, *, watch: Watch, bar: Bar = nullcontext) -> None:
    """Train `recipe` on the corpus at `data`; goes on from the newest checkpoint in `run`.

    CallError if the window is larger than the corpus, or `run` holds a run of another recipe or corpus.

    bar   opened where the features of a locked tower are computed, before training begins; what it gives
          hears how far that is
    """
    corpus = in_fold(open_corpus(data), fold=recipe.fold, folds=recipe.folds)
    rows, validation = training_rows(corpus)
    check_fits(recipe, rows, validation)
    check_run(recipe, run)
    fabric = make_fabric(recipe.precision)
    with together(), _claimed(run, fabric):
        _train(recipe, rows, validation, run, fabric=fabric, watch=watch, bar=bar)


def _train(
    recipe: Recipe, rows: Rows, validation: Rows, run: Path, *, fabric: Fabric, watch: Watch, bar: Bar
) -> None:
    """A function of its own, so that the trainer is gone before the process group is."""
    trainer = make_trainer(recipe, rows, validation, run, fabric=fabric, bar=bar)
    if fabric.is_global_zero:
        write_checked(run / "config.json", json.dumps(to_config(recipe), indent=1) + "\n")
        if recipe.folds:  # before there is a model: whoever finds one knows what it may be tested on
            corpus = rows.corpus.card["sha256"]
            save_fold(run / "model", fold=recipe.fold, folds=recipe.folds, corpus_hash=corpus)
    trainer.fit(watch)
    if fabric.is_global_zero:
        leave_prompts(recipe, rows, run / "model")


def leave_prompts(recipe: Recipe, rows: Rows, model: Path) -> None:
    """Write what to ask the model about each finding, in the words of the reports it was trained on.

    Nothing where they hold no such words; it is then asked by plain templates.
    """
    options = wordings(rows, recipe.section, seed=recipe.seed).options
    said = [(text, who) for texts, who in zip(options, rows.patient_ids, strict=True) for text in texts]
    reports, patients = zip(*dict.fromkeys(said), strict=True)
    prompts = derive_prompts(reports, patients, rows.corpus.findings, min_patients=recipe.min_patients)
    if prompts:
        save_prompts(prompts, model)


def make_trainer(
    recipe: Recipe, rows: Rows, validation: Rows, run: Path, *, fabric: Fabric, bar: Bar = nullcontext
) -> Trainer:
    """What `recipe` says, ready to train on `rows`."""
    check_ranks(recipe, fabric.world_size)
    torch.manual_seed(recipe.seed)
    model = start_model(recipe, rows.texts, rows.patient_ids)
    if fabric.global_rank:
        torch.manual_seed(recipe.seed + fabric.global_rank)  # the same model, but dropout of its own
    texts = wordings(rows, recipe.section, seed=recipe.seed, part=recipe.text_part)
    if recipe.augment and recipe.image.locked:
        log.info("image.locked: images are not augmented, since the features are those of the plain images")
    loader = WindowLoader(
        rows.image,
        texts,
        rows.study_ids,
        partial(tokenize, model.tokenizer, max_tokens=model.max_tokens),
        pad=pad_id(model.tokenizer),
        size=recipe.size,
        window=recipe.window,
        seed=recipe.seed,
        augmented=recipe.augment and not recipe.image.locked,
        strength=recipe.augment_strength,
        workers=recipe.workers,
        share=(fabric.global_rank, fabric.world_size),
        device=fabric.device,
        kept=keep_features(model, rows, texts.fixed, fabric=fabric, bar=bar),
    )
    validate = make_validate(validation, size=recipe.size, most=recipe.validation_pairs)
    card = rows.corpus.card
    return Trainer(recipe, model, loader, run, fabric=fabric, validate=validate, corpus_hash=card["sha256"])


def _claimed(run: Path, fabric: Fabric) -> AbstractContextManager[None]:
    """Keep other processes from training in the same folder; one rank claims it for all."""
    if not fabric.is_global_zero:
        return nullcontext()
    run.mkdir(parents=True, exist_ok=True)
    return locked(run, being_trained(run))


@contextmanager
def together() -> Generator[None]:
    """End the process group in good order; MedistillError if another rank or a worker has gone."""
    try:
        with _released():
            yield
        if ranks() > 1:
            distributed.barrier()
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        if "DataLoader worker" in reason:  # raised by torch's own signal handler, wherever the run then is
            raise MedistillError(
                "a process that decodes images was killed, most likely for want of memory; lower --workers "
                "and run the same command again to go on"
            ) from error
        if ranks() > 1 and not isinstance(error, torch.OutOfMemoryError):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun's would come before the message
            raise MedistillError(
                f"rank {distributed.get_rank()} lost the others ({reason}); the message of the rank that "
                "failed first says why"
            ) from error
        raise
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()


@contextmanager
def _released() -> Generator[None]:
    """Free what the block has made, also where it ends with an error that all ranks share.

    A DDP module that outlives the process group is the last to hold it. It then joins the group's threads
    with the interpreter locked, and a thread that is about to free its last tensor waits for that lock: of
    runs on two ranks one in some twenty hung at its end (torch 2.13, gloo).
    """
    try:
        yield
    except MedistillError as error:
        traceback.clear_frames(error.__traceback__)
        gc.collect()
        raise
    gc.collect()


def check_ranks(recipe: Recipe, ranks: int) -> None:
    """CallError unless each rank has the same share of a window."""
    if recipe.window % ranks:
        nearest = max(recipe.window // ranks, 1) * ranks
        raise CallError(f"window {recipe.window} cannot be shared by {ranks} ranks; set --window {nearest}")


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
        verify(path)
        before = read_config(path)
        if differing := differing_fields(before, recipe):
            raise CallError(
                f"{run} holds a run of another recipe (it differs in {_values(differing, before, recipe)}); "
                "give the same recipe to go on with it, or another --out"
            )
    elif run.exists() and (not run.is_dir() or any(run.iterdir())):
        raise CallError(f"{run} is there and holds no run; give a new folder as --out")


def _values(names: Sequence[str], before: Recipe, now: Recipe) -> str:
    """With the values: the version that began the run may have had another default."""
    towers = ("image", "text")
    return ", ".join(
        name if name in towers else f"{name}: {getattr(before, name)} there, {getattr(now, name)} here"
        for name in names
    )


def make_validate(rows: Rows, *, size: int, most: int) -> Validate:
    """Retrieval and loss on at most `most` validation studies, one image each, always the same ones."""
    chosen = studies_of(rows).rows
    rows = rows.select(np.sort(np.random.default_rng(0).permutation(chosen)[:most]))
    pairs = Revisited([letterbox(rows.image(i), size) for i in range(len(rows))], rows.texts)

    def validate(model: DualEncoder) -> Mapping[str, float]:
        images, texts = pairs.embedded_by(model)
        loss = retrieval_loss(images, texts, rows.texts, scale=model.scale)
        retrieval = validation_metrics(images.numpy(), texts.numpy(), rows.texts, rows.study_ids)
        return {**retrieval, "loss": loss, "n": float(len(rows))}

    return validate


def retrieval_loss(
    images: torch.Tensor, embedded: torch.Tensor, texts: Sequence[str], *, scale: float
) -> float:
    """InfoNCE over all pairs at once, equal texts sharing the target, in nats; log n is a blind guess."""
    text = torch.from_numpy(gallery_of(texts).text_of)
    same = text[:, None] == text
    return float(info_nce(images, embedded, images, embedded, same, scale=torch.tensor(scale)))
