"""The gated head: its formula, and a model that has one wherever a model goes."""

import json

import pytest
import torch
from torch import nn

from medistill.engine.objectives import make_method
from medistill.engine.step import Batching, train_window
from medistill.errors import CallError
from medistill.model.projection import TIMES, GatedProjection, make_projection
from medistill.model.saved import load, save_model
from medistill.model.start import start_model
from medistill.recipe import Encoder
from tests.conftest import forget_checksums, tiny_model, tiny_recipe, tiny_texts, tiny_window
from tests.engine.test_step import Steps
from tests.model.families import save_family
from tests.model.test_dual import pictures


def moved(head: GatedProjection) -> GatedProjection:
    """With norm and biases that matter."""
    random = torch.Generator().manual_seed(1)
    for p in head.parameters():
        p.data += 0.3 * torch.randn(p.shape, generator=random, dtype=p.dtype)
    return head


@torch.no_grad()
def test_a_gated_head_is_the_formula_written_out_number_by_number():
    torch.manual_seed(0)
    head = moved(GatedProjection(4, 3).double())
    rows = 5 * torch.randn(6, 4, dtype=torch.float64)
    for row, found in zip(rows, head(rows), strict=True):
        spread = ((row - row.mean()) ** 2).mean()
        x = (row - row.mean()) / torch.sqrt(spread + 1e-5) * head.norm.weight + head.norm.bias
        inside = []
        for i in range(4 * TIMES):
            gate = float(head.gate.weight[i] @ x + head.gate.bias[i])
            inside.append(min(max(gate, 0.0), 6.0) * (head.value.weight[i] @ x + head.value.bias[i]))
        expected = head.out.weight @ torch.stack(inside) + head.out.bias
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_it_begins_at_xaviers_uniform_without_bias():
    head = GatedProjection(32, 8)
    for layer in (head.gate, head.value, head.out):
        bound = (6 / sum(layer.weight.shape)) ** 0.5
        assert 0.9 * bound < float(layer.weight.detach().abs().max()) <= bound
        assert not layer.bias.any()


def test_a_linear_head_is_a_matrix_whose_names_and_folder_are_as_ever(tmp_path):
    model = tiny_model()
    assert isinstance(make_projection("linear", 3, 2), nn.Linear)
    names = {name for name in model.state_dict() if "projection" in name}
    assert names == {"image_projection.weight", "text_projection.weight"}
    save_model(model, tmp_path)
    assert "head" not in json.loads((tmp_path / "config.json").read_text())


def test_a_gated_model_comes_back_from_its_folder(tmp_path):
    model = tiny_model(tiny_recipe(head="gated")).eval()
    for head in (model.image_projection, model.text_projection):
        moved(head)
    save_model(model, tmp_path)
    again = load(tmp_path)
    assert torch.equal(again.encode_images(pictures()), model.encode_images(pictures()))
    assert torch.equal(again.encode_texts(tiny_texts(3)), model.encode_texts(tiny_texts(3)))


def test_a_sentence_model_below_a_gated_head_stays_unit_and_pooled_its_own_way(tmp_path):
    save_family(tmp_path / "tower", "sentence")
    text = Encoder(type="", pretrained=str(tmp_path / "tower"))
    model = tiny_model(tiny_recipe(head="gated", text=text)).eval()
    save_model(model, tmp_path / "model")
    again = load(tmp_path / "model")
    assert (again.text.normalized, again.text.pooling) == (True, "cls")
    assert torch.equal(again.encode_texts(["heart"]), model.encode_texts(["heart"]))


def test_a_run_starts_from_a_gated_model_and_says_if_the_recipe_has_another_head(tmp_path):
    model = tiny_model(tiny_recipe(head="gated"))
    save_model(model, tmp_path)
    started = start_model(tiny_recipe(head="gated", init=str(tmp_path)), [], [])
    torch.testing.assert_close(started.state_dict(), model.state_dict(), rtol=0, atol=0)
    with pytest.raises(CallError, match="the model has head gated, the recipe linear; set --head gated"):
        start_model(tiny_recipe(init=str(tmp_path)), [], [])


def test_a_head_that_no_model_has_is_one_clear_line(tmp_path):
    save_model(tiny_model(tiny_recipe(head="gated")), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "head": "round"}))
    forget_checksums(tmp_path)
    with pytest.raises(CallError, match="head 'round', expected linear or gated"):
        load(tmp_path)


@pytest.mark.parametrize("objective", ["msd", "gradcache"])
def test_a_gated_heads_gradient_is_that_of_the_unsplit_window(fabric, objective):
    def gradient(micro: int) -> dict[str, torch.Tensor]:
        recipe = tiny_recipe(head="gated", objective=objective)
        model = tiny_model(recipe).double()
        steps = Steps(model)
        train_window(
            fabric,
            fabric.setup_module(model),
            make_method(recipe, model, fabric),
            tiny_window(model),
            batching=Batching(micro, 8),
            optimizer_step=steps,
        )
        return steps.gradients[0]

    whole, split = gradient(8), gradient(3)
    assert whole["text_projection.gate.weight"].any()
    torch.testing.assert_close(split, whole, rtol=1e-9, atol=1e-10)
