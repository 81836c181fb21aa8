import copy
import dataclasses

import pytest
import torch
from benchmarks.saved_activations import saved_activations
from torch import nn
from transformers import AutoConfig, AutoModel, ResNetConfig

from medistill.engine.optimizer import make_optimizer
from medistill.errors import CallError
from medistill.model.dual import DualEncoder, build_model
from medistill.model.economy import recompute_blocks
from medistill.model.encoder import ImageTower
from medistill.model.saved import load, save_model
from medistill.model.teacher import make_teacher, update_teacher
from medistill.model.towers.build import build_text_tower
from medistill.recipe import RECIPES, Encoder, Recipe
from tests.conftest import tiny_recipe, tiny_texts, tiny_window

SHAPE = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}
DROPOUT = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
RESNET = {"embedding_size": 8, "hidden_sizes": [16, 16], "depths": [2, 2], "layer_type": "bottleneck"}
DISTIL = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32}
BEIT = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "patch_size": 8,
}
TOWERS = {
    "resnet": Encoder(type="resnet", config=RESNET),
    "vit": Encoder(type="vit", config={**SHAPE, **DROPOUT, "num_hidden_layers": 3, "patch_size": 8}),
}


def bert(layers: int = 3, **changes) -> Encoder:
    return Encoder(type="bert", config={**SHAPE, **DROPOUT, "num_hidden_layers": layers}, **changes)


def model_of(recipe: Recipe) -> DualEncoder:
    """A float64 model in training mode, the same weights for the same towers."""
    torch.manual_seed(0)
    return build_model(recipe, tiny_texts(20), [str(i) for i in range(20)]).double().train()


def gradients(model: DualEncoder) -> dict[str, torch.Tensor]:
    """Of one pass over a small window, dropout drawn from a fixed seed."""
    window = tiny_window(model)
    torch.manual_seed(1)
    image, text, scale, _ = model(window.images, window.tokens, window.mask)
    (scale * image @ text.T).logsumexp(dim=1).sum().backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def peak_saved(model: DualEncoder) -> int:
    with saved_activations(model.parameters()) as saved:
        gradients(model)
    return saved.peak


@pytest.mark.parametrize("image", TOWERS.values(), ids=TOWERS)
def test_recomputed_activations_give_the_same_gradient_with_dropout_on(image):
    recipe = tiny_recipe(image=image, text=bert())
    expected = gradients(model_of(recipe))
    found = gradients(model_of(dataclasses.replace(recipe, checkpoint_activations=True)))
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=0, atol=1e-12)


@pytest.mark.parametrize("image", TOWERS.values(), ids=TOWERS)
def test_recomputed_activations_are_not_kept(image):
    recipe = tiny_recipe(image=image, text=bert(6))
    kept = peak_saved(model_of(recipe))
    assert peak_saved(model_of(dataclasses.replace(recipe, checkpoint_activations=True))) < kept / 3


def test_recomputing_changes_no_name_and_survives_copies_and_saving(tmp_path):
    plain, model = (model_of(tiny_recipe(text=bert(), checkpoint_activations=on)) for on in (False, True))
    assert list(model.state_dict()) == list(plain.state_dict())
    copied = copy.deepcopy(model)
    assert not any(a is b for a, b in zip(copied.parameters(), model.parameters(), strict=True))
    first, second = gradients(copied), gradients(model)
    assert all(torch.equal(first[name], second[name]) for name in second)
    save_model(model, tmp_path)
    texts = tiny_texts(3)
    torch.testing.assert_close(load(tmp_path).encode_texts(texts), model.float().encode_texts(texts))


def test_a_tower_without_known_blocks_is_an_error():
    tower = ImageTower(nn.Conv2d(1, 8, 3), ResNetConfig(), "mean", frozen_norm=False)
    with pytest.raises(CallError, match="resnet has no blocks"):
        recompute_blocks(tower)


