"""Norms under autocast: float32 inside, half kept and given, and without autocast torch's own."""

import copy

import pytest
import torch
from benchmarks.bytes_a_pair import AsOnACard, bytes_a_pair, have_torchs_norms, of_each_tower
from benchmarks.saved_activations import saved_activations
from torch import nn
from torch.utils.checkpoint import checkpoint

from medistill.engine.plan.probe import model_at_random
from medistill.model.dual import DualEncoder
from medistill.model.norms import HalfGroupNorm, HalfLayerNorm, _GroupNorm, _LayerNorm, keep_half
from medistill.model.saved import load, save_model
from medistill.model.teacher import make_teacher
from medistill.recipe import RECIPES, Encoder
from tests.conftest import tiny_model, tiny_recipe, tiny_texts, tiny_window
from tests.model.test_economy import bert

HALVES = [torch.bfloat16, torch.float16]
NORMS = {
    "layer": (lambda: nn.LayerNorm(24), (4, 7, 24)),
    "layer over two axes, no bias": (lambda: nn.LayerNorm((6, 8), bias=False), (3, 6, 8)),
    "layer without weights": (lambda: nn.LayerNorm(24, elementwise_affine=False), (4, 24)),
    "group of images": (lambda: nn.GroupNorm(4, 16), (3, 16, 5, 6)),
    "group of rows": (lambda: nn.GroupNorm(2, 16), (3, 16)),
    "group without weights": (lambda: nn.GroupNorm(4, 16, affine=False), (3, 16, 9)),
}
RESNET = {"embedding_size": 16, "hidden_sizes": [32, 64], "depths": [2, 2]}
VIT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
TOWERS = {
    "resnet": Encoder(type="resnet", config=RESNET),
    "vit": Encoder(type="vit", config={**VIT, "patch_size": 8}),
}
each_norm = pytest.mark.parametrize("kind", NORMS)
on_cpu = torch.autocast("cpu", torch.bfloat16)


def norm_of(kind):
    """Torch's norm with weights drawn at random, ours of the same weights, and an input."""
    torch.manual_seed(0)
    make, shape = NORMS[kind]
    plain = make()
    for weight in plain.parameters():
        nn.init.normal_(weight)
    ours = copy.deepcopy(plain)
    keep_half(ours)
    return plain, ours, torch.randn(shape) * 3 + 1


def slopes(norm, x, grad):
    """Output, and the gradient of input and weights for that of the output."""
    x = x.clone().requires_grad_()
    out = norm(x)
    return out, *torch.autograd.grad(out, [x, *norm.parameters()], grad.to(out))


def off_by(found, expected):
    """Relative error in the norm of Frobenius."""
    found, expected = found.detach().double(), expected.detach()
    return float((found - expected).norm() / expected.norm())


@each_norm
def test_without_autocast_every_bit_is_that_of_torch(kind):
    plain, ours, x = norm_of(kind)
    assert type(ours) in (HalfLayerNorm, HalfGroupNorm)
    grad = torch.randn_like(x)
    for found, expected in zip(slopes(ours, x, grad), slopes(plain, x, grad), strict=True):
        assert torch.equal(found, expected)


@each_norm
@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("given", ["half", "float32"])
def test_output_and_gradient_are_those_of_float64_up_to_the_rounding_of_half(kind, half, given):
    """What passes through half is rounded once: bf16 by 2^-8 of a number at most, fp16 by 2^-11."""
    plain, ours, x = norm_of(kind)
    grad = torch.randn_like(x).to(half)
    x = x.to(half) if given == "half" else x
    with torch.autocast("cpu", half):
        found = slopes(ours, x, grad)
    expected = slopes(plain.double(), x.double(), grad)
    assert found[0].dtype == half
    assert found[1].dtype == x.dtype
    assert all(slope.dtype == torch.float32 for slope in found[2:])
    assert off_by(found[0], expected[0]) < 2**-8
    # A float32 input is kept as bf16, also under fp16: then the deviation from the mean is less exact.
    most = 2**-8 if given == "half" else 2**-7
    assert all(off_by(a, b) < most for a, b in zip(found[1:], expected[1:], strict=True))
    if given == "half":  # nothing but the input's own gradient is rounded
        assert all(off_by(a, b) < 1e-6 for a, b in zip(found[2:], expected[2:], strict=True))


