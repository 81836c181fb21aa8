"""The wordings phantom reports are made of."""

SEVERITY: tuple[str, str, str] = ("mild", "moderate", "severe")
SIZE: tuple[str, str, str] = ("small", "moderate", "large")
PRESENT: dict[str, tuple[str, ...]] = {
    "cardiomegaly": (
        "There is {grade} cardiomegaly.",
        "The heart is enlarged, {grade}.",
        "{grade} enlargement of the cardiac silhouette.",
        "The cardiac silhouette is enlarged.",
        "{grade} cardiomegaly.",
    ),
    "effusion": (
        "There is a {size} {side} pleural effusion.",
        "{size} {side} pleural effusion.",
        "A {size} {side} effusion is seen.",
        "The {side} costophrenic angle is blunted by a {size} pleural effusion.",
        "{size} amount of fluid in the {side} pleural space.",
    ),
    "pneumothorax": (
        "There is a {size} {side} pneumothorax.",
        "{size} {side} apical pneumothorax.",
        "A {size} {side} pneumothorax with a visible pleural line.",
        "{side} pneumothorax, {size}.",
        "{size} amount of air in the {side} pleural space, pneumothorax.",
    ),
    "consolidation": (
        "There is consolidation in the {side} {lobe} lobe.",
        "{side} {lobe} lobe consolidation.",
        "{grade} consolidation in the {side} {zone} lung.",
        "Airspace consolidation in the {side} {zone} zone.",
        "{side} {zone} lung consolidation with air bronchograms.",
    ),
    "nodule": (
        "There is a {mm} mm nodule in the {side} {zone} lung.",
        "{mm} mm nodule in the {side} {zone} zone.",
        "A {mm} mm pulmonary nodule in the {side} {zone} lung.",
        "Small round nodule in the {side} {zone} lung, {mm} mm.",
        "Solitary {side} {zone} lung nodule of {mm} mm.",
    ),
    "mass": (
        "There is a {cm} cm mass in the {side} {zone} lung.",
        "{cm} cm mass in the {side} {zone} zone.",
        "Large {side} {zone} lung mass of {cm} cm.",
        "A {cm} cm lobulated mass in the {side} {zone} lung.",
        "{side} {zone} lung mass, {cm} cm.",
    ),
    "edema": (
        "There is {grade} pulmonary edema.",
        "Bilateral perihilar haze, {grade} pulmonary edema.",
        "{grade} pulmonary edema.",
        "{grade} interstitial edema with indistinct vessels.",
        "Bilateral perihilar opacities, {grade} edema.",
    ),
    "atelectasis": (
        "Linear atelectasis at the {side} base.",
        "There is {grade} {side} basilar atelectasis.",
        "{grade} atelectasis at the {side} base with volume loss.",
        "Plate of atelectasis at the {side} base.",
        "{side} base atelectasis, the {side} diaphragm is raised.",
    ),
    "emphysema": (
        "The lungs are hyperinflated with flat diaphragms, {grade} emphysema.",
        "{grade} emphysema.",
        "There is {grade} emphysema with bullae.",
        "Hyperinflated lungs, {grade} emphysema.",
        "Flat diaphragms and dark lungs from {grade} emphysema.",
    ),
    "fracture": (
        "There is a displaced {side} rib fracture.",
        "{side} rib fracture.",
        "Displaced fractures of the {side} {zone} ribs with callus.",
        "Fracture of the {side} ribs in the {zone} zone.",
        "{side} {zone} rib fractures with callus.",
    ),
    "pacemaker": (
        "A {side} pacemaker is in place.",
        "{side} chest pacemaker with leads in the heart.",
        "Pacemaker generator on the {side} with intact leads.",
        "{side} pacemaker in place.",
        "There is a {side} pacemaker.",
    ),
    "endotracheal tube": (
        "Endotracheal tube in place, tip {tip} cm above the carina.",
        "The endotracheal tube ends {tip} cm above the carina.",
        "Endotracheal tube in place.",
        "The patient is intubated, tube tip {tip} cm above the carina.",
        "Endotracheal tube tip {tip} cm above the carina.",
    ),
}
BRIEF: dict[str, tuple[str, ...]] = {
    "cardiomegaly": ("{grade} cardiomegaly", "Cardiomegaly", "Enlarged heart"),
    "effusion": ("{size} {side} pleural effusion", "{side} effusion", "{side} pleural effusion"),
    "pneumothorax": ("{size} {side} pneumothorax", "{side} pneumothorax"),
    "consolidation": ("{side} {lobe} lobe consolidation", "{side} lung pneumonia", "{side} consolidation"),
    "nodule": ("{side} {zone} lung nodule", "{mm} mm {side} lung nodule", "{side} pulmonary nodule"),
    "mass": ("{side} {zone} lung mass", "{side} pulmonary mass", "{cm} cm {side} lung mass"),
    "edema": ("{grade} pulmonary edema", "Pulmonary edema"),
    "atelectasis": ("{side} basilar atelectasis", "{side} base atelectasis"),
    "emphysema": ("{grade} emphysema", "Emphysema"),
    "fracture": ("{side} rib fracture", "Displaced {side} rib fracture"),
    "pacemaker": ("{side} pacemaker", "Pacemaker in place"),
    "endotracheal tube": ("Endotracheal tube in place", "Intubated"),
}
HEDGES: tuple[str, ...] = (
    "Possible {}.",
    "Probable {}.",
    "Findings may represent {}.",
    "Suspected {}.",
    "Likely {}.",
)
ABSENT: dict[str, tuple[str, ...]] = {
    "cardiomegaly": (
        "The heart size is normal.",
        "No cardiomegaly.",
        "Normal cardiac silhouette.",
        "The heart is not enlarged.",
    ),
    "effusion": (
        "No pleural effusion.",
        "There is no pleural effusion.",
        "No effusion.",
        "The costophrenic angles are sharp.",
    ),
    "pneumothorax": ("No pneumothorax.", "There is no pneumothorax.", "No pneumothorax is seen."),
    "consolidation": ("No focal consolidation.", "No consolidation.", "There is no consolidation."),
    "nodule": ("No pulmonary nodule.", "No nodule.", "No lung nodule is seen."),
    "mass": ("No mass.", "No lung mass is seen.", "No pulmonary mass."),
    "edema": (
        "No pulmonary edema.",
        "No edema.",
        "There is no pulmonary edema.",
        "Normal pulmonary vessels.",
    ),
    "atelectasis": (
        "No atelectasis.",
        "There is no atelectasis.",
        "No basilar atelectasis.",
        "No atelectasis is seen.",
    ),
    "emphysema": (
        "No emphysema.",
        "There is no emphysema.",
        "No emphysema is seen.",
        "The lungs are not hyperinflated.",
    ),
    "fracture": ("No rib fracture.", "The bones are intact.", "No fracture.", "The ribs are intact."),
    "pacemaker": ("No pacemaker.", "There is no pacemaker.", "No pacemaker is seen.", "No cardiac device."),
    "endotracheal tube": (
        "No endotracheal tube.",
        "There is no endotracheal tube.",
        "The patient is not intubated.",
        "No endotracheal tube is seen.",
    ),
}
ONE_SIDE_ABSENT: dict[str, tuple[str, ...]] = {
    "effusion": (
        "No {side} pleural effusion.",
        "No {side} effusion.",
        "The {side} costophrenic angle is sharp.",
    ),
    "pneumothorax": ("No {side} pneumothorax.", "No {side} pneumothorax is seen."),
    "consolidation": ("No {side} consolidation.", "No consolidation in the {side} lung."),
}
NORMAL_REPORTS: tuple[tuple[float, str, str], ...] = (
    (
        0.34,
        "The heart size is normal. The lungs are clear. No focal consolidation. "
        "No pleural effusion or pneumothorax. The bones are intact.",
        "No acute cardiopulmonary abnormality.",
    ),
    (
        0.14,
        "Normal cardiac silhouette. The lungs are clear. "
        "There is no focal consolidation, pleural effusion, pneumothorax or pulmonary edema.",
        "Normal chest.",
    ),
    (
        0.1,
        "The heart is not enlarged. Normal pulmonary vessels. The lungs are fully expanded and clear. "
        "The costophrenic angles are sharp.",
        "No acute disease.",
    ),
    (
        0.07,
        "The lungs are clear. No nodule or mass. No effusion. No edema. No rib fracture.",
        "Normal chest radiograph.",
    ),
)
"""Share of normal studies, findings, impression; the rest are worded one by one."""
NORMAL_OPENINGS: tuple[str, ...] = (
    "The lungs are clear.",
    "Both lungs are clear.",
    "Clear lungs.",
    "Lungs are well expanded and clear.",
)
NORMAL_IMPRESSIONS: tuple[str, ...] = (
    "No acute cardiopulmonary abnormality.",
    "Normal chest.",
    "No acute disease.",
    "Normal chest radiograph.",
    "No acute finding.",
)
CHANGED: dict[str, tuple[str, ...]] = {
    "new": ("This is new.", "New since the prior study."),
    "unchanged": ("Unchanged.", "Stable from the prior study.", "No change from the prior study."),
    "increased": ("Increased from the prior study.", "More than before.", "This has worsened."),
    "decreased": ("Decreased from the prior study.", "Less than before.", "This has improved."),
}
RESOLVED: tuple[str, ...] = ("The {} has resolved.", "Resolved {}.", "The prior {} is no longer seen.")
REMOVED: tuple[str, ...] = ("The {} was removed.", "Interval removal of the {}.")
