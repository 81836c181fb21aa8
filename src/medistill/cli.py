"""The command line: one function per command, heavy imports inside."""

import functools
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from medistill import __version__
from medistill.errors import CallError, MedistillError


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command; the exit status is 0 done, 1 the check or run failed, 2 the call was wrong."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("medistill").setLevel(logging.INFO)
    try:
        _run(arguments)
    except MedistillError as error:
        _say(f"medistill: {error}")
        sys.exit(error.status)
    except OSError as error:
        _say(f"medistill: {error.strerror or error}: {error.filename or 'while reading or writing'}")
        sys.exit(1)
    except KeyboardInterrupt:
        _say("medistill: interrupted")
        sys.exit(1)


def quickstart(*, out: Path = Path("quickstart"), json: bool = False) -> None:
    """Draw a corpus of phantoms, pretrain on it, evaluate and write a page: two minutes on two cores.

    Example: medistill quickstart --out quickstart

    Args:
        out: Folder to make; a quickstart that was stopped goes on where it was.
        json: Print the figures as JSON on standard output.
    """
    from medistill.quickstart import quickstart as run

    run(out)
    _report_figures(out / "evaluation", json)


def prepare(
    source: Any,
    *,
    out: Path,
    val: float = 0.1,
    test: float = 0.1,
    workers: int = 0,
    allow_rejects: bool = False,
    show_paths: bool = False,
    json: bool = False,
) -> None:
    """Turn source files into a corpus: one row per image, split by patient.

    Example: medistill prepare csv reports.csv --out corpus --text findings impression --patient-id subject

    Args:
        source: What to read.
        out: Corpus folder to make.
        val: Share of the patients in the validation split, where the source has no splits of its own.
        test: Share of the patients in the test split, where the source has no splits of its own.
        workers: Processes that read images; 0 takes one a core.
        allow_rejects: Go on when more than a tenth of the rows cannot be used.
        show_paths: Name the files in rejected.csv instead of giving salted ids.
        json: Print the corpus's card as JSON on standard output.
    """
    from medistill.data.prepare import cores
    from medistill.data.prepare import prepare as run
    from medistill.progress import progress_bar

    with progress_bar(f"preparing {source.name}", None, "rows") as on_progress:
        card = run(
            source,
            out,
            workers=workers or cores(),
            val=val,
            test=test,
            allow_rejects=allow_rejects,
            show_paths=show_paths,
            on_progress=on_progress,
        )
    _report_card(card, out, json)


def train(recipe: Any, *, data: Path, out: Path, json: bool = False) -> None:
    """Pretrain the two encoders on a corpus; goes on from the newest checkpoint in `out`.

    Example: medistill train small --data corpus --out run --epochs 40

    Args:
        recipe: What to train; any field of the ready recipe is overridden by its flag.
        data: Corpus folder written by `medistill prepare`.
        out: Run folder; holds config.json, metrics.jsonl, checkpoints and the model.
        json: Print the validation of the delivered model as JSON on standard output.
    """
    from medistill.engine.track import best_validation
    from medistill.pretrain import pretrain
    from medistill.progress import training_bar

    with training_bar() as watch:
        pretrain(recipe, data, out, watch=watch)
    best = best_validation(out)
    if json:
        _print_json(best)
    if best:
        i2t, t2i = best["val/i2t_r@10"], best["val/t2i_r@10"]
        _say(f"{out / 'model'}: validation recall@10 {i2t:.3f} image to text, {t2i:.3f} text to image")


def evaluate(
    model: Path,
    *,
    data: Path,
    out: Path,
    split: str = "test",
    prompts: Path | None = None,
    with_cases: bool = False,
    json: bool = False,
) -> None:
    """Zero-shot, few-shot and retrieval figures with 95 % intervals: metrics.json and page.html.

    Example: medistill evaluate run --data corpus --out evaluation

    Args:
        model: Run or model folder.
        data: Corpus folder written by `medistill prepare`.
        out: Folder to write metrics.json, evaluation.json and page.html into.
        split: The split to evaluate on.
        prompts: JSON file: finding -> {"positive": [...], "negative": [...]}.
        with_cases: Put test images and their nearest reports on the page: they are patient data.
        json: Print the figures as JSON on standard output.
    """
    from medistill.evaluate.run import evaluate_run
    from medistill.progress import stages

    if with_cases:
        _say("page.html will hold images and report texts of the corpus: treat it as patient data")
    with stages() as on_progress:
        evaluate_run(
            model, data, out, split=split, prompts=prompts, with_cases=with_cases, on_progress=on_progress
        )
    _report_figures(out, json)


def _call_prepare(arguments: list[str]) -> None:
    """`prepare SOURCE [PATH]`: each source brings its own flags."""
    import tyro

    from medistill.data.sources import SOURCES

    name = _first(arguments, "source", tuple(SOURCES), " PATH --out CORPUS")
    source = Annotated[SOURCES[name], tyro.conf.arg(name=""), tyro.conf.PositionalRequiredArgs]
    _call(prepare, arguments[1:], f"medistill prepare {name}", source=source)


