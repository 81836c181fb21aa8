"""LP++ against a plain loop of its steps and a solver of its objective."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import minimize
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from medistill.evaluate.probes.lpp import LPPlusPlus, blend


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def examples(n=24, d=6, classes=3, seed=0, spread=1.0):
    """Unit images around a direction of their class, and texts that point roughly there."""
    rng = np.random.default_rng(seed)
    centers = unit(rng.standard_normal((classes, d)))
    y = np.arange(n) % classes
    images = unit(centers[y] + spread * rng.standard_normal((n, d)))
    return images, y, unit(centers + 0.8 / d**0.5 * rng.standard_normal((classes, d)))


def loss(images, y, texts, w, alpha):
    logits = images @ (w + alpha[:, None] * texts).T
    return F.cross_entropy(logits, torch.from_numpy(y))


def by_plain_steps(images, y, texts, rounds):
    """The definition, one class at a time, its gradients by autograd."""
    n, classes = len(images), len(texts)
    f, t = torch.from_numpy(images), torch.from_numpy(texts)
    w = torch.stack([sum(f[i] for i in range(n) if y[i] == k) for k in range(classes)])
    own = [np.mean([images[i] @ texts[k] for i in range(n) if y[i] == k]) for k in range(classes)]
    alpha = torch.full((classes,), 250 * float(np.mean(own)), dtype=torch.float64)
    step = 4 * n / float(np.linalg.eigvalsh(sum(np.outer(row, row) for row in images))[-1])
    alpha_step = n / (4 * max(sum((row @ text) ** 2 for row in images) for text in texts))
    for _ in range(rounds):
        for _ in range(10):
            w.requires_grad_()
            (slope,) = torch.autograd.grad(loss(f, y, t, w, alpha), w)
            w = w.detach() - step * slope
        alpha.requires_grad_()
        (slope,) = torch.autograd.grad(loss(f, y, t, w, alpha), alpha)
        alpha = alpha.detach() - alpha_step * slope
    return w.numpy(), alpha.numpy()


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("rounds", [1, 7])
def test_the_steps_are_those_of_the_definition(classes, rounds):
    images, y, texts = examples(classes=classes)
    fitted = LPPlusPlus(texts, rounds=rounds).fit(images, y)
    w, alpha = by_plain_steps(images, y, texts, rounds)
    np.testing.assert_allclose(fitted.prototypes_, w, atol=1e-9)
    np.testing.assert_allclose(fitted.alpha_, alpha, atol=1e-9)


def objective(images, y, coef):
    logits = images @ coef.T
    return float(np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(y)), y]))


def test_many_steps_reach_the_least_loss_there_is():
    images, y, texts = examples(n=60, d=3, spread=2.0)  # not separable: the least loss is reached somewhere
    fitted = LPPlusPlus(texts, rounds=600).fit(images, y)
    least = minimize(lambda v: objective(images, y, v.reshape(3, 3)), np.zeros(9), tol=1e-10).fun
    assert objective(images, y, fitted.coef_) == pytest.approx(least, abs=1e-5)
    assert objective(images, y, LPPlusPlus(texts, rounds=1).fit(images, y).coef_) > least + 1e-3


@pytest.mark.parametrize("spread", [0.1, 1.0, 3.0])
def test_no_round_raises_the_loss(spread):
    images, y, texts = examples(spread=spread)
    losses = [objective(images, y, LPPlusPlus(texts, rounds=r).fit(images, y).coef_) for r in range(12)]
    assert (np.diff(losses) <= 1e-12).all()


def test_fits_at_once_are_the_fits_alone():
    both = [examples(seed=seed) for seed in (1, 2)]
    own = np.eye(3)[both[0][1]]
    w, alpha = blend(np.stack([b[0] for b in both]), own, np.stack([b[2] for b in both]), rounds=5)
    for place, (images, y, texts) in enumerate(both):
        alone = LPPlusPlus(texts, rounds=5).fit(images, y)
        np.testing.assert_allclose(w[place], alone.prototypes_, atol=1e-12)
        np.testing.assert_allclose(alpha[place], alone.alpha_, atol=1e-12)


def test_texts_that_know_help_where_one_image_a_class_does_not():
    images, y, texts = examples(n=603, d=64, spread=0.4)
    few, rest = slice(0, 3), slice(3, None)
    knowing = LPPlusPlus(texts).fit(images[few], y[few]).score(images[rest], y[rest])
    silent = LPPlusPlus(np.zeros_like(texts)).fit(images[few], y[few]).score(images[rest], y[rest])
    assert knowing > silent + 0.1


def test_images_and_texts_of_any_length_give_the_same():
    images, y, texts = examples()
    scaled = LPPlusPlus(texts * 7).fit(images * np.arange(1, 25)[:, None], y)
    np.testing.assert_allclose(
        scaled.decision_function(images * 3), LPPlusPlus(texts).fit(images, y).decision_function(images)
    )


def test_it_follows_scikit_learns_conventions():
    images, y, texts = examples(classes=2)
    names = np.array(["absent", "present"])[y]
    probe = clone(LPPlusPlus(texts, rounds=3))
    assert set(probe.get_params()) == {"text_embeddings", "rounds"}
    with pytest.raises(NotFittedError):
        probe.predict(images)
    assert probe.set_params(rounds=20).fit(images, names) is probe
    assert probe.classes_.tolist() == ["absent", "present"]
    odds = probe.predict_proba(images)
    np.testing.assert_allclose(np.log(odds[:, 1] / odds[:, 0]), probe.decision_function(images), atol=1e-6)
    assert (probe.predict(images) == probe.classes_[odds.argmax(axis=1)]).all()
    assert probe.score(images, names) > 0.7


def test_several_classes_have_a_logit_each():
    images, y, texts = examples()
    probe = LPPlusPlus(texts).fit(images, y)
    np.testing.assert_allclose(probe.decision_function(images), images @ probe.coef_.T)
    np.testing.assert_allclose(probe.predict_proba(images).sum(axis=1), 1)
    assert (probe.predict(images) == (images @ probe.coef_.T).argmax(axis=1)).all()


def test_one_class_and_texts_that_do_not_fit_are_refused():
    images, y, texts = examples()
    with pytest.raises(ValueError, match="two classes or more"):
        LPPlusPlus(texts).fit(images, np.zeros(24))
    with pytest.raises(ValueError, match=r"shape \(2, 6\), expected \(3, 6\)"):
        LPPlusPlus(texts[:2]).fit(images, y)
    with pytest.raises(ValueError, match="features"):
        LPPlusPlus(texts).fit(images, y).predict(images[:, :4])


def test_separable_alike_and_empty_images_stay_finite():
    _, y, texts = examples()
    for images in (np.eye(6)[y], np.ones((24, 6)), np.zeros((24, 6))):
        assert np.isfinite(LPPlusPlus(texts).fit(images, y).coef_).all()
