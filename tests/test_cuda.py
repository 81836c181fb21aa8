"""What a card does with runs and commands: `make check-cuda` where there is one, skipped elsewhere.

Graphs, shortage of memory and fp16 are in `engine/test_graphs_on_card.py`.
"""

import numpy as np
import pytest
import torch

from medistill.engine.objectives import batching_of, make_method
from medistill.engine.optimizer import make_fabric, make_optimizer, take_step
from medistill.engine.step import train_window
from medistill.engine.track import read_track
from medistill.model.dual import DualEncoder
from medistill.model.saved import save_model
from medistill.pretrain import pretrain
from medistill.serve.index.table import open_table
from tests.cli.test_cli import call
from tests.conftest import tiny_model, tiny_recipe, tiny_window, write_noise_corpus
from tests.test_pretrain import BrokenOff, assert_same_weights, break_off_after, hard_recipe, silent

pytestmark = pytest.mark.cuda
PRECISIONS = ("32", "bf16", "fp16")
OBJECTIVES = ("msd", "clip", "gradcache", "siglip", "moco", "fastclip")


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_run_broken_off_goes_on_to_bitwise_the_same_weights(tiny_corpus, tmp_path, precision):
    recipe = hard_recipe(precision=precision)
    pretrain(recipe, tiny_corpus, tmp_path / "one", watch=silent)
    with pytest.raises(BrokenOff):
        pretrain(recipe, tiny_corpus, tmp_path / "two", watch=break_off_after(5))
    pretrain(recipe, tiny_corpus, tmp_path / "two", watch=silent)
    assert_same_weights(tmp_path / "one", tmp_path / "two")


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_trains(tiny_corpus, tmp_path, objective):
    recipe = tiny_recipe(objective=objective, window=8, log_every=1)
    pretrain(recipe, tiny_corpus, tmp_path / "run", watch=silent)
    losses = [line["loss"] for line in read_track(tmp_path / "run") if "loss" in line]
    assert len(losses) == 2 * 5
    assert np.isfinite(losses).all()


def windows_peak(recipe, micro_batches):
    """Most memory that windows of so many micro-batches take, once the first has made what stays."""
    fabric = make_fabric(recipe.precision)
    model = tiny_model(recipe).to(fabric.device)
    method = make_method(recipe, model, fabric)
    student, optimizer = fabric.setup(model, make_optimizer(model, lr=1e-3, weight_decay=0.0))
    student.train()
    window = tiny_window(model, micro_batches * recipe.micro_batch)
    for _ in range(2):
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        train_window(
            fabric,
            student,
            method,
            window,
            batching=batching_of(recipe),
            optimizer_step=lambda: take_step(fabric, student, optimizer, 1.0),
        )
    return torch.cuda.max_memory_allocated()


def test_a_longer_window_takes_no_more_memory_than_its_keys():
    recipe = tiny_recipe(size=128, micro_batch=16, window=16)
    short, long = (windows_peak(recipe, count) for count in (4, 32))
    assert long - short < 0.05 * short


@pytest.fixture
def home(tmp_path):
    home = tmp_path / "home"
    save_model(tiny_model(), home / "model")
    write_noise_corpus(home / "corpus")
    return home


@pytest.fixture
def places(monkeypatch):
    """Where images and texts were when a model embedded them."""
    seen = set()

    def noted(name):
        whole = getattr(DualEncoder, name)

        def embed(self, inputs, *more):
            seen.add((inputs.device.type, next(self.parameters()).device.type))
            return whole(self, inputs, *more)

        monkeypatch.setattr(DualEncoder, name, embed)

    noted("embed_images")
    noted("embed_tokens")
    return seen


COMMANDS = {
    "evaluate": "evaluate {h}/model --data {h}/corpus --out {o}/evaluation",
    "embed": "embed {h}/model --data {h}/corpus --out {o}/table.arrow",
    "label": "label {h}/model --data {h}/corpus --findings edema effusion --out {o}/labels.csv",
}


@pytest.mark.parametrize(("flags", "place"), [((), "cuda"), (("--device", "cpu"), "cpu")])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_embeds_on_the_card_unless_told_otherwise(home, tmp_path, places, command, flags, place):
    assert call(*COMMANDS[command].format(h=home, o=tmp_path).split(), *flags) == 0
    assert places == {(place, place)}


def test_embeddings_of_the_card_are_those_of_the_cpu(home, tmp_path):
    found = []
    for device in ("cuda", "cpu"):
        out = tmp_path / f"{device}.arrow"
        assert call("embed", home / "model", "--data", home / "corpus", "--out", out, "--device", device) == 0
        rows = [row for batch in open_table(out).batches() for row in batch["image_vector"].to_pylist()]
        found.append(np.array(rows))
    np.testing.assert_allclose(*found, atol=1e-4)
