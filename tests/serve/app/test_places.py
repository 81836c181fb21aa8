import numpy as np

from medistill.serve.app.places import least_cosine, marked, sentence_spans

REPORT = "FINDINGS:\n  The heart is\n large. No effusion, e.g. on the left. \n\nNormal lungs"


def test_spans_are_of_the_report_as_it_is_written():
    assert [REPORT[start:end] for start, end in sentence_spans(REPORT)] == [
        "FINDINGS:\n  The heart is\n large.",
        "No effusion, e.g. on the left.",
        "Normal lungs",
    ]


def test_a_sentence_said_twice_has_two_places():
    assert sentence_spans("No edema. No edema.") == [(0, 9), (10, 19)]


def test_the_nearest_sentence_is_marked_and_one_that_is_nearly_as_near():
    spans = [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert marked(spans, np.array([0.1, 0.85, 0.9, 0.88], np.float32), 0.5) == [(2, 3), (3, 4)]
    assert marked(spans, np.array([0.1, 0.7, 0.9, 0.2], np.float32), 0.5) == [(2, 3)]


def test_nothing_is_marked_where_nothing_stands_out():
    cosines = np.array([0.2, 0.25, 0.3], np.float32)
    assert marked([(0, 1)], cosines[1:2], least_cosine(cosines)) == []
    assert marked([], cosines[:0], 0.0) == []
