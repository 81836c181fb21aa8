"""The command line: from words to a call of a command."""

import logging
import os
import select
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from medistill import __version__
from medistill.errors import CallError, MedistillError
from medistill.system.shown import HarmlessFormatter, in_line, is_unicode
from medistill.system.stop import TerminatedError, die_of_termination, terminable


class Command(NamedTuple):
    """Where a command is, and what the overview says of it."""

    module: str
    """In `medistill.cli`, with a function of the command's name: imported only when it is called."""
    summary: str
    selects: str = ""
    """What its first word selects, a source or a recipe, whose options are flags too."""
    rest: str = ""
    """How the call goes on after that word."""
    again: str = "the same command begins anew"
    """What comes of it when it was stopped and is called again."""


_GOES_ON = "the same command goes on where it was"
COMMANDS: Mapping[str, Command] = {
    "quickstart": Command(
        "quickstart", "draw phantoms, pretrain, evaluate: a page in two minutes", again=_GOES_ON
    ),
    "prepare": Command(
        "prepare",
        "turn source files into a corpus: SOURCE PATH --out CORPUS",
        "source",
        " PATH --out CORPUS",
        _GOES_ON,
    ),
    "check": Command("check", "leaks between splits, broken images and texts: CORPUS"),
    "plan": Command(
        "plan",
        "what fits into memory, and how long it takes: RECIPE --memory 11GB",
        "recipe",
        " --memory 11GB",
    ),
    "train": Command(
        "train",
        "pretrain on a corpus: RECIPE --data CORPUS --out RUN",
        "recipe",
        " --data CORPUS --out RUN",
        _GOES_ON,
    ),
    "compare": Command(
        "compare",
        "objectives against each other: RECIPE --data CORPUS --objectives A B",
        "recipe",
        " --data CORPUS --objectives NAME NAME ... --out DIR",
        _GOES_ON,
    ),
    "evaluate": Command("evaluate", "figures with intervals and a page: MODEL --data CORPUS --out DIR"),
    "label": Command(
        "label", "findings for new images: MODEL --images DIR --findings A B --out labels.csv", again=_GOES_ON
    ),
    "embed": Command(
        "search", "a corpus as a table of vectors: MODEL --data CORPUS --out TABLE", again=_GOES_ON
    ),
    "index": Command(
        "search",
        "an index to search from such a table: TABLE --out INDEX",
        again="the index is whole, and the same command goes on",
    ),
    "search": Command("search", 'the nearest past studies: INDEX --text "..." | --image FILE'),
    "serve": Command("serve", "a page to search and ask on; phantoms without MODEL: [MODEL] --index INDEX"),
    "export": Command("export", "the model for other tools: MODEL --to onnx|hub|open_clip --out DIR"),
    "card": Command("card", "a model card with figures and limits: RUN --out README.md"),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command; the exit status is 0 done, 1 the check or run failed, 2 the call was wrong."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(HarmlessFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("medistill").setLevel(logging.INFO)
    # Its tables of weights would drown the one line that says what is wrong with them.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    _share_cores()
    again = COMMANDS[arguments[0]].again if arguments and arguments[0] in COMMANDS else "nothing was done"
    try:
        with terminable(), _printed():
            _run(arguments)
    except MedistillError as error:
        _complain(str(error))
        sys.exit(error.status)
    except OSError as error:
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            sys.exit(0 if {"-h", "--help"} & {*arguments} else 1)
        _complain(f"{error.strerror or error}: {error.filename or 'while reading or writing'}")
        sys.exit(1)
    except RuntimeError as error:
        if "operator torchvision::" not in str(error):
            raise
        _complain(
            f"torchvision is of another build than torch ({error}): install one that fits, or remove it"
        )
        sys.exit(1)
    except TerminatedError:
        _complain(f"stopped by SIGTERM: {again}")
        die_of_termination()
    except UnicodeEncodeError:
        _complain("a text that is no Unicode: half a surrogate in JSON, or a word that is not UTF-8")
        sys.exit(1)
    except KeyboardInterrupt:
        _complain(f"interrupted: {again}")
        sys.exit(1)


@contextmanager
def _printed() -> Generator[None]:
    """Nothing is left to be printed at the end of the process, where nobody could say why it fails."""
    try:
        yield
    finally:
        sys.stdout.flush()


def _nobody_reads() -> bool:
    """Whether who read what is printed, as `head` does, has gone; if so, the rest of it goes nowhere."""
    # Of a pipe whose other end is closed poll() says so, asked for or not.
    poll = select.poll()
    for stream in (1, 2):
        poll.register(stream, 0)
    gone = [stream for stream, event in poll.poll(0) if event & (select.POLLERR | select.POLLHUP)]
    for stream in gone:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    return bool(gone)


def _complain(reason: str) -> None:
    """On whatever rank it happens."""
    print(f"medistill: {in_line(reason)}", file=sys.stderr)  # noqa: T201


def _share_cores() -> None:
    """Let OpenMP's threads sleep soon where they wait for each other: must come before torch is imported.

    By default they spin for milliseconds, which takes the cores from whatever else runs: beside one busy
    process on two cores training took 2.1 times as long, so it takes 1.5, and no longer on an idle machine.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def _run(arguments: list[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview())  # noqa: T201
    elif arguments[0] == "--version":
        print(f"medistill {__version__}")  # noqa: T201
    elif arguments[0] not in COMMANDS:
        raise CallError(f"no command is called {arguments[0]!r}; commands: {', '.join(COMMANDS)}")
    else:
        _check_words(arguments)
        _call(arguments[0], arguments[1:])


def _check_words(arguments: Sequence[str]) -> None:
    """CallError for bytes that are no UTF-8, where they cannot be a file's name."""
    for number, argument in enumerate(arguments, start=1):
        value = argument.partition("=")[2] if argument.startswith("--") else argument
        if not is_unicode(value) and "/" not in value and not Path(value).exists():
            raise CallError(
                f"word {number} of the call, {argument}, is not UTF-8: it was typed or stored in another "
                "encoding, such as Latin-1; if it is the name of a file, write ./ before it"
            )


def _overview() -> str:
    rows = "\n".join(f"  {name:<12}{command.summary}" for name, command in COMMANDS.items())
    return (
        "usage: medistill COMMAND ...\n\n"
        "Pretrain medical vision-language models by momentum self-distillation.\n\n"
        f"{rows}\n\nExample: medistill quickstart --out quickstart\n"
        "Every command has --help, and --json for a machine-readable result on standard output."
    )


def _call(name: str, arguments: list[str]) -> None:
    """Parse `arguments` by the signature of the command's function and run it."""
    import tyro

    command = COMMANDS[name]
    function: Callable[..., None] = getattr(import_module(f"medistill.cli.{command.module}"), name)
    prog = f"medistill {name}"
    if command.selects:
        selections = _selections(command.selects)
        word = _first(name, arguments, command, tuple(selections))
        annotation, defaults = selections[word]
        # The function's own annotation is Any: what the word selects is known only now.
        function.__annotations__[command.selects] = annotation
        function, arguments, prog = partial(function, **defaults), arguments[1:], f"{prog} {word}"
    tyro.cli(function, args=arguments, prog=prog, config=(tyro.conf.FlagCreatePairsOff,))


def _selections(what: str) -> Mapping[str, tuple[Any, Mapping[str, Any]]]:
    """Each word that selects a source or recipe: the type whose fields are flags, and their defaults."""
    import tyro

    if what == "source":
        from medistill.data.sources import SOURCES

        def options(kind: Any) -> Any:
            return Annotated[kind, tyro.conf.arg(name=""), tyro.conf.PositionalRequiredArgs]

        return {name: (options(source), {}) for name, source in SOURCES.items()}
    from medistill.recipe import RECIPES, Recipe

    recipe = Annotated[Recipe, tyro.conf.arg(name="")]
    return {name: (recipe, {"recipe": ready()}) for name, ready in RECIPES.items()}


def _first(name: str, arguments: list[str], command: Command, words: tuple[str, ...]) -> str:
    """The word that selects a source or recipe; help and errors list those there are."""
    what, listed = command.selects, ", ".join(words)
    if arguments and arguments[0] in ("-h", "--help"):
        usage = f"usage: medistill {name} {what.upper()}{command.rest}\n\n{what}s: {listed}\n\n"
        print(f"{usage}Example: medistill {name} {words[0]} --help")  # noqa: T201
        sys.exit(0)
    if not arguments or arguments[0] not in words:
        given = f"{arguments[0]!r} is none" if arguments else "none was given"
        raise CallError(f"{name} takes a {what} first, {given}; {what}s: {listed}")
    return arguments[0]
