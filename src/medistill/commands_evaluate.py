"""The command that measures models; as in `commands`, its signature is the flags."""

from pathlib import Path
from typing import Any

from medistill.errors import CallError
from medistill.reporting import report_comparison, report_figures, say


def evaluate(
    model: str,
    *,
    data: Path,
    out: Path,
    against: tuple[str, ...] = (),
    protocol: tuple[str, ...] = (),
    split: str = "test",
    prompts: Path | None = None,
    with_cases: bool = False,
    fine_tune: bool = False,
    json: bool = False,
) -> None:
    """Zero-shot, few-shot and retrieval figures with 95 % intervals: metrics.json and page.html.

    Example: medistill evaluate run --data corpus --out evaluation

    Args:
        model: Run or model folder; or hf:NAME, a dual encoder of transformers (hub name or folder); or
            open_clip:NAME:WEIGHTS (a tag or a file), open_clip:local-dir:FOLDER, open_clip:hf-hub:NAME.
        data: Corpus folder written by `medistill prepare`.
        out: Folder to write metrics.json, evaluation.json and page.html into.
        against: Other models to compare with MODEL on the same cases: each is evaluated into OUT/A, OUT/B and
            so on, and comparison.json and comparison.html hold how they differ from MODEL, paired by patient.
        protocol: Named protocols to score by instead: chexpert-5x200-gloria, chexpert-5, rsna, nih14, labels
            and others (docs/protocols.md); each takes its own split.
        split: The split to evaluate on.
        prompts: JSON file: finding -> {"positive": [...], "negative": [...]}; for protocols of classes also
            another project's Python file of prompts, which is parsed and not run.
        with_cases: Put test images and their nearest reports on the page: they are patient data.
        fine_tune: Also fine-tune the image encoder on 1, 10 and 100 % of the training patients: takes long.
        json: Print the figures, or the comparison, as JSON on standard output.
    """
    from medistill.evaluate.run import evaluate_against, evaluate_by_protocol, evaluate_run
    from medistill.progress import stages

    if protocol and (fine_tune or split != "test"):
        raise CallError("--protocol names what to score, and its split: leave out --split and --fine-tune")
    if with_cases:
        say("page.html will hold images and report texts of the corpus: treat it as patient data")
    options: dict[str, Any] = {"prompts": prompts, "with_cases": with_cases}
    if not protocol:
        options |= {"split": split, "fine_tune": fine_tune}
    with stages() as on_progress:
        options["on_progress"] = on_progress
        if against:
            evaluate_against((model, *against), data, out, protocols=protocol, **options)
        elif protocol:
            evaluate_by_protocol(model, data, out, protocol, **options)
        else:
            evaluate_run(model, data, out, **options)
    if against:
        report_comparison((model, *against), out, json)
    else:
        report_figures(out, json)