def test_channels_last_changes_the_layout_and_nothing_else(tmp_path):
    recipe = tiny_recipe(image=TOWERS["resnet"])
    plain, model = model_of(recipe), model_of(dataclasses.replace(recipe, channels_last=True))
    layouts = [
        p.is_contiguous(memory_format=torch.channels_last) for p in model.image.parameters() if p.ndim == 4
    ]
    assert all(layouts)
    expected, found = gradients(plain), gradients(model)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-9, atol=1e-12)
    save_model(model, tmp_path)
    texts = tiny_texts(2)
    assert torch.equal(load(tmp_path).encode_texts(texts), plain.float().encode_texts(texts))


def test_images_reach_a_channels_last_tower_in_its_layout():
    model = model_of(tiny_recipe(image=TOWERS["resnet"], channels=3, channels_last=True))
    seen = []
    model.image.backbone.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    gradients(model)
    assert seen[0].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.slow
def test_a_compiled_model_gives_the_same_gradient_and_names():
    recipe = tiny_recipe(image=TOWERS["resnet"], text=bert())
    plain, model = model_of(recipe), model_of(dataclasses.replace(recipe, compile="eager"))
    assert list(model.state_dict()) == list(plain.state_dict())
    expected, found = gradients(plain), gradients(model)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.slow
def test_the_teacher_of_a_compiled_student_is_compiled_and_its_own():
    student = model_of(tiny_recipe(compile="eager")).float()
    teacher = make_teacher(student)
    before = teacher.encode_texts(tiny_texts(3))
    assert teacher.text.backbone._compiled_call_impl is not None
    with torch.no_grad():
        for p in student.parameters():
            p.mul_(2)
    assert torch.equal(teacher.encode_texts(tiny_texts(3)), before)


@pytest.mark.slow
def test_a_compiled_model_takes_texts_of_every_length():
    model = model_of(tiny_recipe(compile="eager")).float()
    plain = model_of(tiny_recipe()).float()
    for count in range(1, 12):
        text = " ".join(["heart"] * count)
        torch.testing.assert_close(model.encode_texts([text]), plain.encode_texts([text]))


@pytest.mark.slow
@pytest.mark.parametrize("frozen", [0, 2])
def test_recomputing_can_be_compiled(frozen):
    recipe = tiny_recipe(text=bert(frozen_layers=frozen), checkpoint_activations=True)
    expected = gradients(model_of(recipe))
    found = gradients(model_of(dataclasses.replace(recipe, compile="aot_eager")))
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-9, atol=1e-12)


def test_an_unknown_backend_is_an_error_that_lists_those_there_are():
    with pytest.raises(CallError, match=r"no backend 'indctor'; backends: .*inductor"):
        model_of(tiny_recipe(compile="indctor"))


def test_a_backend_that_does_not_replay_dropout_cannot_recompute():
    with pytest.raises(CallError, match="does not replay dropout"):
        model_of(tiny_recipe(compile="eager", checkpoint_activations=True))


@pytest.mark.parametrize("layers", [1, 3])
def test_frozen_layers_get_no_gradient_and_the_others_the_same_one(layers):
    still = {**SHAPE, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "num_hidden_layers": 3}
    free = model_of(tiny_recipe(text=Encoder(type="bert", config=still)))
    frozen = model_of(tiny_recipe(text=Encoder(type="bert", config=still, frozen_layers=layers)))
    expected, found = gradients(free), gradients(frozen)
    held = ("text.backbone.embeddings", *(f"text.backbone.encoder.layer.{i}." for i in range(layers)))
    assert set(expected) - set(found) == {name for name in expected if name.startswith(held)}
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], rtol=0, atol=1e-12)


def test_the_optimizer_does_not_see_frozen_layers():
    model = model_of(tiny_recipe(text=bert(frozen_layers=2)))
    optimizer = make_optimizer(model, lr=1.0, weight_decay=0.1)
    seen = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert not seen & {id(p) for p in model.text.backbone.encoder.layer[1].parameters()}
    assert {id(p) for p in model.text.backbone.encoder.layer[2].parameters()} <= seen


def test_frozen_layers_run_without_dropout_in_training():
    model = model_of(tiny_recipe(text=bert(frozen_layers=2)))
    window = tiny_window(model)
    first, second = (model.text.lower(window.tokens, window.mask) for _ in range(2))
    assert torch.equal(first, second)
    assert not first.requires_grad
    assert not torch.equal(model.text.upper(first, window.mask), model.text.upper(first, window.mask))


