"""Whether two versions of the code make the same of the same: figures, files, pages, help, answers.

    python benchmarks/unchanged.py make BEFORE --source TREE       all that is compared, by the code of TREE
    python benchmarks/unchanged.py make AFTER --source OTHER_TREE
    python benchmarks/unchanged.py compare BEFORE AFTER            each file: same or different; 1 if any is

TREE is a checkout of the project; its `src` is put before what is installed, and asked through the command
line alone, so that modules may have moved. All is made in one folder of the machine and moved away at the
end, since some files name the place of a model or corpus; so one call at a time, and another one waits.
Files are compared byte by byte, but for what no two runs have in common: `measured` lists it.
"""

import argparse
import fcntl
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
from served import write_answers
from source_files import write_all

PLACE = Path(tempfile.gettempdir()) / "medistill-unchanged"
LABELS = "cardiomegaly 'pleural effusion' pneumothorax consolidation edema"
CSV = "files/csv/reports.csv --study-id study"
TINY = "--epochs 1 --window 64 --validate-every 1"
FIVE = "chexpert-5 chexpert-14 chexpert-5x200-gloria chexpert-5x200-medclip chexpert-5x200-cxr-clip"
CALLS = f"""
0 quickstart          quickstart --out quickstart --json
0 corpus-phantom      prepare phantom --count 400 --seed 5 --out corpora/phantom --val .2 --test .3 --json
0 corpus-folder       prepare folder files/folder --sections findings+impression --rule-labels --out
                      corpora/folder
0 corpus-csv          prepare csv {CSV} --date seen --labels {LABELS} --val .2 --test .4 --out corpora/csv
                      --json
0 corpus-csv-sections prepare csv {CSV} --sections impression --rule-labels --size 16 --limit 90
                      --show-paths --out corpora/sections
0 corpus-csv-secret   prepare csv {CSV} --date seen --deidentify files/key --workers 1 --out corpora/secret
0 corpus-dicom        prepare dicom files/dicom/files --reports files/dicom/reports.csv --sections
                      findings+impression --rule-labels --allow-rejects --out corpora/dicom --json
0 corpus-dicom-16     prepare dicom files/dicom/files --reports files/dicom/reports.csv --depth 16 --window
                      LUNG --allow-rejects --out corpora/dicom-16
0 corpus-mimic-cxr    prepare mimic-cxr files/mimic-cxr --subset-seed 42 --allow-rejects --out
                      corpora/mimic-cxr --json
0 corpus-chexpert     prepare chexpert files/chexpert --reports files/chexpert/df_chexpert_plus_240401.csv
                      --subset-seed 0 --allow-rejects --out corpora/chexpert --json
0 corpus-openi        prepare openi files/openi --test .4 --out corpora/openi --json
0 corpus-nih14        prepare nih14 files/nih14 --out corpora/nih14 --json
0 corpus-rsna         prepare rsna files/rsna --out corpora/rsna --json
0 corpus-siim         prepare siim files/siim --out corpora/siim --json
0 corpus-padchest     prepare padchest files/padchest --test .4 --allow-rejects --out corpora/padchest
                      --json
0 corpus-vindr        prepare vindr files/vindr --out corpora/vindr --json
0 corpus-covidx       prepare covidx files/covidx --out corpora/covidx --json
0 corpus-roco         prepare roco files/roco --out corpora/roco --json
0 corpus-medpix       prepare medpix files/medpix --out corpora/medpix --json

0 check-phantom       check corpora/phantom --json
1 check-planted       check corpora/planted --with-cases --show-ids --json
0 check-csv           check corpora/csv --out checks/csv
0 check-dicom         check corpora/dicom --out checks/dicom
0 train-clip          train quickstart --data corpora/phantom --out runs/clip --objective clip --augment
                      {TINY} --json
0 train-gradcache     train quickstart --data corpora/phantom --out runs/gradcache --objective gradcache
                      {TINY}
0 train-siglip        train quickstart --data corpora/phantom --out runs/siglip --objective siglip {TINY}
0 train-moco          train quickstart --data corpora/phantom --out runs/moco --objective moco --workers 2
                      {TINY}
0 train-msd           train quickstart --data corpora/csv --out runs/msd --queue 64 --section random
                      --min-patients 1 {TINY}
0 train-vit           train chest_vitb --data corpora/phantom --out runs/vit --image.pretrained
                      files/towers/vit --text.pretrained files/towers/bert --dim 16 --size 64 --max-tokens
                      48 --micro-batch 16 --workers 0 {TINY}
0 evaluate-csv        evaluate quickstart/run --data corpora/csv --with-cases --fine-tune --out
                      evaluations/csv --json
0 evaluate-openi      evaluate quickstart/run --data corpora/openi --out evaluations/openi
0 evaluate-siim       evaluate quickstart/run --data corpora/siim --out evaluations/siim
0 evaluate-vindr      evaluate quickstart/run --data corpora/vindr --out evaluations/vindr
0 protocol-chexpert   evaluate quickstart/run --data corpora/chexpert --protocol {FIVE}
                      chexpert-5x200-retrieval --out protocols/chexpert --json
0 protocol-mimic-cxr  evaluate quickstart/run --data corpora/mimic-cxr --protocol mimic-5x200
                      mimic-cxr-retrieval --out protocols/mimic-cxr
0 protocol-rsna       evaluate quickstart/run --data corpora/rsna --protocol rsna rsna-biovil --out
                      protocols/rsna
0 protocol-siim       evaluate quickstart/run --data corpora/siim --protocol siim --out protocols/siim
0 protocol-nih14      evaluate quickstart/run --data corpora/nih14 --protocol nih14 --with-cases --out
                      protocols/nih14
0 protocol-vindr      evaluate quickstart/run --data corpora/vindr --protocol vindr --out protocols/vindr
0 protocol-padchest   evaluate quickstart/run --data corpora/padchest --protocol padchest --out
                      protocols/padchest
0 protocol-covid      evaluate quickstart/run --data corpora/covidx --protocol covid --out protocols/covid
0 protocol-openi      evaluate quickstart/run --data corpora/openi --protocol openi openi-retrieval --out
                      protocols/openi
0 protocol-phantom    evaluate quickstart/run --data corpora/phantom --protocol phantom labels --out
                      protocols/phantom
0 objectives          compare quickstart --data corpora/phantom --objectives clip hot msd --settings
                      files/settings.json --seeds 2 --trials 1 --budgets samples --out
                      comparisons/objectives --json {TINY}
0 embed-phantom       embed quickstart/run --data corpora/phantom --out tables/phantom.arrow --json
0 embed-csv           embed quickstart/run --data corpora/csv --out tables/csv.arrow
0 embed-nih14         embed quickstart/run --data corpora/nih14 --out tables/nih14.arrow
0 label-prompts       label quickstart/run --data corpora/phantom --prompts files/prompts.json --calibrate
                      corpora/phantom --out labels/prompts.csv --json
0 label-findings      label quickstart/run --images files/csv/films --findings cardiomegaly 'pleural
                      effusion' --out labels/findings.csv --json
0 label-shots         label quickstart/run --images files/csv/films --shots files/shots.csv --out
                      labels/shots.csv --json
0 card                card quickstart/run --out cards/quickstart.md --json
0 export-onnx         export quickstart/run --to onnx --int8 --data corpora/phantom --out exports/onnx
                      --json
2 export-hub-refused  export quickstart/run --to hub --out exports/none
0 version             --version
2 refused-command     nonsense
2 refused-source      prepare nonsense
2 refused-flag        train quickstart --nonsense
2 refused-corpus      evaluate quickstart/run --data nowhere --out nothing
2 refused-protocol    evaluate quickstart/run --data corpora/csv --protocol nih14 --out nothing
2 refused-model       label corpora/csv --images files/csv/films --findings edema --out nothing.csv
1 refused-rejects     prepare csv files/shots.csv --without-reports --out nothing

0 train-init          train quickstart --data corpora/phantom --out runs/init --init runs/clip
                      --checkpoint-activations {TINY}
0 evaluate-prompts    evaluate runs/clip --data corpora/phantom --split val --prompts files/prompts.json
                      --out evaluations/prompts
0 against             evaluate quickstart/run --against runs/clip runs/vit --data corpora/phantom --out
                      comparisons/models --json
0 against-protocol    evaluate quickstart/run --against runs/clip --data corpora/nih14 --protocol nih14
                      --with-cases --out comparisons/protocol
0 index               index tables/phantom.arrow --out index --json
0 index-usearch       index tables/nih14.arrow --out index-usearch --kind usearch --json
0 label-again         label quickstart/run --data corpora/nih14 --classifier labels/shots.classifier --out
                      labels/again.csv
0 export-hub          export runs/vit --to hub --out exports/hub --json
2 refused-recipe      train quickstart --data corpora/phantom --out runs/clip --epochs 7

0 index-more          index tables/csv.arrow --out index --delete s0000003-1 --json
0 search-usearch      search index-usearch --text "mass" --label mass --json
0 card-clip           card runs/clip --evaluation evaluations/prompts --data corpora/phantom --out
                      cards/clip.md
0 evaluate-hub        evaluate hf:exports/hub --data corpora/phantom --out evaluations/hub

0 search-text         search index --text "large left pleural effusion" --json
0 search-table        search index --text "no edema" --k 5
0 search-image        search index --image files/csv/films/7.png --k 30 --all-studies --json
0 search-both         search index --text "effusion" --image files/csv/films/7.png --weight .3 --view PA
                      --sex F --min-age 30 --since 2021-02-01 --json
"""
"""Exit status, name, and what follows `medistill`; a line that begins with spaces goes on with the last. What
lies between empty lines is called at once, a call for each core."""


