"""Fine-tuning of an image tower, as an estimator and as a task."""

import itertools

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from medistill.errors import CallError, MedistillError
from medistill.evaluate.probes.fine_tune import FineTune, _Examples, _held_out
from medistill.model.dual import DualEncoder
from medistill.recipe import Encoder
from tests.conftest import tiny_model, tiny_recipe


def striped(n=48, seed=0):
    """Noise, with upright stripes (0) or lying ones (1)."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    stripes = np.where(np.arange(32) // 4 % 2, 120, 0).astype(np.uint8)
    images = rng.integers(0, 100, (n, 32, 32), dtype=np.uint8)
    return [im + (stripes[:, None] if c else stripes) for im, c in zip(images, y, strict=True)], y


def quick(model=None, **given):
    return FineTune(model or tiny_model(), **{"rounds": 2, "batch": 8, "lr": 1e-2, **given})


def weights(module):
    return torch.cat([p.detach().flatten() for p in module.parameters()])


@pytest.fixture(scope="module")
def fitted():
    images, y = striped()
    return quick(rounds=4).fit(images, np.array(["lying", "upright"])[1 - y])


def test_it_learns_what_is_to_be_seen(fitted):
    images, y = striped(seed=1)
    names = np.array(["lying", "upright"])[1 - y]
    assert fitted.score(images, names) > 0.9
    odds = fitted.predict_proba(images)
    np.testing.assert_allclose(odds.sum(axis=1), 1, atol=1e-6)
    assert ((fitted.decision_function(images) > 0) == (odds[:, 1] > 0.5)).all()
    assert (fitted.predict(images) == fitted.classes_[odds.argmax(axis=1)]).all()


def test_findings_are_learned_each_alone_and_unstated_labels_not_at_all():
    images, y = striped()
    table = np.stack([y, 1 - y, np.zeros(48)], axis=1).astype(np.float32)
    table[::3, 0], table[1::3, 1] = np.nan, -1
    tuned = quick(rounds=4).fit(images, table)
    seen, truth = striped(seed=1)
    assert (tuned.predict(seen)[:, 0] == truth).mean() > 0.9
    assert (tuned.predict(seen)[:, 1] == 1 - truth).mean() > 0.9
    odds = tuned.predict_proba(seen)
    assert odds.shape == tuned.decision_function(seen).shape == (48, 3)
    assert odds[:, 2].max() < 0.5


def test_what_is_not_stated_may_be_anything():
    images, y = striped(24)
    table = np.stack([y, 1 - y], axis=1).astype(np.float32)
    table[::4, 0] = np.nan
    other = np.where(np.isnan(table), -1, table)
    first, second = (quick(rounds=1).fit(images, labels) for labels in (table, other))
    assert torch.equal(weights(first.classifier_), weights(second.classifier_))


def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    images, y = striped(24)
    first, second, other = (quick(seed=seed, rounds=1).fit(images, y) for seed in (3, 3, 4))
    assert torch.equal(weights(first.classifier_), weights(second.classifier_))
    assert not torch.equal(weights(first.classifier_), weights(other.classifier_))


def test_the_seed_alone_decides_whatever_was_drawn_before():
    model, (images, y) = tiny_model(), striped(24)
    tuned = []
    for state in (1, 2):
        torch.manual_seed(state)
        tuned.append(quick(model, rounds=1).fit(images, y))
    assert torch.equal(*(weights(one.classifier_) for one in tuned))


def test_each_pass_and_each_seed_has_an_order_of_its_own_and_leaves_nothing_out():
    targets = np.arange(7, dtype=np.float32)[:, None]
    examples = _Examples([np.zeros((4, 4), np.uint8)] * 7, targets, 4)

    def passes(seed):
        batches = [part.flatten().tolist() for _, part in itertools.islice(examples.endless(3, seed), 6)]
        assert [len(batch) for batch in batches] == [3, 3, 1] * 2
        return [row for batch in batches[:3] for row in batch], [
            row for batch in batches[3:] for row in batch
        ]

    orders = [*passes(0), *passes(1)]
    assert all(sorted(order) == list(range(7)) for order in orders)
    assert len({tuple(order) for order in orders}) == 4


def test_neither_the_model_nor_the_random_numbers_of_the_caller_change():
    model, (images, y) = tiny_model(), striped(24)
    before = weights(model).clone()
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    quick(model, rounds=1).fit(images, y)
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(weights(model), before)


def test_the_tower_moves_at_its_share_of_the_learning_rate():
    images, y = striped(24)
    model = tiny_model()

    def moved(share):
        tuned = quick(model, rounds=1, encoder_share=share).fit(images, y)
        return float((weights(tuned.classifier_.tower) - weights(model.image)).abs().sum())

    assert moved(0.0) == 0
    assert 0 < moved(0.01) < moved(0.1) < moved(1.0)


def test_the_weights_of_the_lowest_validation_loss_are_kept_and_training_stops():
    images, y = striped(24)
    told = []
    tuned = quick(rounds=9, patience=2, on_round=lambda: told.append(1))
    tuned.fit(images, y, validation=(images, 1 - y))  # to learn is to get worse
    assert tuned.round_ == 0
    assert len(tuned.losses_) == len(told) == 3
    first = quick(rounds=1).fit(images, y, validation=(images, 1 - y))
    assert torch.equal(weights(tuned.classifier_), weights(first.classifier_))
    assert tuned.losses_[0] == min(tuned.losses_)


def test_the_validation_loss_is_that_of_the_weights_kept():
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    dropping = Encoder(type="vit", config={**shape, "patch_size": 8, "hidden_dropout_prob": 0.5})
    images, y = striped(24)
    held = striped(10, seed=2)
    tuned = quick(tiny_model(tiny_recipe(image=dropping)), rounds=3).fit(images, y, validation=held)
    odds = tuned.predict_proba(held[0])[np.arange(10), held[1]]
    assert tuned.losses_[tuned.round_] == pytest.approx(-np.log(odds).mean(), abs=1e-5)


def test_without_validation_images_the_held_out_ones_stop_it_and_are_not_trained_on():
    images, y = striped(30)
    groups = np.repeat(np.arange(15), 2)
    held = _held_out(30, groups, seed=0)
    first, second = (
        [image for image, out in zip(images, held, strict=True) if out == side] for side in (0, 1)
    )
    split = quick().fit(first, y[~held], validation=(second, y[held]))
    tuned = quick().fit(images, y, groups=groups)
    assert tuned.losses_ == split.losses_
    assert torch.equal(weights(tuned.classifier_), weights(split.classifier_))


def test_a_fifth_of_the_groups_is_held_out_whole():
    groups = np.repeat(np.arange(20), 3)
    held = _held_out(60, groups, seed=0)
    assert held.sum() == 12
    assert len(set(groups[held])) == 4
    assert not set(groups[held]) & set(groups[~held])
    assert (held != _held_out(60, groups, seed=1)).any()


def test_images_of_any_size_and_pil_images_are_fitted_to_the_model(fitted):
    images, _ = striped(4)
    as_pil = [Image.fromarray(image) for image in images]
    np.testing.assert_array_equal(fitted.decision_function(images), fitted.decision_function(as_pil))
    assert fitted.decision_function([np.zeros((50, 20), np.uint8)]).shape == (1,)
    assert fitted.predict_proba([]).shape == (0, 2)


def test_it_follows_scikit_learns_conventions():
    tuned = quick(lr=0.5)
    assert tuned.set_params(lr=0.25).get_params()["lr"] == 0.25
    assert isinstance(clone(tuned).model, DualEncoder)
    with pytest.raises(NotFittedError):
        clone(tuned).predict(striped(2)[0])


def test_what_cannot_be_trained_on_is_refused_in_a_line():
    images, y = striped(8)
    with pytest.raises(CallError, match="found a str to fine-tune"):
        FineTune("model").fit(images, y)
    with pytest.raises(ValueError, match="two classes or more"):
        quick().fit(images, np.zeros(8))
    with pytest.raises(ValueError, match="8 images and 7 labels"):
        quick().fit(images, y[:7])
    with pytest.raises(ValueError, match="no image to train on has a label"):
        quick().fit(images, np.full((8, 2), np.nan))
    with pytest.raises(ValueError, match="two or more"):
        quick().fit(images, y, groups=["a"] * 8)
    with pytest.raises(ValueError, match="none of"):
        quick().fit(images, y, validation=(images, y + 5))
    with pytest.raises(ValueError, match="do not go with 2 classes"):
        quick().fit(images, y, validation=(images, np.eye(2)[y]))


def test_a_rate_that_ruins_the_weights_is_an_error():
    images, y = striped(16)
    with pytest.raises(MedistillError, match="diverged"):
        quick(lr=1e30, rounds=2).fit(images, y)
