"""8-bit weights for serving on a CPU, with what they cost measured on a labeled corpus."""

import logging
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from medistill.data.corpus import Corpus, corpus_hash
from medistill.data.studies import UNIT, Studies, studies_of
from medistill.errors import CallError
from medistill.evaluate.prompts.prompts import Prompts, embed_prompts, resolve_prompts
from medistill.evaluate.statistics.calibrate import uncalibrated
from medistill.evaluate.statistics.difference import differences, paired_difference
from medistill.evaluate.statistics.interval import Metrics
from medistill.evaluate.statistics.resample import resampled
from medistill.evaluate.tasks.retrieval import retrieval_of
from medistill.evaluate.tasks.zeroshot import Scored, prompt_scores, zero_shot_metrics
from medistill.model.embedder import UnitEmbedder
from medistill.model.embedding import Reported, embed_images, reported_of
from medistill.serve.export.faithful import write_account
from medistill.serve.export.onnx.model import INT8, OnnxModel, read_export
from medistill.system.json_files import rounded
from medistill.system.progress import Progress, counted

OPERATORS = ("MatMul", "Gemm", "Gather")
"""Linear layers and tables of embeddings. Convolutions stay in float: with weights of 8 bits and inputs
quantized on the way they take 1.7 to 4 times as long (docs/export.md)."""
WEIGHTS = "linear layers: signed, a scale a channel; tables: unsigned, one scale"
_ZERO_SHOT = ("auroc_macro",)
_RETRIEVAL = ("i2t_r@1", "i2t_r@5", "i2t_r@10", "t2i_r@1", "t2i_r@5", "t2i_r@10", "i2t_r@10_unique")
_RESAMPLES, _SEED = 1000, 0
_TIMED, _ROUNDS = 4, 5