def make(out: Path, tree: Path) -> int:
    """Make everything with the code in `tree`; returns how many calls ended with another status."""
    with workplace(out):
        write_all(Path("files"))
        write_small_files(Path("files"))
        for place in ("said", "cards"):
            Path(place).mkdir()
        first, *stages = CALLS.split("\n\n")
        odd = call_all(tree, lines_of(first))
        plant_leaks(Path("corpora/phantom"), Path("corpora/planted"))
        for stage in stages:
            odd += call_all(tree, lines_of(stage))
        odd += call_all(tree, help_calls(tree))
        write_answers(environment(tree), Path("served"))
    return odd


def call_all(tree: Path, lines: Iterable[str]) -> int:
    """Make some calls at once; returns how many ended with another status than their line says."""

    def is_odd(line: str) -> bool:
        status, name, call = line.split(maxsplit=2)
        return call_and_note(tree, name, shlex.split(call)) != int(status)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return sum(pool.map(is_odd, lines))


def lines_of(table: str) -> list[str]:
    return re.sub(r"\n +", " ", table).strip().splitlines()


@contextmanager
def workplace(out: Path, start: Path | None = None) -> Generator[None]:
    """The one folder that all is made in, empty or a copy of `start`; it becomes `out` at the end."""
    if out.exists():
        sys.exit(f"{out} is there already")
    home, out = Path.cwd(), out.absolute()
    with PLACE.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if PLACE.is_symlink():  # what a killed call left
            PLACE.unlink()
        elif PLACE.exists():
            shutil.rmtree(PLACE)
        if start:
            shutil.copytree(start, PLACE, symlinks=True)
        else:
            PLACE.mkdir()
        os.chdir(PLACE)
        try:
            yield
        finally:
            os.chdir(home)
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(PLACE, out)


