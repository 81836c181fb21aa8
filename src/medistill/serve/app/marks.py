"""Where in a report the sentences stand that are nearest to a text."""

import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32

from medistill.data.sentences import sentences

MOST = 2
"""Sentences that are marked in a report."""
LEAST = 0.5
"""Cosine from which on a sentence is marked."""
_BELOW_BEST = 0.1  # the second sentence, less than the first


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


def marked(
    spans: Sequence[tuple[int, int]],
    sentences: Float32[np.ndarray, "s d"],
    query: Float32[np.ndarray, " d"],
) -> list[tuple[int, int]]:
    """The spans, in order, of the sentences that say what the query says.

    At most `MOST`: the one with the highest cosine, if that is `LEAST` or more, and another that is nearly
    as near.
    """
    if not len(spans):
        return []
    cosines = sentences @ query
    order = np.argsort(-cosines, kind="stable")[:MOST]
    least = max(LEAST, float(cosines[order[0]]) - _BELOW_BEST)
    return sorted(spans[place] for place in order if cosines[place] >= least)
