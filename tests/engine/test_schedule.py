import pytest

from medistill.engine.schedule import alpha_at, lr_factor


def test_the_learning_rate_rises_over_the_warm_up_and_falls_to_zero():
    factors = [lr_factor(step, 100, 0.1) for step in range(101)]
    assert factors[0] > 0
    assert factors[:10] == sorted(factors[:10])
    assert max(factors) == pytest.approx(1.0)
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[100] == pytest.approx(0.0, abs=1e-12)


def test_alpha_ramps_up_and_stays():
    assert [alpha_at(epoch, 0.4, 2.0) for epoch in (0.0, 1.0, 2.0, 9.0)] == pytest.approx([0, 0.2, 0.4, 0.4])
    assert alpha_at(0.0, 0.4, 0.0) == 0.4