@contextmanager
def in_place(made: Path) -> Generator[Path]:
    """A folder that `make` made, back at the place that its files name."""
    with PLACE.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        PLACE.symlink_to(made.absolute())
        try:
            yield PLACE
        finally:
            PLACE.unlink()


def environment(tree: Path) -> dict[str, str]:
    """The code of `tree`; one thread, since sums depend on their number; no network, no colors."""
    chosen = {"PYTHONPATH": str(tree.absolute() / "src"), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return {**os.environ, **chosen, "COLUMNS": "110", "TERM": "dumb"}


def call_and_note(tree: Path, name: str, call: list[str]) -> int:
    """Run `medistill CALL`; what it printed and its status are kept in said/."""
    start = time.monotonic()
    command = [sys.executable, "-m", "medistill", *call]
    done = subprocess.run(command, env=environment(tree), capture_output=True, text=True, check=False)
    said = f"status {done.returncode}\n--- out\n{done.stdout}--- err\n{done.stderr}"
    Path("said", f"{name}.txt").write_text(said)
    print(f"{name:<24}status {done.returncode}  {time.monotonic() - start:.0f} s", flush=True)
    return done.returncode


def help_calls(tree: Path) -> Iterator[str]:
    """`--help` of every command there is, and of every source and recipe."""

    def said(*words: str) -> str:
        command = [sys.executable, "-m", "medistill", *words, "--help"]
        return subprocess.run(
            command, env=environment(tree), capture_output=True, text=True, check=True
        ).stdout

    def listed(text: str, what: str) -> list[str]:
        return re.search(rf"^{what}s: (.*)$", text, re.MULTILINE)[1].split(", ")

    yield "0 help --help"
    commands = re.findall(r"^  ([a-z]+) ", said(), re.MULTILINE)
    yield from (f"0 help-{name} {name} --help" for name in commands)
    yield from (f"0 help-prepare-{name} prepare {name} --help" for name in listed(said("prepare"), "source"))
    for name in listed(said("train"), "recipe"):
        yield from (
            f"0 help-{command}-{name} {command} {name} --help" for command in ("train", "plan", "compare")
        )


def write_small_files(root: Path) -> None:
    """A key, prompts, settings of an objective, and a table of examples."""
    (root / "key").write_text("0123456789abcdef" * 4)
    findings = ("cardiomegaly", "left effusion", "edema")
    prompts = {name: {"positive": [f"There is {name}."], "negative": [f"No {name}."]} for name in findings}
    (root / "prompts.json").write_text(json.dumps(prompts))
    (root / "settings.json").write_text('{"hot": {"objective": "clip", "scale": 25.0}}')
    rows = [f"{n}.png,p{n // 2},{n % 2},{n // 2 % 2 if n % 7 else ''}" for n in range(60)]
    (root / "shots.csv").write_text("\n".join(["image,patient_id,edema,mass", *rows]) + "\n")


def plant_leaks(corpus: Path, out: Path) -> None:
    """A copy of a corpus with a patient, a study and an image in two splits, and a broken image."""
    shutil.copytree(corpus, out)
    file = next(out.glob("data-*.arrow"))
    with pa.OSFile(str(file)) as opened:
        table = pa.ipc.open_stream(opened).read_all()
    rows = table.to_pylist()
    train, val, test = ([row for row in rows if row["split"] == name] for name in ("train", "val", "test"))
    test[0]["patient_id"], val[0]["study_id"] = train[0]["patient_id"], train[1]["study_id"]
    test[1]["image"], test[2]["image"] = train[2]["image"], test[2]["image"][:100]
    with pa.OSFile(str(file), "wb") as opened, pa.ipc.new_stream(opened, table.schema) as stream:
        stream.write_table(pa.Table.from_pylist(rows, table.schema))


TIMES = "pairs_per_second|seconds|cpu_seconds|cpu_ms_per_pair|peak_memory_bytes|cost_of_pair_ms|speed|bytes"
"""Fields of JSON that are measured in every run, and the size of an ONNX graph, which holds source paths."""

TIMED = re.compile("^$|\\w.*━━|it/s]|^  \\w.* MB$|times as fast".encode())
"""Lines said that hold times: progress bars, empty where nothing moved; costs of training; speeds of int8."""


def measured(name: Path, data: bytes) -> bytes:
    """The file without what no two runs have in common: how long it took, and in how much memory.

    What evaluations remember of embeddings is in the order in which calls that ran at once came to it, and a
    checkpoint holds the length of metrics.jsonl, in which speeds stand, as `track`.
    """
    if name.suffix in (".json", ".jsonl", ".txt"):
        data = re.sub(
            rf'"({TIMES})": ([-+.\de]+|{{([^{{}}]|{{[^{{}}]*}})*}})'.encode(), rb'"\1": measured', data
        )
    if name.parts[0] == "said":
        data = b"".join(line for line in data.splitlines(keepends=True) if not TIMED.search(line))
    if name.suffix == ".onnx":
        data = without_traces(data)
    if name.name == "last.pt":
        data = said_by(data)
    if name.suffix == ".f32" and name.parent.suffix == ".embeddings":
        size = 32 + 4 * int(name.stem.rpartition("-")[2])
        data = b"".join(sorted({data[start : start + size] for start in range(0, len(data), size)}))
    return data


def without_traces(graph: bytes) -> bytes:
    """An ONNX file without the module and the source line that each of its parts came from."""
    import onnx

    model = onnx.load_from_string(graph)
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.initializer, model.graph):
        del part.metadata_props[:]
        part.ClearField("doc_string")
    return model.SerializeToString(deterministic=True)


