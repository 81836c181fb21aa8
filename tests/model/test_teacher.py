import copy

import pytest
import torch
from torch import nn

from medistill.model.teacher import half_life, make_teacher, momentum_at, update_teacher


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.norm = nn.BatchNorm1d(2)


def shifted(net: Net, by: float) -> Net:
    other = copy.deepcopy(net)
    for tensor in [*other.parameters(), *other.buffers()]:
        tensor.data.add_(int(by) if not tensor.is_floating_point() else by)
    return other


def test_the_average_follows_its_closed_form_buffers_included():
    start = Net()
    student, teacher = shifted(start, 1.0), make_teacher(start)
    for _ in range(5):
        update_teacher(teacher, student, 0.9)
    for name in ("linear.weight", "norm.weight", "norm.running_mean", "norm.running_var"):
        expected = start.state_dict()[name] + (1 - 0.9**5)
        torch.testing.assert_close(teacher.state_dict()[name], expected)


def test_integer_buffers_are_copied():
    start = Net()
    teacher = make_teacher(start)
    update_teacher(teacher, shifted(start, 7.0), 0.99)
    assert int(teacher.norm.num_batches_tracked) == 7


def test_a_teacher_of_a_bf16_student_is_float32_and_moves():
    student = Net().bfloat16()
    teacher = make_teacher(student)
    before = teacher.linear.weight.clone()
    update_teacher(teacher, shifted(student, 1.0), 0.999)
    assert before.dtype == torch.float32
    torch.testing.assert_close(teacher.linear.weight - before, torch.full((2, 3), 0.001), rtol=0.05, atol=0)


def test_a_teacher_is_in_eval_mode_without_gradients_and_its_own_copy():
    student = Net().train()
    teacher = make_teacher(student)
    assert not teacher.training
    assert not any(p.requires_grad for p in teacher.parameters())
    assert student.training
    assert teacher.linear.weight.data_ptr() != student.linear.weight.data_ptr()


def test_momentum_goes_from_start_to_end():
    assert momentum_at(0.0, 0.9, 0.99) == pytest.approx(0.9)
    assert momentum_at(0.5, 0.9, 0.99) == pytest.approx(0.945)
    assert momentum_at(1.0, 0.9, 0.99) == pytest.approx(0.99)


def test_half_of_the_teacher_is_replaced_after_its_half_life():
    pairs = half_life(0.9, pairs_per_step=16)
    assert 0.9 ** (pairs / 16) == pytest.approx(0.5)