def add_int8(
    folder: Path,
    corpus: Corpus,
    *,
    split: str = "test",
    prompts: Prompts | None = None,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Quantize the graphs of an ONNX export and measure both kinds on a split; the export's account.

    The account gets, under `int8`, AUROC and recall of both with the difference paired by patient, the size
    of the files, and the time of one thread. CallError for a split without labels or without images.
    """
    rows, asked = _measured_on(corpus, split, prompts)
    told = read_export(folder)
    files = {tower: _quantized(folder, name) for tower, name in told["files"].items()}
    told[INT8] = {"files": files, "operators": list(OPERATORS), "weights": WEIGHTS}
    write_account(folder, told)
    models = {"float": OnnxModel(folder), INT8: OnnxModel(folder, int8=True)}
    studies = studies_of(rows)
    figures = {
        name: _figures(UnitEmbedder(model), rows, studies, asked, _told(on_progress, name, studies))
        for name, model in models.items()
    }
    told[INT8] |= {
        "bytes": {"float": _bytes(folder, told["files"]), INT8: _bytes(folder, files)},
        "speed": _speed(folder, rows, studies, on_progress),
        "measured_on": {
            "source": str(corpus.card.get("source", "")),
            "corpus_sha256": corpus_hash(corpus),
            "split": split,
            "unit": UNIT,
            "prompts": asked,
            "resamples": _RESAMPLES,
        },
        "figures": rounded(figures),
        "int8_less_float": rounded(differences(figures[INT8], figures["float"], paired_difference)),
    }
    write_account(folder, told)
    return told


def _measured_on(
    corpus: Corpus, split: str, prompts: Prompts | None
) -> tuple[Any, dict[str, dict[str, list[str]]]]:
    """The rows of the split and a prompt for each finding; CallError where nothing could be measured."""
    findings = tuple(corpus.findings)
    rows = corpus.split(split)
    labels = np.asarray(rows.labels, np.float32)
    if not len(rows) or not findings or not ((labels == 0).any() and (labels == 1).any()):
        raise CallError(
            f"split '{split}' has {len(rows)} images and no finding that is present in some and absent in "
            "others: int8 needs a labeled corpus to tell what it costs; name another --data or --split"
        )
    return rows, resolve_prompts(findings, prompts, source=str(corpus.card.get("source", "")))


def _told(on_progress: Progress | None, name: str, studies: Studies) -> Callable[[int], None] | None:
    return counted(on_progress, f"images, {name}", len(studies))


def _quantized(folder: Path, name: str) -> str:
    """The 8-bit graph beside the float one; its name."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    file = f"{Path(name).stem}.{INT8}.onnx"
    with _without_advice():
        quantize_dynamic(
            folder / name,
            folder / file,
            op_types_to_quantize=list(OPERATORS),
            per_channel=True,
            weight_type=QuantType.QInt8,
            use_external_data_format=(folder / f"{name}.data").is_file(),
        )
    return file


@contextmanager
def _without_advice() -> Generator[None]:
    """Through the root logger it asks for a preparation that these graphs have had from torch."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)


def _figures(
    model: UnitEmbedder,
    rows: Any,
    studies: Studies,
    prompts: Prompts,
    on_done: Callable[[int], None] | None,
) -> Metrics:
    """AUROC of the prompts and recall of the reports, both over the same resamples of patients."""
    images = embed_images(model, rows, studies.rows, on_done)
    reported = reported_of(model, studies, images)
    scores = prompt_scores(images, *embed_prompts(model, prompts))
    over_patients = partial(resampled, patient_ids=studies.patient_ids, resamples=_RESAMPLES, seed=_SEED)
    asked = over_patients(lambda weights: _zero_shot(scores, studies, tuple(prompts), weights))
    found = over_patients(lambda weights: _recalls(reported, weights))
    return asked | found


def _zero_shot(scores: Any, studies: Studies, findings: Sequence[str], weights: Any) -> Metrics:
    cases = Scored(
        scores=scores,
        labels=studies.labels,
        findings=findings,
        patient_ids=studies.patient_ids,
        calibration=uncalibrated(None, len(findings)),
    )
    figures = zero_shot_metrics(cases, weights)
    return {name: figures[name] for name in (*_ZERO_SHOT, *(f"auroc/{finding}" for finding in findings))}


def _recalls(reported: Reported, weights: Any) -> Metrics:
    figures = retrieval_of(reported, weights)
    return {name: figures[name] for name in _RETRIEVAL}


def _bytes(folder: Path, files: dict[str, str]) -> int:
    """With the weights that lie beside a graph too large to hold them."""
    beside = [folder / f"{name}.data" for name in files.values()]
    return sum(
        path.stat().st_size
        for path in (*(folder / name for name in files.values()), *beside)
        if path.is_file()
    )


def _speed(folder: Path, rows: Any, studies: Studies, on_progress: Progress | None) -> dict[str, Any]:
    """Seconds a batch in one thread, both kinds in turn, and how many times faster int8 is."""
    chosen = [int(row) for row in studies.rows[:_TIMED]]
    images, texts = [rows.image(row) for row in chosen], [rows.texts[row] for row in chosen]
    told: dict[str, Any] = {"threads": 1, "batch": len(chosen), "rounds": _ROUNDS}
    pair = {"float": OnnxModel(folder, threads=1), INT8: OnnxModel(folder, int8=True, threads=1)}
    for what, items in (("images", images), ("texts", texts)):
        calls = [partial(getattr(model, f"encode_{what}"), items) for model in pair.values()]
        seconds = _medians(calls, counted(on_progress, f"timing {what}", _ROUNDS + 1))
        told[what] = dict(zip(pair, seconds, strict=True)) | {"ratio": seconds[0] / seconds[1]}
    return rounded(told)  # pyright: ignore[reportReturnType]


def _medians(calls: Sequence[Callable[[], Any]], on_round: Callable[[int], None] | None) -> list[float]:
    """The median time of each call, in seconds, taken in turn after one round that does not count."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(_ROUNDS + 1):
        for taken, call in zip(times, calls, strict=True):
            start = time.perf_counter()
            call()
            taken.append(time.perf_counter() - start)
        if on_round:
            on_round(1)
    return [median(taken[1:]) for taken in times]
