"""What to ask a model about each phantom finding."""

from medistill.data.phantom.findings import FINDINGS

NORMAL = [
    "No acute cardiopulmonary abnormality.",
    "Normal chest radiograph.",
    "Normal chest.",
    "The heart size is normal. The lungs are clear. No acute cardiopulmonary abnormality.",
]
"""The other side of every finding. Reports deny what is not there in abnormal studies too, so that a denial
such as "No nodule." also stands for the abnormal: docs/method.md has what it costs to ask against it."""
_EITHER_SIDE = {
    "effusion": [
        "{Side} pleural effusion.",
        "There is a {side} pleural effusion.",
        "Moderate {side} pleural effusion.",
        "Moderate amount of fluid in the {side} pleural space.",
    ],
    "pneumothorax": [
        "{Side} pneumothorax.",
        "There is a {side} pneumothorax.",
        "Moderate {side} apical pneumothorax.",
        "A {side} pneumothorax with a visible pleural line.",
    ],
    "consolidation": [
        "{Side} lung consolidation.",
        "There is consolidation in the {side} lower lobe.",
        "Consolidation in the {side} upper lung.",
        "{Side} lung pneumonia.",
    ],
}
_WHOLE_CHEST = {
    "cardiomegaly": [
        "There is moderate cardiomegaly.",
        "The heart is enlarged.",
        "The cardiac silhouette is enlarged.",
        "Cardiomegaly.",
    ],
    "nodule": [
        "Pulmonary nodule.",
        "There is a nodule in the right mid lung.",
        "There is a nodule in the left mid lung.",
        "Small round nodule in the lung.",
    ],
    "mass": [
        "Pulmonary mass.",
        "There is a large mass in the right lung.",
        "There is a large mass in the left lung.",
        "A lobulated lung mass.",
    ],
    "edema": [
        "There is moderate pulmonary edema.",
        "Pulmonary edema.",
        "Bilateral perihilar haze, pulmonary edema.",
        "Interstitial edema with indistinct vessels.",
    ],
    "atelectasis": [
        "Linear atelectasis at the left base.",
        "Linear atelectasis at the right base.",
        "There is moderate basilar atelectasis.",
        "Plate of atelectasis with volume loss.",
    ],
    "emphysema": [
        "There is moderate emphysema.",
        "Hyperinflated lungs, emphysema.",
        "Emphysema with flat diaphragms.",
        "Emphysema with bullae.",
    ],
    "fracture": [
        "Displaced rib fracture.",
        "There is a displaced left rib fracture.",
        "There is a displaced right rib fracture.",
        "Displaced fractures of the ribs with callus.",
    ],
    "pacemaker": [
        "A pacemaker is in place.",
        "Left chest pacemaker with leads in the heart.",
        "Right chest pacemaker with leads in the heart.",
        "Pacemaker generator with intact leads.",
    ],
    "endotracheal tube": [
        "Endotracheal tube in place.",
        "The endotracheal tube ends 3 cm above the carina.",
        "Endotracheal tube tip above the carina.",
        "The patient is intubated.",
    ],
}


def _sided(finding: str) -> list[str]:
    """The wordings of a finding on either side, with the side put in."""
    side, what = finding.split(" ", 1)
    return [wording.format(side=side, Side=side.capitalize()) for wording in _EITHER_SIDE[what]]


def _positive(finding: str) -> list[str]:
    return _WHOLE_CHEST[finding] if finding in _WHOLE_CHEST else _sided(finding)


PROMPTS = {finding: {"positive": _positive(finding), "negative": NORMAL} for finding in FINDINGS}
"""Finding -> what a report says when it is there, and when all is well."""
