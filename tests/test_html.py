"""What every page is made of: text is escaped, a missing value is an error, scales are round."""

import re
from pathlib import Path

import pytest
from jinja2 import UndefinedError

import medistill
from medistill.html.chart import range_plot, round_marks
from medistill.html.templates import _templates_of
from medistill.html.words import figure, in_words
from tests.hostile import EVIL, Marked


def filled(source: str, **values: object) -> str:
    return _templates_of("medistill.html").from_string(source).render(values)


@pytest.mark.parametrize(
    "source",
    [
        '<p title="{{ text }}">{{ text }}</p>',
        '{% from "parts.html" import section %}{% call section(text, text) %}{{ text }}{% endcall %}',
        '{% from "parts.html" import tile %}{{ tile(text, text, text) }}',
        '{% from "parts.html" import fact %}{% call fact(text) %}{{ text }}{% endcall %}',
        '{% from "parts.html" import figure_cells %}'
        '{{ figure_cells({"value": none, "reason": text ~ text }, none) }}',
    ],
)
def test_text_is_escaped_and_markup_of_a_template_is_not(source):
    shown = Marked(filled(source, text=EVIL))
    assert shown.markup == Marked(filled(source, text="harmless")).markup
    assert shown.texts >= 2


def test_what_a_template_lacks_is_an_error():
    with pytest.raises(UndefinedError, match="nothing"):
        filled("{{ nothing }}")


def test_a_plot_keeps_within_its_domain():
    plot = range_plot({"value": 0.5, "low": -1.0, "high": 9.0}, domain=(0.0, 1.0), mark=None)
    assert (plot.value, plot.low, plot.high, plot.mark) == ("50.00%", "0.00%", "100.00%", None)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (1.7, 5.9), (0.0, 102_400.0), (-0.003, 0.004)])
def test_marks_are_few_round_and_inside(low, high):
    marks = round_marks(low, high, 5)
    assert 2 <= len(marks) <= 7
    assert all(low - 1e-9 <= mark <= high + 1e-9 for mark in marks)


def test_no_template_turns_the_escaping_off():
    templates = sorted(Path(medistill.__file__).parent.rglob("templates/*.html"))
    assert len(templates) > 10
    for template in templates:
        assert not re.findall(r"\|\s*safe|autoescape", template.read_text()), template.name


def test_a_figure_without_an_interval_says_why():
    entry = {
        "value": 1.0,
        "low": None,
        "high": None,
        "reason": "too few patients",
        "n_images": 4,
        "n_patients": 4,
    }
    assert figure(entry) == "1.000 [too few patients]  n = 4 images, 4 patients"
    assert in_words(entry) == ("1.000", "too few patients")