def test_frozen_layers_computed_before_give_the_same_embeddings_and_gradient():
    model = model_of(tiny_recipe(text=bert(frozen_layers=2)))
    expected = gradients(copy.deepcopy(model))
    window = tiny_window(model)
    lower = model.text.lower(window.tokens, window.mask)
    torch.manual_seed(1)
    image, text, scale, _ = model(window.images, window.tokens, window.mask, (None, lower))
    (scale * image @ text.T).logsumexp(dim=1).sum().backward()
    for name, p in model.named_parameters():
        assert p.grad is None if name not in expected else torch.equal(p.grad, expected[name])


def test_a_precomputed_lower_part_is_not_computed_again():
    model = model_of(tiny_recipe(text=bert(frozen_layers=1))).eval()
    window = tiny_window(model)
    lower = torch.zeros_like(model.text.lower(window.tokens, window.mask))
    other = model(window.images, window.tokens, window.mask, (None, lower)).text
    assert not torch.allclose(other, model(window.images, window.tokens, window.mask).text)


def test_frozen_layers_stay_bitwise_equal_in_the_teacher():
    student = model_of(tiny_recipe(text=bert(frozen_layers=2))).float()
    teacher = make_teacher(student)
    with torch.no_grad():
        for p in student.parameters():
            p.add_(torch.randn_like(p) * p.requires_grad)
    for momentum in (0.0, 0.3, 0.9, 0.999):
        update_teacher(teacher, student, momentum)
    window = tiny_window(student)
    lower = [model.text.lower(window.tokens, window.mask) for model in (student, teacher)]
    assert torch.equal(*lower)


@pytest.mark.parametrize("kind", ["bert", "roberta", "xlm-roberta", "camembert"])
def test_a_split_tower_is_the_whole_one(kind, tmp_path):
    torch.manual_seed(0)
    config = {**SHAPE, "num_hidden_layers": 3, "vocab_size": 50, "pad_token_id": 0}
    AutoModel.from_config(AutoConfig.for_model(kind, **config)).save_pretrained(tmp_path)
    whole, split = (
        build_text_tower(Encoder(type="", pretrained=str(tmp_path)), vocabulary=0, pad=0, max_tokens=9).eval()
        for _ in range(2)
    )
    split.freeze_lowest(2)
    tokens = torch.tensor([[2, 7, 9, 3, 0, 0], [2, 5, 6, 7, 8, 3]])
    assert torch.equal(split(tokens, tokens > 0), whole(tokens, tokens > 0))


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (tiny_recipe(text=bert(frozen_layers=4)), "has 3 layers"),
        (tiny_recipe(text=bert(frozen_layers=-1)), "is -1"),
        (tiny_recipe(text=Encoder(type="distilbert", config=DISTIL, frozen_layers=1)), "of type distilbert"),
        (tiny_recipe(image=dataclasses.replace(TOWERS["resnet"], frozen_layers=3)), "has 2 stages"),
        (tiny_recipe(image=dataclasses.replace(TOWERS["vit"], frozen_layers=-1)), "is -1; .* has 3 layers"),
        (tiny_recipe(image=Encoder(type="beit", config=BEIT, frozen_layers=1)), "of type beit"),
        (tiny_recipe(text=bert(frozen_layers=1, locked=True)), "beside text.locked"),
    ],
)
def test_what_cannot_be_frozen_is_an_error(recipe, message):
    with pytest.raises(CallError, match=message):
        model_of(recipe)


@pytest.mark.parametrize("name", list(RECIPES))
@pytest.mark.slow
def test_no_batch_norm_of_a_ready_recipe_moves_so_there_are_no_statistics_to_average(name):
    recipe = dataclasses.replace(RECIPES[name](), min_patients=1)
    model = build_model(recipe, tiny_texts(20), [str(i) for i in range(20)]).train()
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert not any(norm.training for norm in norms)
    assert not any("running" in name for name, _ in model.named_buffers())
