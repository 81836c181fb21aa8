"""Low-rank adapters: what is trained, what is shared, and the model that is saved."""

import dataclasses
import sys
from pathlib import Path

import pytest
import torch
from benchmarks.saved_activations import saved_activations
from torch import nn

from medistill.engine.optimizer import make_optimizer
from medistill.errors import CallError
from medistill.model.adapters import ALPHA, adapt, adapted_layers, merged_weights
from medistill.model.dual import DualEncoder
from medistill.model.saved import load, save_model
from medistill.model.start import start_model
from medistill.model.teacher import make_teacher, update_teacher
from medistill.model.towers.build import build_image_tower, build_text_tower
from medistill.recipe import Encoder, Recipe
from tests.conftest import tiny_model, tiny_recipe, tiny_texts, tiny_window
from tests.model.families import IMAGES, TEXTS, save_family
from tests.model.test_dual import pictures


@pytest.fixture(scope="module")
def peft():
    return pytest.importorskip("peft", reason="pip install 'medistill[lora]'")


def adapted_recipe(trained: Path, **text) -> Recipe:
    """Rank 2 for the images, rank 4 for the texts unless `text` says otherwise."""
    image, fields = Encoder(type="vit", lora_rank=2), {"lora_rank": 4, **text}
    return tiny_recipe(image=image, text=Encoder(type="bert", **fields), init=str(trained))


def adapted_model(trained: Path, *, begun: bool = True, **text) -> DualEncoder:
    """A model with adapters; `begun`: some way into its training, so that B is not 0 any more."""
    torch.manual_seed(0)
    model = start_model(adapted_recipe(trained, **text), [], [])
    if begun:
        with torch.no_grad():
            for name, p in model.named_parameters():
                if "lora_B" in name:
                    p += 0.3 * torch.randn_like(p)
    return model


def embedded(model: DualEncoder) -> torch.Tensor:
    return torch.cat([model.encode_images(pictures()), model.encode_texts(tiny_texts(5))])


def test_a_model_with_adapters_begins_as_the_one_it_adapts(peft, trained):
    torch.testing.assert_close(embedded(adapted_model(trained, begun=False)), embedded(load(trained)))
    assert not torch.allclose(embedded(adapted_model(trained)), embedded(load(trained)), atol=1e-3)


def test_adapters_heads_and_scale_are_all_that_is_trained(peft, trained):
    model = adapted_model(trained)
    learning = {name for name, p in model.named_parameters() if p.requires_grad}
    assert learning - {"log_scale", "image_projection.weight", "text_projection.weight"} == {
        name for name in model.state_dict() if ".lora_" in name
    }
    assert len(adapted_layers(model)) == 2 * 2 * 4  # towers, layers, matrices of the attention


def test_an_adapted_layer_is_the_formula_written_out(peft, trained):
    model = adapted_model(trained)
    layer = model.text.backbone.encoder.layer[1].attention.self.query
    x = torch.randn(3, 16)
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    assert a.shape == (4, 16)
    assert b.shape == (16, 4)
    base = layer.base_layer
    torch.testing.assert_close(layer(x), x @ base.weight.T + base.bias + ALPHA / 4 * (x @ a.T) @ b.T)


def test_the_teacher_shares_the_base_and_owns_its_adapters(peft, trained):
    student = adapted_model(trained)
    teacher = make_teacher(student)
    own = [
        name
        for (name, t), s in zip(teacher.named_parameters(), student.parameters(), strict=True)
        if t.data_ptr() != s.data_ptr()
    ]
    assert own == [name for name, p in student.named_parameters() if p.requires_grad]
    assert not any(p.requires_grad for p in teacher.parameters())


def test_the_teacher_averages_each_adapter_and_leaves_the_base_alone(peft, trained):
    student = adapted_model(trained)
    teacher = make_teacher(student)
    before = {name: p.clone() for name, p in teacher.named_parameters()}
    with torch.no_grad():
        for p in student.parameters():
            if p.requires_grad:
                p += torch.randn_like(p)
    update_teacher(teacher, student, 0.75)
    for name, p in student.named_parameters():
        expected = 0.75 * before[name] + 0.25 * p if p.requires_grad else before[name]
        torch.testing.assert_close(dict(teacher.named_parameters())[name], expected)


