"""What to ask a model about each phantom finding."""

Wordings = dict[str, list[str]]

EITHER_SIDE: dict[str, Wordings] = {
    "effusion": {
        "positive": [
            "{Side} pleural effusion.",
            "There is a {side} pleural effusion.",
            "Moderate {side} pleural effusion.",
            "Moderate amount of fluid in the {side} pleural space.",
        ],
        "negative": [
            "No {side} pleural effusion.",
            "No pleural effusion.",
            "No {side} effusion.",
            "The {side} costophrenic angle is sharp.",
        ],
    },
    "pneumothorax": {
        "positive": [
            "{Side} pneumothorax.",
            "There is a {side} pneumothorax.",
            "Moderate {side} apical pneumothorax.",
            "A {side} pneumothorax with a visible pleural line.",
        ],
        "negative": [
            "No {side} pneumothorax.",
            "No pneumothorax.",
            "There is no pneumothorax.",
            "No {side} pneumothorax is seen.",
        ],
    },
    "consolidation": {
        "positive": [
            "{Side} lung consolidation.",
            "There is consolidation in the {side} lower lobe.",
            "Consolidation in the {side} upper lung.",
            "{Side} lung pneumonia.",
        ],
        "negative": [
            "No {side} consolidation.",
            "No focal consolidation.",
            "No consolidation in the {side} lung.",
            "The lungs are clear.",
        ],
    },
}

PROMPTS: dict[str, Wordings] = {
    "cardiomegaly": {
        "positive": [
            "There is moderate cardiomegaly.",
            "The heart is enlarged.",
            "The cardiac silhouette is enlarged.",
            "Cardiomegaly.",
        ],
        "negative": [
            "No cardiomegaly.",
            "The heart size is normal.",
            "Normal cardiac silhouette.",
            "The heart is not enlarged.",
        ],
    },
    **{
        f"{side} {what}": {
            answer: [line.format(side=side, Side=side.capitalize()) for line in lines]
            for answer, lines in wordings.items()
        }
        for what, wordings in EITHER_SIDE.items()
        for side in ("left", "right")
    },
    "nodule": {
        "positive": [
            "Pulmonary nodule.",
            "There is a nodule in the right mid lung.",
            "There is a nodule in the left mid lung.",
            "Small round nodule in the lung.",
        ],
        "negative": ["No nodule.", "No pulmonary nodule.", "No lung nodule is seen.", "The lungs are clear."],
    },
    "mass": {
        "positive": [
            "Pulmonary mass.",
            "There is a large mass in the right lung.",
            "There is a large mass in the left lung.",
            "A lobulated lung mass.",
        ],
        "negative": ["No mass.", "No lung mass is seen.", "No pulmonary mass.", "The lungs are clear."],
    },
    "edema": {
        "positive": [
            "There is moderate pulmonary edema.",
            "Pulmonary edema.",
            "Bilateral perihilar haze, pulmonary edema.",
            "Interstitial edema with indistinct vessels.",
        ],
        "negative": [
            "No edema.",
            "No pulmonary edema.",
            "There is no pulmonary edema.",
            "Normal pulmonary vessels.",
        ],
    },
    "atelectasis": {
        "positive": [
            "Linear atelectasis at the left base.",
            "Linear atelectasis at the right base.",
            "There is moderate basilar atelectasis.",
            "Plate of atelectasis with volume loss.",
        ],
        "negative": [
            "No atelectasis.",
            "There is no atelectasis.",
            "No basilar atelectasis.",
            "No atelectasis is seen.",
        ],
    },
    "emphysema": {
        "positive": [
            "There is moderate emphysema.",
            "Hyperinflated lungs, emphysema.",
            "Emphysema with flat diaphragms.",
            "Emphysema with bullae.",
        ],
        "negative": [
            "No emphysema.",
            "There is no emphysema.",
            "The lungs are not hyperinflated.",
            "No emphysema is seen.",
        ],
    },
    "fracture": {
        "positive": [
            "Displaced rib fracture.",
            "There is a displaced left rib fracture.",
            "There is a displaced right rib fracture.",
            "Displaced fractures of the ribs with callus.",
        ],
        "negative": ["No fracture.", "No rib fracture.", "The bones are intact.", "The ribs are intact."],
    },
    "pacemaker": {
        "positive": [
            "A pacemaker is in place.",
            "Left chest pacemaker with leads in the heart.",
            "Right chest pacemaker with leads in the heart.",
            "Pacemaker generator with intact leads.",
        ],
        "negative": [
            "No pacemaker.",
            "There is no pacemaker.",
            "No pacemaker is seen.",
            "No cardiac device.",
        ],
    },
    "endotracheal tube": {
        "positive": [
            "Endotracheal tube in place.",
            "The endotracheal tube ends 3 cm above the carina.",
            "Endotracheal tube tip above the carina.",
            "The patient is intubated.",
        ],
        "negative": [
            "No endotracheal tube.",
            "There is no endotracheal tube.",
            "The patient is not intubated.",
            "No endotracheal tube is seen.",
        ],
    },
}
"""Finding -> what a report says when it is there, and when it is not."""
