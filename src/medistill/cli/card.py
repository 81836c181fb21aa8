"""`medistill card`: its flags."""

from pathlib import Path

from medistill.cli.terminal import print_json, say


def card(
    run: Path,
    /,
    *,
    out: Path,
    evaluation: tuple[Path, ...] = (),
    data: Path | None = None,
    json: bool = False,
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
    from medistill.serve.card.text import write_card

    facts = write_card(run, out, evaluations=evaluation, data=data)
    if json:
        about = {"name": facts.name, "model_sha256": facts.sha256, "evaluations": len(facts.evaluations)}
        print_json(about | {"corpus_known": facts.corpus is not None})
    figures = sum(len(entries) for evaluated in facts.evaluations for entries in evaluated.metrics.values())
    say(f"{figures} figures of {len(facts.evaluations)} evaluations; card: {out}")
