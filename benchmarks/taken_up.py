"""Whether one version of the code goes on with what another one was killed in.

    python benchmarks/taken_up.py begin BEGUN --source TREE          each call whole, and again up to a kill
    python benchmarks/taken_up.py take-up BEGUN DONE --source OTHER  the killed ones again, on a copy

The second prints for each call whether it went on (and not anew) and ended in the same as the whole one by
TREE; the exit status is 1 if one did not. That it went on is seen by a mark: a few bytes are changed in what
the killed call had saved, and come out in the result at that place alone. Where a mark would be refused, it
is seen by figures of the killed call that no other run could repeat: times measured. Each whole call is also
given again on what it made: that is to stay as it is, to the byte. All calls read a corpus, a model and
tables that TREE made. Pages are not compared here: `page_pictures.py BEGUN/whole DONE/again` does that.
"""

import argparse
import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from source_files import chexpert, write_picture, write_table
from unchanged import PLACE, compared, environment, workplace

WHOLE, STOPPED, AGAIN = Path("whole"), Path("stopped"), Path("again")
TABLE = "data-00000-of-00001.arrow"
HASH, DIM = 32, 128
"""Bytes of a key and numbers of a vector in what `embed` remembers."""
TINY = "--epochs 2 --window 64 --validate-every .25 --log-every 1"
CHEXPERT = (
    f"{PLACE}/files/chexpert --reports {PLACE}/files/chexpert/df_chexpert_plus_240401.csv --allow-rejects"
)
LOG = "log.txt"
"""Of a cell of a comparison: what its processes said, and so not the same after a kill."""
ATTEMPTS, PAUSE = 30, 0.001


@dataclass(frozen=True, kw_only=True)
class Case:
    """A call that is killed on the way, in a folder of its own."""

    name: str
    call: str
    first: str = ""
    """A call that comes before it."""
    grows: str = ""
    """A file that shows how far the call is; the call is not killed where there is none."""
    enough: Callable[[bytes], bool] = bool
    """Whether that file holds enough for the kill."""
    saved: str = ""
    """What the killed call saved and the next one is to go on with; nothing if it is all or nothing."""
    mark: tuple[bytes, bytes] | Callable[[bytes], tuple[bytes, bytes]] | None = None
    """What to replace there, and by what; it comes out in `result`, and nowhere else."""
    result: str = ""
    settled: bool = True
    """Whether the call finds what it has made before, and leaves it as it is."""


def lines(count: int) -> Callable[[bytes], bool]:
    return lambda data: data.count(b"\n") >= count


def first_vector(data: bytes) -> tuple[bytes, bytes]:
    """The first embedding in a file of hashes and embeddings, and the same pointing back."""
    vector = data[HASH : HASH + 4 * DIM]
    return vector, (-np.frombuffer(vector, "<f4")).tobytes()


def preparing(name: str, call: str, mark: tuple[bytes, bytes]) -> Case:
    return Case(
        name=f"prepare-{name}",
        call=f"prepare {name} {call} --out corpus",
        grows=".corpus.partial/journal.jsonl",
        enough=lines(3),
        saved=f".corpus.partial/{TABLE}",
        mark=mark,
        result=f"corpus/{TABLE}",
    )


def training(objective: str, options: str) -> Case:
    """Killed after the second validation, and so after the first checkpoint."""
    return Case(
        name=f"train-{objective}",
        call=f"train quickstart --data {PLACE}/corpus {options} --objective {objective} --out run",
        grows="run/metrics.jsonl",
        enough=lambda data: data.count(b"val/loss") >= 2,
        saved="run/metrics.jsonl",
    )


