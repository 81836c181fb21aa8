"""What to ask a model about each phantom finding."""

from medistill.data.phantom.findings import FINDINGS
from medistill.data.phantom.report import WORDS

NORMAL = [
    "No acute cardiopulmonary abnormality.",
    "Normal chest radiograph.",
    "Normal chest.",
    "The heart size is normal. The lungs are clear. No acute cardiopulmonary abnormality.",
]
"""The other side of every finding. Reports deny what is not there in abnormal studies too, so that a denial
such as "No nodule." also stands for the abnormal: docs/method.md has what it costs to ask against it."""


def _sided(finding: str) -> list[str]:
    """The wordings of a finding on either side, with the side put in."""
    side, what = finding.split(" ", 1)
    return [wording.format(side=side, Side=side.capitalize()) for wording in WORDS["prompts_of_a_side"][what]]


def _positive(finding: str) -> list[str]:
    return WORDS["prompts"].get(finding) or _sided(finding)


PROMPTS = {finding: {"positive": _positive(finding), "negative": NORMAL} for finding in FINDINGS}
"""Finding -> what a report says when it is there, and when all is well."""