def test_averaged_adapters_are_their_averages_product_and_not_the_products_average(peft, trained):
    """By how much: the weighted covariance of B with A over the steps, here worked out step by step."""
    student = adapted_model(trained).double()
    teacher, momentum = make_teacher(student), 0.9
    layer = student.text.backbone.encoder.layer[0].attention.self.value
    slow = teacher.text.backbone.encoder.layer[0].attention.self.value
    steps = [
        (layer.lora_A["default"].weight.detach().clone(), layer.lora_B["default"].weight.detach().clone())
    ]
    for _ in range(5):
        with torch.no_grad():
            for part in (layer.lora_A, layer.lora_B):
                part["default"].weight += 0.1 * torch.randn_like(part["default"].weight)
        update_teacher(teacher, student, momentum)
        steps.append(tuple(p["default"].weight.detach().clone() for p in (layer.lora_A, layer.lora_B)))
    weights = [momentum**5, *(0.1 * momentum ** (5 - k) for k in range(1, 6))]
    mean_a, mean_b = (sum(w * step[i] for w, step in zip(weights, steps, strict=True)) for i in (0, 1))
    product = sum(w * b @ a for w, (a, b) in zip(weights, steps, strict=True))
    apart = sum(w * (b - mean_b) @ (a - mean_a) for w, (a, b) in zip(weights, steps, strict=True))
    scale = ALPHA / 4
    torch.testing.assert_close(slow.get_delta_weight("default"), scale * mean_b @ mean_a)
    torch.testing.assert_close(slow.get_delta_weight("default"), scale * (product - apart))


def test_a_saved_model_has_its_adapters_added_in_and_needs_no_peft(peft, trained, tmp_path, monkeypatch):
    model = adapted_model(trained)
    save_model(model, tmp_path)
    expected, plain = embedded(model), load(trained)
    monkeypatch.setitem(sys.modules, "peft", None)
    again = load(tmp_path)
    assert list(again.state_dict()) == list(plain.state_dict())
    torch.testing.assert_close(embedded(again), expected, rtol=0, atol=1e-5)


def test_only_adapted_weights_differ_in_a_saved_model(peft, trained):
    model, before = adapted_model(trained), load(trained).state_dict()
    merged = merged_weights(model)
    changed = {name for name, tensor in merged.items() if not torch.equal(tensor, before[name])}
    assert changed == {f"{name}.weight" for name in adapted_layers(model)}


def test_weights_without_adapters_are_the_state_dict(trained):
    model = load(trained)
    merged, state = merged_weights(model), model.state_dict()
    assert list(merged) == list(state)
    assert all(torch.equal(merged[name], state[name]) for name in state)


def test_a_run_goes_on_from_an_adapted_models_folder_with_adapters_of_its_own(peft, trained, tmp_path):
    model = adapted_model(trained)
    save_model(model, tmp_path)
    again = start_model(adapted_recipe(tmp_path), [], [])
    torch.testing.assert_close(embedded(again), embedded(model), rtol=0, atol=1e-5)
    assert not any(p.any() for name, p in again.named_parameters() if "lora_B" in name)


def test_frozen_layers_get_no_adapter_and_are_still_computed_once(peft, trained):
    model = adapted_model(trained, frozen_layers=1)
    adapted = [name for name in adapted_layers(model) if name.startswith("text.")]
    assert len(adapted) == 4
    assert all(".encoder.layer.1." in name for name in adapted)
    window = tiny_window(model)
    lower = model.text.lower(window.tokens, window.mask)
    direct = model.embed_tokens(window.tokens, window.mask)
    assert torch.equal(model.embed_tokens(window.tokens, window.mask, lower), direct)
    direct.sum().backward()
    assert all(
        p.grad is not None for name, p in model.named_parameters() if "text" in name and p.requires_grad
    )


