"""A report that is one free text: which of it to train on, and what its sentences say."""

from dataclasses import replace

from medistill.data.report.sections import Sections, TextChoice, read_sections, training_text
from medistill.data.rule_labels.labels import label_sections
from medistill.data.study import NO_REPORT, Study
from medistill.errors import MedistillError


def understood(study: Study, choice: TextChoice | None, rule_labels: bool) -> Study:
    """The study with the sections found in its text, and with labels read from them by rules.

    choice   sections to train on; None leaves the text as it is
    Raises MedistillError where the report has none of them.
    """
    if study.text == NO_REPORT or (choice is None and not rule_labels):
        return study
    found = read_sections(study.text)
    if choice is not None:
        text = training_text(found, choice)
        if not text:
            raise MedistillError("empty text")
        study = replace(
            study,
            text=text,
            findings=study.findings or found.findings or None,
            impression=study.impression or found.impression or None,
        )
    if study.findings or study.impression:
        found = Sections(findings=study.findings or "", impression=study.impression or "")
    return replace(study, labels=label_sections(found)) if rule_labels else study