def said_by(checkpoint: bytes) -> bytes:
    """All that a checkpoint says, but `track`; its file is written otherwise after a run was taken up."""
    import torch

    def plain(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return value.dtype, value.shape, sha256(value.numpy().tobytes()).hexdigest()
        if isinstance(value, dict):
            return {name: plain(part) for name, part in value.items() if name != "track"}
        return [plain(part) for part in value] if isinstance(value, list | tuple) else value

    return repr(plain(torch.load(io.BytesIO(checkpoint), weights_only=True))).encode()


def compare(before: Path, after: Path) -> int:
    """Print each file; returns how many are not the same, but for pages."""
    names = {path.relative_to(root) for root in (before, after) for path in root.rglob("*") if path.is_file()}
    verdicts = {name: compared(name, before / name, after / name) for name in sorted(names)}
    for name, verdict in verdicts.items():
        print(f"{verdict:<12}{name}")
    found = Counter(verdicts.values())
    print(", ".join(f"{count} {verdict}" for verdict, count in found.most_common()))
    return len(verdicts) - found["same"] - found["other page"]


def compared(name: Path, before: Path, after: Path) -> str:
    """`same`, or what it is: a page of other bytes may look the same, as page_pictures.py tells."""
    if not (before.is_file() and after.is_file()):
        return "only after" if after.is_file() else "gone"
    one, other = (measured(name, file.read_bytes()) for file in (before, after))
    if one == other:
        return "same"
    return "other page" if b"<!doctype html>" in one.lower() else "different"


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = options.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make")
    making.add_argument("out", type=Path)
    making.add_argument("--source", type=Path, required=True, help="a checkout of the project")
    comparing = commands.add_parser("compare")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    asked = options.parse_args()
    if asked.command == "make":
        odd = make(asked.out, asked.source.absolute())
        sys.exit(f"{odd} calls ended with another status than expected" if odd else 0)
    sys.exit(bool(compare(asked.before, asked.after)))


if __name__ == "__main__":
    main()
