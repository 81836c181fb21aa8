"""The image of a case."""

from medistill.data.corpus import Rows, open_corpus
import numpy as np


def case_image(index, case):
    corpus = open_corpus(index.about.corpora[0].path)
    return Rows(corpus, np.arange(corpus.table.num_rows)).image(case.row)
