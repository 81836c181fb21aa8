"""Films and reports that are nobody's."""

from medistill.data.phantom.findings import FINDINGS
from medistill.data.phantom.prompts import PROMPTS
from medistill.data.phantom.studies import VERSION, phantom_patient, phantom_studies

__all__ = ["FINDINGS", "PROMPTS", "VERSION", "phantom_patient", "phantom_studies"]