CASES = (
    preparing("phantom", "--count 1200 --seed 4", (b"effusion.", b"Effusion.")),
    preparing("csv", f"{PLACE}/table.csv", (b"Report", b"repORT")),
    preparing("chexpert", CHEXPERT, (b"There is", b"There IS")),
    training("msd", f"{TINY} --queue 128"),
    training("clip", f"{TINY} --augment --workers 2"),
    Case(
        name="embed",
        call=f"embed {PLACE}/run --data {PLACE}/corpus --out table.arrow",
        grows=".table.arrow.embeddings/*.f32",
        enough=lambda data: len(data) > 100 * (HASH + 4 * DIM),
        saved=".table.arrow.embeddings/*.f32",
        mark=first_vector,
        result="table.arrow",
    ),
    Case(
        name="index",
        first=f"index {PLACE}/other.arrow --out index",
        call=f"index {PLACE}/table.arrow --out index",
        grows="index/part-000002/vectors.f32",
        settled=False,
    ),
    Case(name="search", call=f"search {PLACE}/index --text 'left effusion' --label edema --json"),
    Case(name="evaluate", call=f"evaluate {PLACE}/run --data {PLACE}/corpus --out evaluation"),
    Case(name="card", call=f"card {PLACE}/run --data {PLACE}/corpus --out card.md", settled=False),
    Case(
        name="label",
        call=f"label {PLACE}/run --data {PLACE}/corpus --findings edema --out labels.csv",
        grows=".labels.csv.partial/journal",
        enough=lines(4),
        saved=".labels.csv.partial/rows.csv",
        mark=(b"train", b"Train"),
        result="labels.csv",
    ),
    Case(
        name="compare",
        call=f"compare quickstart --data {PLACE}/corpus --objectives clip msd --seeds 1 --trials 0 "
        f"--budgets samples {TINY} --out comparison",
        grows="comparison/cells/final-msd-2-0/run/metrics.jsonl",
        saved="comparison/cells/final-clip-2-0/result.json",
    ),
)


def begin(out: Path, tree: Path) -> None:
    """Every call whole, and once more until it is killed."""
    with workplace(out):
        write_files(tree)
        for case in CASES:
            whole, stopped = WHOLE / case.name, STOPPED / case.name
            whole.mkdir(parents=True)
            if case.first:
                needed(tree, case.first, whole)
            shutil.copytree(whole, stopped)
            needed(tree, case.call, whole)
            if case.grows:
                kill_on_the_way(case, tree, stopped)


def write_files(tree: Path) -> None:
    """What the calls are about: a corpus, a model, tables of embeddings, files of two sources."""
    chexpert(PLACE / "files" / "chexpert")
    write_picture(PLACE / "film.png", 0)
    rows = [("film.png", f"p{number}", f"Report {number}.") for number in range(1200)]
    write_table(PLACE / "table.csv", ("image", "patient_id", "text"), rows)
    for seed, name in (("3", "corpus"), ("8", "others")):
        needed(tree, f"prepare phantom --count 400 --seed {seed} --out {name}", PLACE)
    needed(tree, f"train quickstart --data corpus {TINY} --out run", PLACE)
    for data, table in (("corpus", "table.arrow"), ("others", "other.arrow")):
        needed(tree, f"embed run --data {data} --out {table}", PLACE)
    needed(tree, "index table.arrow --out index", PLACE)


def needed(tree: Path, call: str, folder: Path) -> None:
    if fault := called(tree, call, folder):
        sys.exit(fault)


def called(tree: Path, call: str, folder: Path) -> str:
    """Run `medistill CALL` in a folder, where what it prints is kept; returns what went wrong."""
    command = [sys.executable, "-m", "medistill", *shlex.split(call)]
    done = subprocess.run(
        command, cwd=folder, env=environment(tree), capture_output=True, text=True, check=False
    )
    if done.returncode:
        return f"status {done.returncode} of medistill {call}: {done.stderr.strip()[-400:]}"
    if done.stdout:
        (folder / "printed.json").write_text(done.stdout)
    return ""


