"""`medistill evaluate`: its flags, and the figures it prints."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medistill.cli.terminal import print_json, say, stages
from medistill.errors import CallError
from medistill.html.words import figure
from medistill.system.private import files_for


def evaluate(
    model: str,
    /,
    *,
    data: Path,
    out: Path,
    against: tuple[str, ...] = (),
    protocol: tuple[str, ...] = (),
    split: str = "test",
    prompts: Path | None = None,
    with_cases: bool = False,
    fine_tune: bool = False,
    device: str = "auto",
    group_readable: bool = False,
    json: bool = False,
) -> None:
    """Zero-shot, few-shot and retrieval figures with 95 % intervals: metrics.json and page.html.

    Example: medistill evaluate run --data corpus --out evaluation

    Args:
        model: Run or model folder; or hf:NAME, a dual encoder of transformers (hub name or folder); or
            open_clip:NAME:WEIGHTS (a tag or a file), open_clip:local-dir:FOLDER, open_clip:hf-hub:NAME; or
            onnx:FOLDER or onnx:FOLDER:int8, the graphs in an export of `medistill export --to onnx`.
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
        device: Where the models run: auto (the first card, else the CPU), cpu, cuda or cuda:N.
        group_readable: Let the group read what is written; its owner alone reads it otherwise.
        json: Print the figures, or the comparison, as JSON on standard output.
    """
    from medistill.evaluate.run import evaluate_against, evaluate_by_protocol, evaluate_run

    if protocol and (fine_tune or split != "test"):
        raise CallError("--protocol names what to score, and its split: leave out --split and --fine-tune")
    if with_cases:
        say("page.html will hold images and report texts of the corpus: treat it as patient data")
    options: dict[str, Any] = {"prompts": prompts, "with_cases": with_cases, "device": device}
    if not protocol:
        options |= {"split": split, "fine_tune": fine_tune}
    with files_for(group=group_readable), stages() as on_progress:
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


def report_figures(out: Path, as_json: bool) -> None:
    from medistill.evaluate.files import read_headlines, read_metrics

    metrics = read_metrics(out)
    if as_json:
        print_json(metrics)
    shown = {
        "zero_shot": ("auroc_macro", "auroc_macro_abnormal"),
        "few_shot": (
            *("auroc_macro@1", "auroc_macro@4", "auroc_macro@16", "auroc_macro@100%"),
            *(f"fine_tune_auroc_macro@{share}" for share in ("1%", "10%", "100%")),
        ),
        "retrieval": ("i2t_r@10", "t2i_r@10", "i2t_r@10_unique", "chance_r@10"),
    }
    for task, names in shown.items():
        for name in names:
            entry = metrics.get(task, {}).get(name)
            if entry:
                say(f"{task:<10} {name:<26} {figure(entry)}")
    for name, headline in read_headlines(out).items():
        say(f"{name} {headline} {figure(metrics[f'protocol:{name}'][headline])}")
    say(f"page: {out / 'page.html'}")


def report_comparison(models: Sequence[str], out: Path, as_json: bool) -> None:
    from medistill.evaluate.files import COMPARISON_PAGE, read_comparison

    comparison = read_comparison(out)
    if as_json:
        print_json(comparison)
    for label, model in zip(comparison["models"], models, strict=True):
        say(f"{label} {model}")
    for task, name in comparison["headlines"]:
        for label, entry in comparison["tasks"][task][name]["differences"].items():
            say(f"{task:<10} {name:<26} {label} less {comparison['baseline']} {figure(entry, '+.3f')}")
    count = comparison["differences"]
    say(f"{count['excluding_zero']} of {count['with_interval']} differences exclude zero, unadjusted")
    say(f"page: {out / COMPARISON_PAGE}")
