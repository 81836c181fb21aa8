import math

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from medistill.objective import (
    contrast,
    distilled_contrast,
    info_nce,
    pairwise_sigmoid,
    positive_mask,
    soft_targets,
)


def unit(rows: int, width: int = 5, seed: int = 0) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(rows, width, generator=random, dtype=torch.float64), dim=1)


def several_positives(b: int, n: int) -> torch.Tensor:
    positive = torch.eye(b, n, dtype=torch.bool)
    positive[0, 1] = positive[1, 3] = True
    return positive


def slow_distilled_contrast(query, keys, teacher, positive, scale, teacher_scale, alpha) -> float:
    """The formula of the docstring, a number at a time."""
    total = 0.0
    for i in range(len(query)):
        logits = [scale * float(query[i] @ key) for key in keys]
        beliefs = [math.exp(teacher_scale * float(teacher[i] @ key)) for key in keys]
        log_sum = math.log(sum(math.exp(x) for x in logits))
        for j in range(len(keys)):
            hard = float(positive[i, j]) / int(positive[i].sum())
            target = (1 - alpha) * hard + alpha * beliefs[j] / sum(beliefs)
            total -= target * (logits[j] - log_sum)
    return total / len(query)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_distilled_contrast_equals_a_slow_loop(alpha):
    query, keys, teacher, positive = unit(3), unit(7, seed=1), unit(3, seed=2), several_positives(3, 7)
    scales = {"scale": torch.tensor(9.0).double(), "teacher_scale": torch.tensor(6.0).double()}
    loss = distilled_contrast(query, keys, teacher, positive, **scales, alpha=alpha)
    slow = slow_distilled_contrast(query, keys, teacher, positive, 9.0, 6.0, alpha)
    assert float(loss) == pytest.approx(slow, rel=1e-12)


def test_distilled_contrast_has_the_gradient_of_finite_differences():
    keys, teacher, positive = unit(6, seed=1), unit(3, seed=2), several_positives(3, 6)
    query, scale = unit(3).requires_grad_(), torch.tensor(4.0, dtype=torch.float64, requires_grad=True)

    def loss(query, scale):
        return distilled_contrast(
            query, keys, teacher, positive, scale=scale, teacher_scale=torch.tensor(5.0).double(), alpha=0.4
        )

    assert gradcheck(loss, (query, scale))


def test_only_query_and_scale_receive_a_gradient():
    query, keys, teacher = (unit(4, seed=i).requires_grad_() for i in range(3))
    scale, teacher_scale = (torch.tensor(5.0, dtype=torch.float64, requires_grad=True) for _ in range(2))
    positive = torch.eye(4, dtype=torch.bool)
    distilled_contrast(
        query, keys, teacher, positive, scale=scale, teacher_scale=teacher_scale, alpha=0.5
    ).backward()
    assert query.grad is not None
    assert scale.grad is not None
    assert keys.grad is None
    assert teacher.grad is None
    assert teacher_scale.grad is None


def test_without_soft_targets_and_with_one_positive_it_is_one_sided_info_nce():
    query, keys = unit(4), unit(4, seed=1)
    scale = torch.tensor(10.0).double()
    loss = distilled_contrast(
        query, keys, unit(4, seed=2), torch.eye(4).bool(), scale=scale, teacher_scale=scale, alpha=0.0
    )
    torch.testing.assert_close(loss, F.cross_entropy(scale * query @ keys.T, torch.arange(4)))


def test_a_single_pair_without_other_keys_costs_nothing():
    one = unit(1)
    loss = distilled_contrast(
        one,
        one,
        one,
        torch.ones(1, 1).bool(),
        scale=torch.tensor(7.0),
        teacher_scale=torch.tensor(7.0),
        alpha=0.4,
    )
    assert float(loss) == 0.0


def test_target_rows_sum_to_one_and_share_among_positives():
    positive = several_positives(3, 6)
    hard = soft_targets(unit(3), unit(6, seed=1), positive, teacher_scale=torch.tensor(5.0), alpha=0.0)
    soft = soft_targets(unit(3), unit(6, seed=1), positive, teacher_scale=torch.tensor(5.0), alpha=0.4)
    torch.testing.assert_close(soft.sum(dim=1), torch.ones(3).double())
    assert hard[0].tolist() == [0.5, 0.5, 0, 0, 0, 0]


def test_info_nce_is_the_mean_of_both_directions_and_reaches_both_sides():
    image, text = unit(4).requires_grad_(), unit(4, seed=1).requires_grad_()
    scale = torch.tensor(8.0).double()
    loss = info_nce(image, text, image, text, torch.eye(4).bool(), scale=scale)
    logits, own = scale * image @ text.T, torch.arange(4)
    torch.testing.assert_close(loss, (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2)
    loss.backward()
    assert image.grad is not None
    assert text.grad is not None


def test_info_nce_shares_the_target_among_positives():
    image, text, positive = unit(3), unit(3, seed=1), torch.eye(3, dtype=torch.bool)
    positive[0, 1] = positive[1, 0] = True
    scale = torch.tensor(8.0).double()
    expected = 0.0
    for query, keys in ((image, text), (text, image)):
        for i in range(3):
            log_p = (scale * query[i] @ keys.T).log_softmax(dim=0)
            expected -= float(log_p[positive[i]].mean()) / 6
    assert float(info_nce(image, text, image, text, positive, scale=scale)) == pytest.approx(
        expected, rel=1e-12
    )


def test_pairwise_sigmoid_equals_a_slow_loop():
    image, text, positive = unit(3), unit(5, seed=1), several_positives(3, 5)
    scale, bias = torch.tensor(9.0).double(), torch.tensor(-3.0).double()
    slow = 0.0
    for i in range(3):
        for j in range(5):
            sign = 1 if positive[i, j] else -1
            slow += math.log(1 + math.exp(-sign * (9.0 * float(image[i] @ text[j]) - 3.0))) / 3
    loss = pairwise_sigmoid(image, text, positive, scale=scale, bias=bias)
    assert float(loss) == pytest.approx(slow, rel=1e-12)


def test_pairwise_sigmoid_has_the_gradient_of_finite_differences():
    positive = several_positives(3, 5)
    inputs = (unit(3), unit(5, seed=1), torch.tensor(4.0).double(), torch.tensor(-2.0).double())

    def loss(image, text, scale, bias):
        return pairwise_sigmoid(image, text, positive, scale=scale, bias=bias)

    assert gradcheck(loss, tuple(x.requires_grad_() for x in inputs))


def test_positives_are_of_the_same_study_or_the_same_text():
    study, text = torch.tensor([0, 1, 2]), torch.tensor([5, 6, 6])
    expected = [[True, False, False], [False, True, True], [False, True, True]]
    assert positive_mask(study, text, study, text).tolist() == expected
    assert positive_mask(torch.tensor([7]), torch.tensor([5]), study, text).tolist() == [[True, False, False]]


def test_low_precision_embeddings_are_compared_in_float32():
    query, keys = unit(4).bfloat16(), unit(6, seed=1).bfloat16()
    target, scale = torch.eye(4, 6), torch.tensor(100.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = contrast(query, keys, target, scale=scale)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, F.cross_entropy(scale * query.float() @ keys.float().T, target))