def _call_train(arguments: list[str]) -> None:
    """`train RECIPE`: the ready recipe of that name gives the flags their defaults."""
    import tyro

    from medistill.recipe import RECIPES, Recipe

    name = _first(arguments, "recipe", tuple(RECIPES), " --data CORPUS --out RUN")
    recipe = Annotated[Recipe, tyro.conf.arg(name="")]
    command = functools.partial(train, recipe=RECIPES[name]())
    _call(command, arguments[1:], f"medistill train {name}", recipe=recipe)


def _call_evaluate(arguments: list[str]) -> None:
    import tyro

    _call(evaluate, arguments, "medistill evaluate", model=tyro.conf.Positional[Path])


def _call_quickstart(arguments: list[str]) -> None:
    _call(quickstart, arguments, "medistill quickstart")


COMMANDS: Mapping[str, tuple[Callable[[list[str]], None], str]] = {
    "quickstart": (_call_quickstart, "draw phantoms, pretrain, evaluate: a page in two minutes"),
    "prepare": (_call_prepare, "turn source files into a corpus: SOURCE PATH --out CORPUS"),
    "train": (_call_train, "pretrain on a corpus: RECIPE --data CORPUS --out RUN"),
    "evaluate": (_call_evaluate, "figures with intervals and a page: MODEL --data CORPUS --out DIR"),
}


def _run(arguments: list[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview())  # noqa: T201
    elif arguments[0] == "--version":
        print(f"medistill {__version__}")  # noqa: T201
    elif arguments[0] not in COMMANDS:
        raise CallError(f"no command is called {arguments[0]!r}; commands: {', '.join(COMMANDS)}")
    else:
        COMMANDS[arguments[0]][0](arguments[1:])


def _overview() -> str:
    rows = "\n".join(f"  {name:<12}{summary}" for name, (_, summary) in COMMANDS.items())
    return (
        "usage: medistill COMMAND ...\n\n"
        "Pretrain medical vision-language models by momentum self-distillation.\n\n"
        f"{rows}\n\nExample: medistill quickstart --out quickstart\n"
        "Every command has --help, and --json for a machine-readable result on standard output."
    )


def _call(command: Callable[..., None], arguments: list[str], prog: str, **types: Any) -> None:
    """Parse `arguments` by the command's signature and run it.

    types   annotations set only now, since importing them takes longer than `--help` should.
    """
    import tyro

    function = command.func if isinstance(command, functools.partial) else command
    function.__annotations__.update(types)
    tyro.cli(command, args=arguments, prog=prog, config=(tyro.conf.FlagCreatePairsOff,))


def _first(arguments: list[str], what: str, names: tuple[str, ...], rest: str) -> str:
    """The word that selects a source or recipe; help and errors list those there are."""
    command = "prepare" if what == "source" else "train"
    listed = ", ".join(names)
    if arguments and arguments[0] in ("-h", "--help"):
        usage = f"usage: medistill {command} {what.upper()}{rest}\n\n{what}s: {listed}\n\n"
        print(f"{usage}Example: medistill {command} {names[0]} --help")  # noqa: T201
        sys.exit(0)
    if not arguments or arguments[0] not in names:
        found = f"{arguments[0]!r} is none" if arguments else "none was given"
        raise CallError(f"{command} takes a {what} first, {found}; {what}s: {listed}")
    return arguments[0]


def _report_card(card: Mapping[str, Any], out: Path, as_json: bool) -> None:
    if as_json:
        _print_json(card)
    for name, counts in card["splits"].items():
        listed = ", ".join(f"{count:,} {what}" for what, count in counts.items() if isinstance(count, int))
        _say(f"{name:<6} {listed}")
    rejected = card["rejected"]
    if rejected["count"]:
        _say(f"{rejected['count']:,} rows set aside, see {out / 'rejected.csv'}:")
        for reason, count in rejected["reasons"].items():
            _say(f"  {count:>6,}  {reason}")
    _say(f"corpus: {out}")


def _report_figures(out: Path, as_json: bool) -> None:
    from medistill.evaluate.write import read_metrics

    metrics = read_metrics(out)
    if as_json:
        _print_json(metrics)
    shown = {
        "zero_shot": ("auroc_macro",),
        "few_shot": ("auroc_macro@1", "auroc_macro@4", "auroc_macro@16"),
        "retrieval": ("i2t_r@10", "t2i_r@10", "i2t_r@10_unique", "chance_r@10"),
    }
    for task, names in shown.items():
        for name in names:
            entry = metrics.get(task, {}).get(name)
            if entry:
                _say(f"{task:<10} {name:<16} {_figure(entry)}")
    _say(f"page: {out / 'page.html'}")


def _figure(entry: Mapping[str, Any]) -> str:
    if entry["value"] is None:
        return f"not defined: {entry['reason']}"
    n = f"n = {entry['n_images']} images, {entry['n_patients']} patients"
    return f"{entry['value']:.3f} [{entry['low']:.3f}, {entry['high']:.3f}]  {n}"


def _print_json(value: Any) -> None:
    import json

    print(json.dumps(value, sort_keys=True))  # noqa: T201


def _say(line: str) -> None:
    print(line, file=sys.stderr)  # noqa: T201
