"""Where in a report the sentences stand that are nearest to a text."""

import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32

from medistill.data.report.sentences import sentences

MOST = 2
"""Sentences that are marked in a report."""
_BELOW_BEST = 0.1  # cosine of the second sentence, less than that of the first


def sentence_spans(report: str) -> list[tuple[int, int]]:
    """Start and end of each sentence, in characters of the report."""
    spans: list[tuple[int, int]] = []
    end = 0
    for sentence in sentences(report):
        found = re.compile(r"\s+".join(map(re.escape, sentence.split()))).search(report, end)
        if found:
            end = found.end()
            spans.append(found.span())
    return spans


def least_cosine(cosines: Float32[np.ndarray, " n"]) -> float:
    """From where on a sentence is marked: a standard deviation above the mean of all those shown.

    Relative, for a model's texts may all lie near each other.
    """
    return float(cosines.mean() + cosines.std()) if len(cosines) else 1.0


def marked(
    spans: Sequence[tuple[int, int]], cosines: Float32[np.ndarray, " s"], least: float
) -> list[tuple[int, int]]:
    """The spans, in order, of the sentences of a report that are nearest to the text.

    At most `MOST`: the nearest, if its cosine is `least` or more, and another that is nearly as near.
    Nearness is of the subject: to a small text encoder "no effusion" lies near "effusion".
    """
    if not len(spans):
        return []
    order = np.argsort(-cosines, kind="stable")[:MOST]
    bound = max(least, float(cosines[order[0]]) - _BELOW_BEST)
    return sorted(spans[place] for place in order if cosines[place] >= bound)
