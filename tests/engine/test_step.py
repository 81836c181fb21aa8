"""The window's gradient, against the whole window at once and against a loop written out by hand."""

import copy

import pytest
import torch
import torch.nn.functional as F

from medistill.engine.keys import KeyQueue
from medistill.engine.msd import Msd, MsdSettings
from medistill.engine.objectives import make_method
from medistill.engine.step import Batching, train_window, with_frozen_parts
from medistill.model.encoder import TextTower
from medistill.model.teacher import make_teacher
from medistill.recipe import Encoder
from tests.conftest import tiny_model, tiny_recipe, tiny_window

PAIRS = 8


class Steps:
    """Stands in for the optimizer: keeps each step's gradient and leaves the weights alone."""

    def __init__(self, model, allowed: bool = True):
        self.model, self.allowed, self.gradients = model, allowed, []

    def __call__(self) -> bool:
        live = {name: p.grad for name, p in self.model.named_parameters() if p.requires_grad}
        self.gradients.append({name: gradient.clone() for name, gradient in live.items()})
        self.model.zero_grad()
        return self.allowed


def msd(fabric, model, *, alpha=0.3, live_share=0.0, queue=None) -> Msd:
    """A teacher of that shape that differs from the student, frozen in place."""
    teacher = make_teacher(model.double())
    random = torch.Generator().manual_seed(1)
    for p in teacher.parameters():
        p.add_(0.1 * torch.randn(p.shape, generator=random, dtype=p.dtype))
    settings = MsdSettings(alpha, momentum=1.0, queue_in_use=False)
    schedule = lambda progress, epoch: settings  # noqa: E731
    return Msd(fabric, teacher, live_share=live_share, queue=queue, schedule=schedule)


def clip(fabric):
    return make_method(tiny_recipe(objective="clip"), tiny_model(), fabric)


def gradients(fabric, method, *, micro, micro_per_step, pairs=PAIRS, model=None):
    """One gradient for each optimizer step of a window, and the window's loss."""
    model = model or tiny_model().double()
    steps = Steps(model)
    loss = train_window(
        fabric,
        fabric.setup_module(model),
        method,
        tiny_window(model, pairs),
        batching=Batching(micro, micro * micro_per_step),
        optimizer_step=steps,
    )
    return steps.gradients, loss


