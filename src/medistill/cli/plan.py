"""`medistill plan`: its flags."""

from pathlib import Path
from typing import Any

from medistill.cli.terminal import print_json, progress_bar, say


def plan(recipe: Any, *, memory: str = "", data: Path | None = None, json: bool = False) -> None:
    """The largest micro-batch that fits, its peak memory and the time of an epoch, from a few real steps.

    Example: medistill plan chest_resnet50 --memory 11GB --window 512

    Args:
        recipe: What to plan; any field of the ready recipe is overridden by its flag.
        memory: Memory to stay within, such as 11GB or 11GiB; what is free on the card, else in the machine.
        data: Corpus folder written by `medistill prepare`, for the time of an epoch.
        json: Print the plan as JSON on standard output.
    """
    from medistill.engine.plan.plan import make_plan
    from medistill.engine.plan.report import as_json, summary
    from medistill.system.memory import parse_memory

    limit = parse_memory(memory) if memory else 0
    with progress_bar(f"measuring {recipe.name}", None, "measures") as on_progress:
        fitting = make_plan(recipe, memory=limit, data=data, on_progress=on_progress)
    if json:
        print_json(as_json(fitting))
    for line in summary(fitting):
        say(line)