def test_weight_decay_pulls_adapters_to_zero_and_with_them_the_tower_to_where_it_began(peft, trained):
    model = adapted_model(trained)
    decayed, others = make_optimizer(model, lr=1e-3, weight_decay=0.1).param_groups
    assert {id(p) for p in decayed["params"]} == {
        id(p) for name, p in model.named_parameters() if p.requires_grad and name != "log_scale"
    }
    assert [id(p) for p in others["params"]] == [id(model.log_scale)]


@pytest.mark.parametrize("name", [*IMAGES, *TEXTS])
def test_each_family_with_attention_takes_adapters_in_all_of_it(peft, name, tmp_path):
    save_family(tmp_path, name)
    encoder = Encoder(type="", pretrained=str(tmp_path))
    if name in IMAGES:
        tower = build_image_tower(encoder, size=32, channels=3)
    else:
        tower = build_text_tower(encoder, vocabulary=0, pad=0, max_tokens=9)
    if name in ("resnet", "convnext"):
        with pytest.raises(
            CallError, match=rf"lora_rank is 2 for a tower of type {name}: it adapts attention"
        ):
            adapt(tower, 2, "image")
        return
    width = {id(m) for m in tower.modules() if isinstance(m, nn.Linear)}
    adapt(tower, 2, "text")
    bases = [layer.base_layer for layer in adapted_layers(tower).values()]
    assert {id(base) for base in bases} < width
    assert len(bases) == {"modernbert": 2, "swin": 8}.get(name, 4)
    inputs = (
        (torch.rand(2, 3, 32, 32),) if name in IMAGES else (torch.ones(2, 5).long(), torch.ones(2, 5).bool())
    )
    tower.train()(*inputs).square().sum().backward()
    assert all(p.grad is not None for p in tower.parameters() if p.requires_grad)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lora_rank": -1}, r"text.lora_rank is -1 .*: a rank is 1 or more"),
        ({"frozen_layers": 2}, r"text.lora_rank is 4 .* none is left to train; leave it at 0"),
    ],
)
def test_a_tower_that_cannot_be_adapted_is_one_clear_line(trained, changes, message):
    recipe = adapted_recipe(trained, **changes)
    with pytest.raises(CallError, match=message):
        start_model(dataclasses.replace(recipe, image=Encoder(type="vit")), [], [])


def test_adapters_of_a_random_tower_are_refused():
    with pytest.raises(CallError, match=r"text.lora_rank is 4, but the tower starts at random.*--text.pretr"):
        tiny_model(tiny_recipe(text=dataclasses.replace(tiny_recipe().text, lora_rank=4)))


def test_without_peft_the_command_that_installs_it_is_named(trained, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(CallError, match=r"pip install 'medistill\[lora\]'"):
        start_model(adapted_recipe(trained), [], [])


def test_recomputed_activations_give_adapters_the_same_gradient(peft, trained):
    def gradients(recomputed: bool) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        recipe = dataclasses.replace(adapted_recipe(trained), checkpoint_activations=recomputed)
        model = start_model(recipe, [], []).double().train()
        window = tiny_window(model)
        image, text, scale, _ = model(window.images, window.tokens, window.mask)
        (scale * image @ text.T).logsumexp(dim=1).sum().backward()
        return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}

    expected, found = gradients(False), gradients(True)
    assert any("lora_B" in name for name in expected)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_under_autocast_an_input_is_kept_once_for_query_key_and_value(peft, trained):
    model = adapted_model(trained).train()
    window = tiny_window(model)
    with torch.autocast("cpu", torch.bfloat16), saved_activations(model.parameters()) as narrow:
        model.embed_tokens(window.tokens, window.mask)
    for layer in adapted_layers(model).values():
        layer.cast_input_dtype_enabled = True
    with torch.autocast("cpu", torch.bfloat16), saved_activations(model.parameters()) as cast:
        model.embed_tokens(window.tokens, window.mask)
    assert narrow.peak < cast.peak
