"""No command asks the network for anything, or writes beside its folders."""

import functools
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

ALONE = Path(__file__).parents[1] / "alone.py"
ONE_BY_ONE = ALONE.with_name("one_by_one.py")
TORCHS = "torchinductor_"
"""An empty folder among the temporary files, which torch makes when its compiler is imported."""
TRAINING = "--epochs 1 --window 16 --micro-batch 8 --min-patients 1"
PLANNING = "--window 2 --micro-batch 1 --min-patients 1"
SERVING = """
import json, subprocess, sys, urllib.request

call = [sys.executable, "-m", "medistill", "serve", "run", "--index", "index", "--port", "0", "--json"]
with subprocess.Popen(call, stdout=subprocess.PIPE, text=True) as server:
    url = json.loads(server.stdout.readline())["url"].partition("#")[0]
    urllib.request.urlopen(f"{url.rstrip('/')}/healthz", timeout=60).read()
    server.terminate()
sys.exit(server.returncode)
"""
QUICKSTART = """
from pathlib import Path
from medistill.cli.quickstart import run_quickstart
run_quickstart(Path("quickstart"), studies=300)
"""


@functools.cache
def in_a_namespace() -> tuple[str, ...]:
    """The words before a command that give it a network of its own; skips where the system forbids it."""
    reasons: list[str] = []
    for words in (("unshare", "--net"), ("unshare", "--net", "--map-root-user")):
        try:
            tried = subprocess.run([*words, "true"], capture_output=True, text=True, check=False)
        except OSError as error:
            pytest.skip(f"no network namespaces here: {error.strerror}")
        if tried.returncode == 0:
            return words
        reasons.append(tried.stderr.strip())
    pytest.skip(f"this system gives no network namespace: {reasons[-1]}")


class Home:
    """A working folder, an empty home and an empty folder for temporary files."""

    def __init__(self, folder: Path) -> None:
        self.work, self.home, self.temporary = (folder / name for name in ("work", "home", "temporary"))
        for path in (self.work, self.home, self.temporary):
            path.mkdir()

    @property
    def environment(self) -> dict[str, str]:
        """Nothing of ours or of the tests' that would quiet a library: as in a stranger's shell."""
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG") if name in os.environ}
        return {**kept, "HOME": str(self.home), "TMPDIR": str(self.temporary), "OMP_NUM_THREADS": "1"}

    def run(self, *words: str, before: tuple[str, ...] = ()) -> Mapping[str, Any]:
        """What `alone.py` says of a call of this Python."""
        call = [*in_a_namespace(), sys.executable, str(ALONE), *before, sys.executable, *words]
        done = subprocess.run(
            call, cwd=self.work, env=self.environment, capture_output=True, text=True, check=True
        )
        return json.loads(done.stdout)

    @property
    def strays(self) -> list[str]:
        """What lies in the two folders that ought to stay empty."""
        paths = (path for folder in (self.home, self.temporary) for path in folder.rglob("*"))
        return sorted(str(path) for path in paths if not path.name.startswith(TORCHS))


@pytest.fixture
def home(tmp_path) -> Home:
    return Home(tmp_path)


def lay_out(work: Path) -> None:
    """Films in a folder, and towers of another library."""
    from transformers import BertConfig, BertModel, ViTConfig, ViTModel

    from tests.model.foreign_models import IMAGE, TEXT, save_foreign, tiny_tokenizer

    (work / "films").mkdir()
    for i in range(3):
        Image.new("L", (64, 64), 40 * i).save(work / "films" / f"film{i}.png")
        (work / "films" / f"film{i}.txt").write_text("The heart is enlarged. No effusion.")
    save_foreign(work / "clip")
    ViTModel(ViTConfig(**IMAGE)).save_pretrained(work / "vit")
    BertModel(BertConfig(**TEXT)).save_pretrained(work / "bert")
    tiny_tokenizer().save_pretrained(work / "bert")


COMMANDS = (
    "prepare phantom --count 120 --val .2 --test .3 --out corpus",
    "prepare folder films --out films-corpus --val .3 --patient-is-study",
    "check corpus --out checked",
    f"plan quickstart --memory 4GB --data corpus {PLANNING}",
    f"train quickstart --data corpus --out run {TRAINING}",
    f"train quickstart --data corpus --out towers {TRAINING} --image.pretrained vit --channels 3 --size 32 "
    "--text.pretrained bert --max-tokens 16",
    f"compare quickstart --data corpus --objectives clip msd --out compared --seeds 1 --trials 0 "
    f"--budgets samples {TRAINING}",
    "evaluate run --data corpus --out figures",
    "evaluate hf:clip --data corpus --out figures-of-clip",
    "label run --images films --findings effusion --out labels.csv",
    "embed run --data corpus --out table.arrow",
    "index table.arrow --out index",
    "search index --text effusion",
    "export run --to onnx --out graphs --int8",
    "evaluate onnx:graphs --data corpus --out figures-of-graphs",
    "export vits-start --to hub --out hub",
    "export vits-start --to open_clip --out open_clip",
    "card run --out README.md",
)


def save_vits(folder: Path) -> None:
    """A model of ViT and BERT, which every export takes."""
    from medistill.model.saved import save_model
    from tests.serve.export.models import vit_model

    folder.mkdir()
    save_model(vit_model(), folder)


@pytest.mark.slow
@pytest.mark.long
def test_no_command_asks_the_network_or_writes_beside_its_folders(home):
    lay_out(home.work)
    save_vits(home.work / "vits-start")
    ends = home.work.with_name("ends.json")
    said = home.run(str(ONE_BY_ONE), str(ends), *COMMANDS)["said"]
    told = json.loads(ends.read_text())
    for end in told:
        sent = (end["connections"], end["datagrams"], end["abroad"])
        assert (end["status"], *sent) == (0, 0, 0, 0), (end["command"], said)
        assert [path for path in end["left"] if not Path(path).name.startswith(TORCHS)] == [], end["command"]
    assert [end["command"] for end in told] == list(COMMANDS)
    for program, own_connections in ((SERVING, 1), (QUICKSTART, 0)):
        end = home.run("-c", program)
        assert (end["status"], end["connections"], end["datagrams"], end["abroad"]) == (
            0,
            own_connections,
            0,
            0,
        ), end["said"]
        assert home.strays == []


@pytest.mark.parametrize(
    "asking",
    [
        "import socket; socket.getaddrinfo('example.org', 80)",
        "import socket; socket.create_connection(('192.0.2.1', 80))",
        "import socket; socket.socket(socket.AF_INET6).connect(('2001:db8::1', 80))",
        "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'', ('127.0.0.1', 53))",
    ],
)
def test_what_asks_the_network_is_noticed(home, asking):
    end = home.run("-c", asking)
    assert end["connections"] + end["datagrams"] + end["abroad"] > 0


def test_onnxruntime_leaves_nothing_in_the_home_folder(home):
    end = home.run("-c", "from medistill.model.foreign.onnx import onnxruntime; onnxruntime()")
    assert (end["status"], end["datagrams"], end["abroad"], home.strays) == (0, 0, 0, []), end["said"]
