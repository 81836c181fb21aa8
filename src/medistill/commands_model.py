"""Commands that put a trained model to use or describe it; as in `commands`, one function each."""

from pathlib import Path
from typing import Literal

from medistill.reporting import print_json, report_export, report_labels, say


def label(
    model: str,
    *,
    out: Path,
    data: Path | None = None,
    images: Path | None = None,
    findings: tuple[str, ...] = (),
    prompts: Path | None = None,
    shots: Path | None = None,
    classifier: Path | None = None,
    calibrate: Path | None = None,
    save: Path | None = None,
    workers: int = 0,
    json: bool = False,
) -> None:
    """Findings for new images: a CSV file with a row an image, and a JSON file of what it rests on.

    Example: medistill label run --images films --findings effusion edema --calibrate corpus --out labels.csv

    A run that was stopped goes on where it was when the command is given again.

    Args:
        model: Run or model folder; or hf:NAME or open_clip:NAME:WEIGHTS, as `medistill evaluate` takes them.
        out: The CSV file to write; the JSON file and the classifier's folder get its name.
        data: Corpus folder written by `medistill prepare`, all of whose rows are labeled.
        images: Folder of PNG, JPEG and DICOM files to label, with all below it.
        findings: What to look for: asked for in plain English, or chosen from what the file or folder knows.
        prompts: JSON file in any language the model knows: finding -> {"positive": [...], "negative": [...]}.
        shots: CSV file of examples: column `image` or `study_id`, and 1, 0 or nothing for each finding.
        classifier: Folder of a classifier that an earlier call wrote for the same model.
        calibrate: Corpus folder whose labeled validation split turns scores of prompts into probabilities.
        save: Folder to write the classifier into; OUT with the suffix .classifier if not named.
        workers: Processes that read files; 0 takes one a core.
        json: Print the JSON file on standard output.
    """
    from medistill.data.prepare import cores
    from medistill.progress import stages
    from medistill.serve.label import label as run
    from medistill.serve.wanted import Wanted

    wanted = Wanted(
        findings=findings, prompts=prompts, shots=shots, classifier=classifier, calibrate=calibrate
    )
    with stages() as on_progress:
        told = run(
            model,
            out,
            wanted,
            data=data,
            images=images,
            save=save,
            workers=workers or cores(),
            on_progress=on_progress,
        )
    report_labels(told, out, json)


def card(
    run: Path, *, out: Path, evaluation: tuple[Path, ...] = (), data: Path | None = None, json: bool = False
) -> None:
    """A model card of a run in the format of the Hugging Face hub: data, recipe, figures, limits.

    Example: medistill card run --evaluation evaluation --out README.md

    License, language and what the run does not tell are left for you to state.

    Args:
        run: Run folder.
        out: The Markdown file to write.
        evaluation: Folders written by `medistill evaluate`; what lies in or beside RUN under the name
            `evaluation` if none is named.
        data: The corpus the run was trained on; the folder `corpus` beside RUN if it is that one.
        json: Print what the card is of as JSON on standard output.
    """
    from medistill.evaluate.card import write_card

    facts = write_card(run, out, evaluations=evaluation, data=data)
    if json:
        told = {"name": facts.name, "model_sha256": facts.sha256, "evaluations": len(facts.evaluations)}
        print_json(told | {"corpus_known": facts.corpus is not None})
    figures = sum(len(entries) for evaluated in facts.evaluations for entries in evaluated.metrics.values())
    say(f"{figures} figures of {len(facts.evaluations)} evaluations; card: {out}")


def export(
    model: str,
    *,
    to: Literal["onnx", "hub", "open_clip"],
    out: Path,
    int8: bool = False,
    data: Path | None = None,
    split: str = "test",
    prompts: Path | None = None,
    json: bool = False,
) -> None:
    """The model as other tools load it, in a folder of its own, checked against the original.

    Example: medistill export run --to onnx --out exported --int8 --data corpus

    Args:
        model: Run or model folder.
        to: `onnx`: every model, for onnxruntime. `hub`: ViT + BERT with the pooling `cls`, for transformers'
            VisionTextDualEncoderModel. `open_clip`: ViT + BERT, for open_clip's local-dir:OUT.
        out: The folder to write; it appears whole or not at all.
        int8: With `onnx`: also graphs with weights of 8 bits, and what they lose on a labeled corpus.
        data: That corpus.
        split: Its split.
        prompts: JSON file of what to ask for there: finding -> {"positive": [...], "negative": [...]}.
        json: Print export.json on standard output.
    """
    from medistill.progress import stages
    from medistill.serve.export.export import export as run

    with stages() as on_progress:
        told = run(
            model, to, out, int8=int8, data=data, split=split, prompts=prompts, on_progress=on_progress
        )
    report_export(told, out, json)