@pytest.mark.parametrize("micro", [1, 3])
@pytest.mark.parametrize("alpha", [0.0, 0.3])
def test_micro_batch_size_does_not_change_the_gradient(fabric, micro, alpha):
    method = msd(fabric, tiny_model(), alpha=alpha)
    (whole,), whole_loss = gradients(fabric, method, micro=PAIRS, micro_per_step=1)
    (split,), split_loss = gradients(fabric, method, micro=micro, micro_per_step=-(-PAIRS // micro))
    assert float(whole["log_scale"].abs()) > 0
    torch.testing.assert_close(split, whole, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(split_loss, whole_loss, rtol=1e-6, atol=1e-6)


def test_frozen_batch_norm_does_not_change_the_gradient_either(fabric):
    def with_batch_norm():
        model = tiny_model().double()
        model.image.backbone.embedder.embedder.normalization = torch.nn.BatchNorm2d(8).double()
        model.image.frozen_norm = True
        return model.train()

    method = msd(fabric, with_batch_norm())
    (whole,), _ = gradients(fabric, method, micro=PAIRS, micro_per_step=1, model=with_batch_norm())
    (split,), _ = gradients(fabric, method, micro=3, micro_per_step=3, model=with_batch_norm())
    torch.testing.assert_close(split, whole, rtol=1e-9, atol=1e-12)


def test_the_window_loss_is_the_formula_written_out(fabric):
    model, method = tiny_model().double(), msd(fabric, tiny_model(), alpha=0.3, live_share=0.25)
    window = tiny_window(model)
    image, text, scale, _ = model(window.images, window.tokens, window.mask)
    slow_image, slow_text, slow_scale, _ = method.teacher(window.images, window.tokens, window.mask)

    def target(own, other):
        hard = ((window.study[:, None] == window.study) | (window.text[:, None] == window.text)).double()
        hard /= hard.sum(dim=1, keepdim=True)
        return 0.7 * hard + 0.3 * (slow_scale * own @ other.T).softmax(dim=1)

    to_text, to_image = target(slow_image, slow_text), target(slow_text, slow_image)
    distilled = F.cross_entropy(scale * image @ slow_text.T, to_text)
    distilled = (distilled + F.cross_entropy(scale * text @ slow_image.T, to_image)) / 2
    live = F.cross_entropy(scale * image @ text.T, to_text)
    live = (live + F.cross_entropy(scale * text @ image.T, to_image)) / 2
    expected = 0.75 * distilled + 0.25 * live
    expected.backward()
    slow = {name: p.grad for name, p in model.named_parameters()}

    (fast,), loss = gradients(fabric, method, micro=PAIRS, micro_per_step=1)
    torch.testing.assert_close(loss.double(), expected.detach(), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(fast, slow, rtol=1e-9, atol=1e-12)


def test_the_live_term_compares_within_the_micro_batch(fabric):
    """Two micro-batches, live term alone: the mean of two separate in-batch losses."""
    method = msd(fabric, tiny_model(), alpha=0.0, live_share=1.0)
    (both,), _ = gradients(fabric, method, micro=4, micro_per_step=2)
    clip_steps, _ = gradients(fabric, clip(fabric), micro=4, micro_per_step=1)
    mean = {name: (clip_steps[0][name] + clip_steps[1][name]) / 2 for name in both}
    torch.testing.assert_close(both, mean, rtol=1e-9, atol=1e-12)


def test_a_short_micro_batch_of_both_towers_weighs_its_share_of_the_step(fabric):
    """8 pairs in micro-batches of 3, 3 and 2, a step of all."""
    method = msd(fabric, tiny_model(), alpha=0.0, live_share=1.0)
    (whole,), _ = gradients(fabric, method, micro=3, micro_per_step=3)
    steps, _ = gradients(fabric, clip(fabric), micro=3, micro_per_step=1)
    shares = zip((3, 3, 2), steps, strict=True)
    weighted = [{name: pairs / 8 * step[name] for name in whole} for pairs, step in shares]
    torch.testing.assert_close(
        {name: sum(w[name] for w in weighted) for name in whole}, whole, rtol=1e-9, atol=1e-12
    )


def test_each_step_inside_a_window_is_averaged_over_its_own_pairs(fabric):
    """7 pairs in micro-batches of 2, a step every 2: the short last step is the mean over 3 pairs."""
    method = msd(fabric, tiny_model())
    steps, _ = gradients(fabric, method, micro=2, micro_per_step=2, pairs=7)
    (whole,), _ = gradients(fabric, method, micro=7, micro_per_step=1, pairs=7)
    assert len(steps) == 2
    weighted = {name: (4 * steps[0][name] + 3 * steps[1][name]) / 7 for name in whole}
    torch.testing.assert_close(weighted, whole, rtol=1e-9, atol=1e-12)


def test_keys_stay_fixed_while_the_teacher_moves_within_a_window(fabric):
    method = msd(fabric, tiny_model())
    method.settings = method.settings._replace(momentum=0.0)
    before = copy.deepcopy(method.teacher)
    gradients(fabric, method, micro=2, micro_per_step=1)
    window = tiny_window(before)
    image, _, scale, _ = before(window.images, window.tokens, window.mask)
    torch.testing.assert_close(method.own.image, image)
    torch.testing.assert_close(method.teacher_scale, scale)
    assert not torch.equal(method.teacher.log_scale, before.log_scale) or not torch.equal(
        method.teacher.image_projection.weight, before.image_projection.weight
    )


def test_a_skipped_step_leaves_the_teacher_alone(fabric):
    model, method = tiny_model().double(), msd(fabric, tiny_model())
    method.settings = method.settings._replace(momentum=0.0)
    before = method.teacher.image_projection.weight.clone()
    train_window(
        fabric,
        fabric.setup_module(model),
        method,
        tiny_window(model),
        batching=Batching(4, 4),
        optimizer_step=Steps(model, allowed=False),
    )
    assert torch.equal(method.teacher.image_projection.weight, before)


def test_queued_keys_are_compared_with_only_once_in_use(fabric):
    queue = KeyQueue(size=100, max_age=10)
    method = msd(fabric, tiny_model(), queue=queue)
    gradients(fabric, method, micro=4, micro_per_step=2)
    gradients(fabric, method, micro=4, micro_per_step=2)
    assert len(method.keys) == PAIRS
    method.settings = method.settings._replace(queue_in_use=True)
    gradients(fabric, method, micro=4, micro_per_step=2)
    assert len(method.keys) == 3 * PAIRS


def test_an_older_key_of_the_same_study_is_a_positive(fabric):
    method = msd(fabric, tiny_model(), queue=KeyQueue(size=100, max_age=10))
    gradients(fabric, method, micro=4, micro_per_step=2)
    method.settings = method.settings._replace(queue_in_use=True)
    gradients(fabric, method, micro=4, micro_per_step=2)
    positive = method.keys.positives(method.own)
    assert positive[5].nonzero()[:, 0].tolist() == [5, PAIRS + 5]


def test_clip_counts_pairs_of_the_same_text_as_positives(fabric):
    model, window = tiny_model().double(), tiny_window(tiny_model())
    image, text, scale, _ = model(window.images, window.tokens, window.mask)
    target = ((window.study[:, None] == window.study) | (window.text[:, None] == window.text)).double()
    target /= target.sum(dim=1, keepdim=True)
    forth = F.cross_entropy(scale * image @ text.T, target)
    expected = (forth + F.cross_entropy(scale * text @ image.T, target)) / 2
    _, loss = gradients(fabric, clip(fabric), micro=PAIRS, micro_per_step=1)
    torch.testing.assert_close(loss.double(), expected.detach(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("objective", ["msd", "gradcache"])
def test_frozen_text_layers_are_run_once_a_window_and_change_no_gradient(fabric, objective, monkeypatch):
    bert = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    text = Encoder(type="bert", config={**bert, **still}, frozen_layers=1)
    recipe = tiny_recipe(objective=objective, text=text)
    model = tiny_model(recipe).double().train()
    embedded = []
    lower = TextTower.lower

    def counted(self, tokens, mask):
        embedded.append(len(tokens))
        return lower(self, tokens, mask)

    def gradient(window_with):
        student = copy.deepcopy(model)
        method = make_method(recipe, student, fabric)
        monkeypatch.setattr("medistill.engine.step.with_frozen_parts", window_with)
        steps = Steps(student)
        train_window(
            fabric,
            fabric.setup_module(student),
            method,
            tiny_window(student),
            batching=Batching(3, 8),
            optimizer_step=steps,
        )
        return steps.gradients[0]

    plain = gradient(lambda fabric, student, window, batching: window)
    monkeypatch.setattr(TextTower, "lower", counted)
    torch.testing.assert_close(gradient(with_frozen_parts), plain, rtol=1e-9, atol=1e-12)
    assert sum(embedded) == PAIRS
