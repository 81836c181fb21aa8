"""Any corpus with labels: a user's own columns, or the phantoms' findings."""

from dataclasses import replace

from medistill.data.phantom.prompts import PROMPTS
from medistill.evaluate.protocols.protocol import Protocol

LABELS = Protocol(
    name="labels",
    about="every finding of the corpus by two plain prompts a side",
    sources=(),
    task="findings",
    positive=("{}", "There is {}."),
    negative=("No {}.", "There is no {}."),
    headline="auroc_macro",
    reproduces="no paper",
    traps=("findings whose names are not words of reports need prompts of your own: --prompts",),
)
PHANTOM = replace(
    LABELS,
    name="phantom",
    about="every drawn finding by its own prompts",
    sources=("phantom",),
    positive=(),
    negative=(),
    prompts=PROMPTS,
    traps=("phantoms are drawn: the figures show that a method works, not how it does on patients",),
)
