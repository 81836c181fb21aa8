"""The quickstart as a stranger runs it, without a network."""

import json
import socket
import time

import pytest

from medistill.cli import main
from medistill.cli.quickstart import run_quickstart
from medistill.engine.track import read_track


@pytest.fixture
def no_network(monkeypatch):
    """Any attempt to reach another machine is refused, noted, and fails the test at its end."""
    attempts, connect = [], socket.socket.connect

    def refuse(self, address):
        if self.family == socket.AF_UNIX:
            return connect(self, address)
        attempts.append(address)
        raise OSError("there is no network in this test")

    def unknown(host, *rest, **options):
        attempts.append(host)
        raise socket.gaierror("there is no network in this test")

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    yield
    assert attempts == []


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


@pytest.mark.slow
def test_the_quickstart_reaches_the_figures_it_promises(no_network, tmp_path):
    run_quickstart(tmp_path)
    metrics = json.loads((tmp_path / "evaluation" / "metrics.json").read_text())
    zero_shot, retrieval = metrics["zero_shot"], metrics["retrieval"]
    assert zero_shot["auroc_macro"]["n_images"] >= 500
    assert zero_shot["auroc_macro"]["value"] >= 0.85
    assert min(e["value"] for name, e in zero_shot.items() if name.startswith("auroc/")) >= 0.70
    assert metrics["few_shot"]["auroc_macro@16"]["value"] >= 0.85
    assert retrieval["i2t_r@10_unique"]["value"] >= 10 * retrieval["chance_r@10"]["value"]
    assert metrics["grounding"]["pointing_game_over_center"]["low"] >= 0.1
    recalls = [line["val/i2t_r@10"] for line in read_track(tmp_path / "run") if "val/loss" in line]
    assert len(recalls) >= 2


@pytest.mark.slow
def test_five_minutes_of_training_reach_more(tmp_path):
    """Twice the studies and five epochs."""
    corpus, run, out = (tmp_path / name for name in ("corpus", "run", "evaluation"))
    for arguments in (
        ["prepare", "phantom", "--count", "16000", "--out", str(corpus)],
        ["train", "quickstart", "--data", str(corpus), "--out", str(run), "--epochs", "5"],
        ["evaluate", str(run), "--data", str(corpus), "--out", str(out)],
    ):
        main(arguments)
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["zero_shot"]["auroc_macro"]["value"] >= 0.92