def kill_on_the_way(case: Case, tree: Path, folder: Path) -> None:
    """SIGKILL for the call and all it started, once enough is saved; again if it ends too soon."""
    shutil.copytree(folder, fresh := folder.with_suffix(".fresh"))
    command = [sys.executable, "-m", "medistill", *shlex.split(case.call)]
    for _ in range(ATTEMPTS):
        with subprocess.Popen(
            command, cwd=folder, env=environment(tree), stderr=subprocess.DEVNULL
        ) as process:
            while process.poll() is None and not case.enough(content(folder, case.grows)):
                time.sleep(PAUSE)
            kill_all_in(folder)
        if process.returncode == -signal.SIGKILL and case.enough(content(folder, case.grows)):
            print(f"{case.name:<20}killed", flush=True)
            shutil.rmtree(fresh)
            return
        shutil.rmtree(folder)
        shutil.copytree(fresh, folder)
    sys.exit(f"{case.name} ended before it could be killed, {ATTEMPTS} times")


def content(folder: Path, pattern: str) -> bytes:
    """Of the file of that name; nothing where there is none yet."""
    with contextlib.suppress(FileNotFoundError):
        return b"".join(path.read_bytes() for path in folder.glob(pattern))
    return b""


def kill_all_in(folder: Path) -> None:
    """Every process that works in the folder: workers have sessions of their own."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (entry / "cwd").readlink() == folder.absolute():
                os.kill(int(entry.name), signal.SIGKILL)


def take_up(begun: Path, out: Path, tree: Path) -> int:
    """The killed calls once more, on a copy; returns how many did not go on, or ended in something else."""
    with workplace(out, begun.absolute()):
        verdicts = {case.name: again(case, tree) + taken_up(case, tree) for case in CASES}
    for name, faults in verdicts.items():
        print(f"{name:<20}{'; '.join(faults) or 'went on and ended in the same'}")
    return sum(map(bool, verdicts.values()))


def taken_up(case: Case, tree: Path) -> list[str]:
    """What is wrong with how the killed call went on."""
    whole, stopped = WHOLE / case.name, STOPPED / case.name
    saved = content(stopped, case.saved) if case.saved else b""
    if case.mark:
        old, new = case.mark(saved) if callable(case.mark) else case.mark
        for path in (next(stopped.glob(case.saved)), whole / case.result):
            path.write_bytes(path.read_bytes().replace(old, new, 1))
    if fault := called(tree, case.call, stopped):
        return [fault]
    faults = different(whole, stopped)
    if case.saved and not case.mark and not content(stopped, case.saved).startswith(first_window(saved)):
        faults.append("began anew")
    return faults


def again(case: Case, tree: Path) -> list[str]:
    """What is wrong after the same call on what it had made."""
    if not case.settled:
        return []
    shutil.copytree(whole := WHOLE / case.name, after := AGAIN / case.name)
    if fault := called(tree, case.call, after):
        return [fault]
    names = [name for name in files_in(whole, after) if not name.endswith(".html")]
    changed = [name for name in names if content(whole, name) != content(after, name)]
    return [f"another {name} when called again" for name in changed]


def different(one: Path, other: Path) -> list[str]:
    """The files that are not the same in two folders, and what is wrong with each."""
    names = [Path(name) for name in files_in(one, other) if Path(name).name != LOG]
    verdicts = {name: compared(name, one / name, other / name) for name in names}
    return [
        f"{verdict}: {name}" for name, verdict in verdicts.items() if verdict not in ("same", "other page")
    ]


def files_in(*folders: Path) -> list[str]:
    """The names of all files below any of the folders."""
    found = {str(path.relative_to(root)) for root in folders for path in root.rglob("*") if path.is_file()}
    return sorted(found)


def first_window(data: bytes) -> bytes:
    """Up to the first figure that no other run could repeat, with that figure."""
    return re.match(rb'.*?"(pairs_per_second|cpu_seconds)": [.\d]+', data, re.DOTALL)[0]


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = options.add_subparsers(dest="command", required=True)
    for name, folders in (("begin", ("out",)), ("take-up", ("begun", "out"))):
        command = commands.add_parser(name)
        for folder in folders:
            command.add_argument(folder, type=Path)
        command.add_argument("--source", type=Path, required=True, help="a checkout of the project")
    asked = options.parse_args()
    if asked.command == "begin":
        begin(asked.out, asked.source.absolute())
    else:
        sys.exit(bool(take_up(asked.begun, asked.out, asked.source.absolute())))


if __name__ == "__main__":
    main()
