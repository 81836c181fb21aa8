"""What a named protocol fixes: data, prompts, pooling, scoring, metric."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from medistill.evaluate.prompts.prompts import Prompts

Task = Literal["classes", "findings", "retrieval"]
Pooling = Literal["mean", "unit mean", "max"]
"""Of a class's prompts: the mean of their cosines; the cosine to their mean made unit again; the highest."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """A figure to compare with, by somebody else."""

    system: str
    metric: str
    value: float
    origin: str


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """One way of the field to turn a model and a data set into figures."""

    name: str
    about: str
    sources: tuple[str, ...]
    """Kinds of source its corpora are prepared from; empty for any."""
    split: str = "test"
    """Name of the split, or how it begins where it ends in a dash."""
    task: Task
    """`classes`: one of several a case; `findings`: each present or absent; `retrieval`: of reports."""
    unit: Literal["image", "study"] = "study"
    """What is scored: every image, or each study by its first frontal image."""
    findings: Mapping[str, str] = field(default_factory=dict[str, str])
    """Finding of the corpus -> its words in the prompts; empty for all the corpus has."""
    apart: tuple[str, ...] = ()
    """Findings that are reported and left out of the means."""
    min_positives: int = 0
    """Findings with fewer test positives are left out of the means too."""
    positive: tuple[str, ...] = ()
    """Templates; `{}` stands for the words."""
    negative: tuple[str, ...] = ()
    """Templates; the score is the positive side less the negative one, the same order as their softmax."""
    prompts: Prompts = field(default_factory=dict[str, Mapping[str, Sequence[str]]])
    """Prompts of our own by finding, in place of templates, where those published belong to others."""
    pooling: Pooling = "unit mean"
    sampled: int = 0
    """So many prompts a class are drawn by seed; 0 takes all."""
    runs: int = 1
    """Draws of prompts; the figures are means over them."""
    standardized: bool = False
    """Each class's scores are centered and divided by their spread over all test cases: a transductive rule,
    a case's class depends on the other cases."""
    headline: str
    """The figure to quote."""
    reproduces: str
    """Paper and repository path."""
    published: tuple[Published, ...] = ()
    traps: tuple[str, ...] = ()
    """What makes figures under this name differ, or mislead."""

    def __post_init__(self) -> None:
        origins = bool(self.positive) + bool(self.prompts)
        assert origins == (self.task != "retrieval"), "prompts come from templates or are written out"