@each_norm
def test_a_large_mean_does_not_cost_precision(kind):
    """What a half mean or deviation would do: an offset of the whole group."""
    plain, ours, x = norm_of(kind)
    x = (x + 100).bfloat16()
    grad = torch.randn_like(x)
    with on_cpu:
        found = slopes(ours, x, grad)
    expected = slopes(plain.double(), x.double(), grad)
    assert all(off_by(a, b) < 2**-8 for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("weights", [0, 1, 2])
@pytest.mark.parametrize("kind", ["layer", "group"])
def test_the_gradient_is_that_of_finite_differences(kind, weights):
    torch.manual_seed(0)
    double = {"dtype": torch.float64, "requires_grad": True}
    x = torch.randn(2, 6, 3, **double)
    given = [torch.randn(3 if kind == "layer" else 6, **double) for _ in range(weights)]
    given += [None] * (2 - weights)
    norm, sizes = (_LayerNorm, (3,)) if kind == "layer" else (_GroupNorm, 2)
    assert torch.autograd.gradcheck(lambda *a: norm.apply(*a, sizes, 1e-5, torch.float64), (x, *given))


@pytest.mark.parametrize("layout", ["channels last", "a part of a larger tensor", "a tensor turned round"])
def test_any_layout_of_the_input_and_its_gradient_gives_the_same(layout):
    _, ours, x = norm_of("group of images")
    grad = torch.randn_like(x)
    turned = {
        "channels last": lambda t: t.contiguous(memory_format=torch.channels_last),
        "a part of a larger tensor": lambda t: torch.cat([t, t], dim=3)[..., : t.shape[3]],
        "a tensor turned round": lambda t: t.mT.contiguous().mT,
    }[layout]
    with on_cpu:
        expected = slopes(ours, x, grad)
        found = slopes(ours, turned(x), turned(grad))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@each_norm
def test_what_is_kept_is_half_of_the_input_and_the_moments(kind):
    _, ours, x = norm_of(kind)
    with saved_activations(ours.parameters()) as saved, on_cpu:
        out = ours(x.requires_grad_())
    moments = saved.now - 2 * x.numel()
    assert 0 < moments <= 8 * max(x[..., 0].numel(), x.shape[0] * 4)
    with saved_activations([*ours.parameters(), x]) as saved, on_cpu:
        out = ours(x.detach().bfloat16().requires_grad_()).relu()
    assert saved.now == 4 * x.numel() + moments  # the half input itself, and ReLU's half output
    assert out.dtype == torch.bfloat16


def test_nothing_is_kept_where_nothing_gets_a_gradient():
    _, ours, x = norm_of("layer")
    ours.requires_grad_(False)
    with saved_activations() as saved, on_cpu:
        ours(x)
    assert saved.peak == 0


@each_norm
def test_an_output_may_be_added_to_in_place_and_recomputed(kind):
    """As ResNet does with its residual, within a block that activation checkpointing runs twice."""
    _, ours, x = norm_of(kind)

    def block(x):
        out = ours(x)
        out += x.to(out.dtype)
        return out.relu()

    grad = torch.randn_like(x)
    with on_cpu:
        expected = slopes(ours, x, grad)
        once = torch.autograd.grad(block(x.requires_grad_()), [x, *ours.parameters()], grad.bfloat16())
        again = checkpoint(block, x, use_reentrant=False)
    twice = torch.autograd.grad(again, [x, *ours.parameters()], grad.bfloat16())
    torch.testing.assert_close(twice, once, rtol=0, atol=0)
    assert not torch.equal(once[0], expected[1])


def test_float64_and_other_norms_are_left_alone():
    _, ours, x = norm_of("layer")
    with on_cpu:
        assert ours.double()(x.double()).dtype == torch.float64

    class Own(nn.LayerNorm):
        """Another library's norm with a forward of its own."""

    network = nn.Sequential(Own(4), nn.BatchNorm2d(4))
    keep_half(network)
    assert [type(module) for module in network] == [Own, nn.BatchNorm2d]


def test_names_saved_models_and_teachers_stay(tmp_path):
    model = tiny_model()
    plain = copy.deepcopy(model)
    have_torchs_norms(plain)
    assert list(model.state_dict()) == list(plain.state_dict())
    kinds = {type(module) for module in model.modules()}
    assert {HalfLayerNorm, HalfGroupNorm} <= kinds
    assert not {nn.LayerNorm, nn.GroupNorm} & kinds
    save_model(plain, tmp_path)
    assert {type(module) for module in load(tmp_path).modules()} >= {HalfLayerNorm, HalfGroupNorm}
    assert {type(module) for module in make_teacher(model).modules()} == kinds
    texts = tiny_texts(3)
    assert torch.equal(load(tmp_path).encode_texts(texts), plain.eval().encode_texts(texts))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's compiler warns of what it does itself
def test_norms_of_a_compiled_tower_keep_half_too():
    recipe = tiny_recipe(image=TOWERS["resnet"])
    plain, model = tiny_model(recipe), tiny_model(tiny_recipe(image=TOWERS["resnet"], compile="aot_eager"))
    expected, found = gradient(plain), gradient(model)
    assert off_by(found, expected.double()) < 2**-6


def gradient(model: DualEncoder, *, half: bool = True, card: bool = False) -> torch.Tensor:
    """Of all weights in one vector, of a contrast over a small window."""
    window = tiny_window(model)
    with torch.autocast("cpu", torch.bfloat16, enabled=half), AsOnACard() if card else torch.enable_grad():
        image, text, *_ = model(window.images, window.tokens, window.mask)
    (14 * image @ text.T).logsumexp(dim=1).sum().backward()
    grads = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    return torch.cat(grads)


@pytest.mark.parametrize("image", TOWERS)
def test_a_model_learns_as_exactly_as_by_the_autocast_of_a_card(image):
    model = tiny_model(tiny_recipe(image=TOWERS[image], text=bert(2)))
    model.eval()  # dropout off
    expected = gradient(copy.deepcopy(model).double(), half=False)
    ours = off_by(gradient(model, card=True), expected)
    have_torchs_norms(model)
    theirs = off_by(gradient(model, card=True), expected)
    assert 0 < ours < 1.5 * theirs < 0.2


@pytest.mark.slow
def test_a_pair_of_the_chest_recipe_keeps_half_of_what_float32_does():
    name = "chest_resnet50"
    model = model_at_random(RECIPES[name]()).train()
    towers = of_each_tower(model, name)
    ours = {tower: bytes_a_pair(model, embed, half=True) / 1e6 for tower, embed in towers.items()}
    have_torchs_norms(model)
    theirs = {tower: bytes_a_pair(model, embed, half=True) / 1e6 for tower, embed in towers.items()}
    assert sum(theirs.values()) > 150
    assert sum(ours.values()) < 105


@pytest.mark.cuda
@pytest.mark.filterwarnings("ignore:The AccumulateGrad node's stream:UserWarning")  # torch's own warm-up
@each_norm
def test_a_captured_norm_gives_what_it_gives_by_itself(kind):
    _, ours, x = norm_of(kind)
    ours.cuda()
    x = x.cuda().bfloat16().requires_grad_()
    with torch.autocast("cuda", torch.bfloat16, cache_enabled=False):
        assert ours(x).dtype == torch.bfloat16
        graphed = torch.cuda.make_graphed_callables(copy.deepcopy(ours), (x,))
        grad = torch.randn_like(x)
        torch.testing.assert_close(slopes(graphed, x, grad), slopes(ours, x, grad), rtol=1e-6, atol=1e-6)
