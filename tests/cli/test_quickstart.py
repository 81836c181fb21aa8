"""The quickstart as a stranger runs it, without a network."""

import json
import socket
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from medistill.cli import main
from medistill.cli.quickstart import run_quickstart
from medistill.data.corpus import open_corpus
from medistill.engine.track import read_track
from medistill.evaluate.evaluation import evaluate_model
from medistill.model.any_model import open_model


@contextmanager
def refused_network():
    """Any attempt to reach another machine is refused, noted, and an error at the end."""
    attempts, connect = [], socket.socket.connect

    def refuse(self, address):
        if self.family == socket.AF_UNIX:
            return connect(self, address)
        attempts.append(address)
        raise OSError("there is no network in this test")

    def unknown(host, *rest, **options):
        attempts.append(host)
        raise socket.gaierror("there is no network in this test")

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("HF_HUB_OFFLINE", raising=False)
        patch.setattr(socket.socket, "connect", refuse)
        patch.setattr(socket, "getaddrinfo", unknown)
        yield
    assert attempts == []


@pytest.fixture
def no_network():
    with refused_network():
        yield


def test_a_small_quickstart_runs_without_a_network_and_goes_on_where_it_was(no_network, tmp_path):
    run_quickstart(tmp_path, studies=300)
    names = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert {"corpus/card.json", "run/model/model.safetensors", "evaluation/metrics.json"} <= names
    assert "data:image/png" in (tmp_path / "evaluation" / "page.html").read_text()
    trained = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    start = time.process_time()
    run_quickstart(tmp_path, studies=300)
    assert time.process_time() - start < 60
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == trained


@pytest.fixture(scope="module")
def promised(tmp_path_factory) -> Path:
    """The folder of a whole quickstart, which the tests below only read."""
    out = tmp_path_factory.mktemp("promised")
    with refused_network():
        run_quickstart(out)
    return out


@pytest.mark.slow
@pytest.mark.long
def test_the_quickstart_reaches_the_figures_it_promises(promised):
    metrics = json.loads((promised / "evaluation" / "metrics.json").read_text())
    zero_shot, retrieval = metrics["zero_shot"], metrics["retrieval"]
    assert zero_shot["auroc_macro"]["n_images"] >= 500
    assert zero_shot["auroc_macro"]["value"] >= 0.85
    assert min(e["value"] for name, e in zero_shot.items() if name.startswith("auroc/")) >= 0.70
    assert metrics["few_shot"]["auroc_macro@16"]["value"] >= 0.85
    assert retrieval["i2t_r@10_unique"]["value"] >= 10 * retrieval["chance_r@10"]["value"]
    assert metrics["grounding"]["pointing_game_over_center"]["low"] >= 0.1
    recalls = [line["val/i2t_r@10"] for line in read_track(promised / "run") if "val/loss" in line]
    assert len(recalls) >= 2


@pytest.mark.slow
@pytest.mark.long
def test_twice_the_training_reaches_more(promised, tmp_path):
    """Six epochs on the quickstart's studies; the figure alone, since a whole evaluation is made above."""
    corpus, run = promised / "corpus", tmp_path / "run"
    main(["train", "quickstart", "--data", str(corpus), "--out", str(run), "--epochs", "6"])
    longer = evaluate_model(open_model(run), open_corpus(corpus), resamples=20, draws=1)
    metrics = json.loads((promised / "evaluation" / "metrics.json").read_text())
    reached, before = longer.metrics["zero_shot"]["auroc_macro"], metrics["zero_shot"]["auroc_macro"]
    assert reached["value"] >= max(0.92, before["value"] + 0.01)
