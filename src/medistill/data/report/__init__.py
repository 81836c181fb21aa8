"""Reports in free text: their headers, sentences and sections."""

from medistill.data.report.sections import Sections, normalized_text, read_sections, training_text

__all__ = ["Sections", "normalized_text", "read_sections", "training_text"]
