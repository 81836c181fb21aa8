"""The command line: from words to a call of a command."""

import functools
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from medistill import (
    __version__,
    commands,
    commands_evaluate,
    commands_model,
    commands_search,
    commands_serve,
)
from medistill.errors import CallError, MedistillError


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command; the exit status is 0 done, 1 the check or run failed, 2 the call was wrong."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("medistill").setLevel(logging.INFO)
    try:
        _run(arguments)
    except MedistillError as error:
        _complain(str(error))
        sys.exit(error.status)
    except OSError as error:
        _complain(f"{error.strerror or error}: {error.filename or 'while reading or writing'}")
        sys.exit(1)
    except RuntimeError as error:
        if "operator torchvision::" not in str(error):
            raise
        _complain(
            f"torchvision is of another build than torch ({error}): install one that fits, or remove it"
        )
        sys.exit(1)
    except KeyboardInterrupt:
        _complain("interrupted")
        sys.exit(1)


def _complain(reason: str) -> None:
    """On whatever rank it happens."""
    print(f"medistill: {reason}", file=sys.stderr)  # noqa: T201


def _call_prepare(arguments: list[str]) -> None:
    """`prepare SOURCE [PATH]`: each source brings its own flags."""
    import tyro

    from medistill.data.sources import SOURCES

    name = _first("prepare", arguments, "source", tuple(SOURCES), " PATH --out CORPUS")
    source = Annotated[SOURCES[name], tyro.conf.arg(name=""), tyro.conf.PositionalRequiredArgs]
    _call(commands.prepare, arguments[1:], f"medistill prepare {name}", source=source)


def _call_train(arguments: list[str]) -> None:
    _call_with_recipe(commands.train, arguments, " --data CORPUS --out RUN")


def _call_compare(arguments: list[str]) -> None:
    _call_with_recipe(commands.compare, arguments, " --data CORPUS --objectives NAME NAME ... --out DIR")


def _call_with_recipe(command: Callable[..., None], arguments: list[str], rest: str) -> None:
    """`train RECIPE`, `compare RECIPE`: the ready recipe of that name gives the flags their defaults."""
    import tyro

    from medistill.recipe import RECIPES, Recipe

    name = _first(command.__name__, arguments, "recipe", tuple(RECIPES), rest)
    recipe = Annotated[Recipe, tyro.conf.arg(name="")]
    ready = functools.partial(command, recipe=RECIPES[name]())
    _call(ready, arguments[1:], f"medistill {command.__name__} {name}", recipe=recipe)


def _call_plan(arguments: list[str]) -> None:
    _call_with_recipe(commands.plan, arguments, " --memory 11GB")


def _call_evaluate(arguments: list[str]) -> None:
    import tyro

    _call(commands_evaluate.evaluate, arguments, "medistill evaluate", model=tyro.conf.Positional[str])


def _call_label(arguments: list[str]) -> None:
    import tyro

    _call(commands_model.label, arguments, "medistill label", model=tyro.conf.Positional[str])


def _call_serve(arguments: list[str]) -> None:
    import tyro

    model = Annotated[str | None, tyro.conf.arg(metavar="[MODEL]"), tyro.conf.Positional]
    _call(commands_serve.serve, arguments, "medistill serve", model=model)


def _call_card(arguments: list[str]) -> None:
    import tyro

    _call(commands_model.card, arguments, "medistill card", run=tyro.conf.Positional[Path])


def _call_export(arguments: list[str]) -> None:
    import tyro

    _call(commands_model.export, arguments, "medistill export", model=tyro.conf.Positional[str])


def _call_embed(arguments: list[str]) -> None:
    import tyro

    _call(commands_search.embed, arguments, "medistill embed", model=tyro.conf.Positional[str])


def _call_index(arguments: list[str]) -> None:
    import tyro

    _call(commands_search.index, arguments, "medistill index", table=tyro.conf.Positional[Path | None])


def _call_search(arguments: list[str]) -> None:
    import tyro

    _call(commands_search.search, arguments, "medistill search", index=tyro.conf.Positional[str])


def _call_check(arguments: list[str]) -> None:
    import tyro

    _call(commands.check, arguments, "medistill check", corpus=tyro.conf.Positional[Path])


def _call_quickstart(arguments: list[str]) -> None:
    _call(commands.quickstart, arguments, "medistill quickstart")


COMMANDS: Mapping[str, tuple[Callable[[list[str]], None], str]] = {
    "quickstart": (_call_quickstart, "draw phantoms, pretrain, evaluate: a page in two minutes"),
    "prepare": (_call_prepare, "turn source files into a corpus: SOURCE PATH --out CORPUS"),
    "check": (_call_check, "leaks between splits, broken images and texts: CORPUS"),
    "plan": (_call_plan, "what fits into memory, and how long it takes: RECIPE --memory 11GB"),
    "train": (_call_train, "pretrain on a corpus: RECIPE --data CORPUS --out RUN"),
    "compare": (
        _call_compare,
        "objectives against each other: RECIPE --data CORPUS --objectives A B",
    ),
    "evaluate": (_call_evaluate, "figures with intervals and a page: MODEL --data CORPUS --out DIR"),
    "label": (_call_label, "findings for new images: MODEL --images DIR --findings A B --out labels.csv"),
    "embed": (_call_embed, "a corpus as a table of vectors: MODEL --data CORPUS --out TABLE"),
    "index": (_call_index, "an index to search from such a table: TABLE --out INDEX"),
    "search": (_call_search, 'the nearest past studies: INDEX --text "..." | --image FILE'),
    "serve": (_call_serve, "a page to search and ask on; phantoms without MODEL: [MODEL] --index INDEX"),
    "export": (_call_export, "the model for other tools: MODEL --to onnx|hub|open_clip --out DIR"),
    "card": (_call_card, "a model card with figures and limits: RUN --out README.md"),
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


def _first(command: str, arguments: list[str], what: str, names: tuple[str, ...], rest: str) -> str:
    """The word that selects a source or recipe; help and errors list those there are."""
    listed = ", ".join(names)
    if arguments and arguments[0] in ("-h", "--help"):
        usage = f"usage: medistill {command} {what.upper()}{rest}\n\n{what}s: {listed}\n\n"
        print(f"{usage}Example: medistill {command} {names[0]} --help")  # noqa: T201
        sys.exit(0)
    if not arguments or arguments[0] not in names:
        found = f"{arguments[0]!r} is none" if arguments else "none was given"
        raise CallError(f"{command} takes a {what} first, {found}; {what}s: {listed}")
    return arguments[0]
