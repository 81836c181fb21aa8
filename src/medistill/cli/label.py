"""`medistill label`: its flags, and what it says of the labels."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medistill.cli.terminal import print_json, say, stages
from medistill.system.private import files_for


def label(
    model: str,
    /,
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
    follow_links: bool = False,
    workers: int = 0,
    device: str = "auto",
    group_readable: bool = False,
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
        follow_links: Also label what links lead to that lead out of the folder of images.
        workers: Processes that read files; 0 takes one a core.
        device: Where the model runs: auto (the first card, else the CPU), cpu, cuda or cuda:N.
        group_readable: Let the group read what is written; its owner alone reads it otherwise.
        json: Print the JSON file on standard output.
    """
    from medistill.serve.label.run import label as run
    from medistill.serve.label.wanted import Wanted
    from medistill.system.isolated import cores

    wanted = Wanted(
        findings=findings, prompts=prompts, shots=shots, classifier=classifier, calibrate=calibrate
    )
    with files_for(group=group_readable), stages() as on_progress:
        places = {"data": data, "images": images, "save": save}
        options: dict[str, Any] = {
            "follow_links": follow_links,
            "workers": workers or cores(),
            "device": device,
        }
        account = run(model, out, wanted, **places, **options, on_progress=on_progress)
    report_labels(account, out, json)


def report_labels(account: Mapping[str, Any], out: Path, as_json: bool) -> None:
    if as_json:
        print_json(account)
    for finding, entry in account["findings"].items():
        basis = "" if entry["calibrated"] else "uncalibrated"
        examples = "" if entry["positive"] is None else f"n = {entry['positive']} + {entry['negative']}"
        counted = f"present in {entry['present']:,} of {account['labeled']:,}"
        say(f"{finding:<24} {counted}  threshold {entry['threshold']:.3f}  {examples}  {basis}".rstrip())
    if unreadable := account["unreadable"]["count"]:
        say(f"{unreadable:,} images cannot be read; the last column says why")
    say(f"labels: {out}")
