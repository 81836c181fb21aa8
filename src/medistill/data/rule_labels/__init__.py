"""Findings of a report by rule."""

from medistill.data.rule_labels.labels import label_report, label_sections

__all__ = ["label_report", "label_sections"]
