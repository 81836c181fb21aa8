"""The CheXpert test set by a finding's name against its denial."""

from dataclasses import replace

from medistill.evaluate.protocols.protocol import Protocol, Published

_NOTEBOOK = "rajpurkarlab/CheXzero: notebooks/zero_shot.ipynb, ten checkpoints averaged"
_COMPETITION = {
    "atelectasis": "Atelectasis",
    "cardiomegaly": "Cardiomegaly",
    "consolidation": "Consolidation",
    "edema": "Edema",
    "pleural effusion": "Pleural Effusion",
}
_OTHERS = {
    "no finding": "No Finding",
    "enlarged cardiomediastinum": "Enlarged Cardiomediastinum",
    "lung opacity": "Lung Opacity",
    "lung lesion": "Lung Lesion",
    "pneumonia": "Pneumonia",
    "pneumothorax": "Pneumothorax",
    "pleural other": "Pleural Other",
    "fracture": "Fracture",
    "support devices": "Support Devices",
}
COMPETITION = Protocol(
    name="chexpert-5",
    about="500 studies by their first frontal image; the competition's five findings",
    sources=("chexpert",),
    task="findings",
    findings=_COMPETITION,
    positive=("{}",),
    negative=("no {}",),
    headline="auroc_macro",
    reproduces="Tiu et al., Nature BME 2022; rajpurkarlab/CheXzero: zero_shot.py, run_softmax_eval",
    published=(
        Published(system="CheXzero", metric="auroc_macro", value=0.889, origin=_NOTEBOOK),
        Published(system="CheXzero", metric="auroc/atelectasis", value=0.812, origin=_NOTEBOOK),
        Published(system="CheXzero", metric="auroc/cardiomegaly", value=0.913, origin=_NOTEBOOK),
        Published(system="CheXzero", metric="auroc/consolidation", value=0.890, origin=_NOTEBOOK),
        Published(system="CheXzero", metric="auroc/edema", value=0.899, origin=_NOTEBOOK),
        Published(system="CheXzero", metric="auroc/pleural effusion", value=0.932, origin=_NOTEBOOK),
    ),
    traps=(
        "CheXzero averages ten checkpoints; one checkpoint scores less",
        "intervals there resample images, here patients",
    ),
)
ALL = replace(
    COMPETITION,
    name="chexpert-14",
    about="500 studies by their first frontal image; all 14 labels",
    findings={**_COMPETITION, **_OTHERS},
    apart=("no finding",),
    published=(
        Published(system="CheXzero", metric="auroc/pneumothorax", value=0.652, origin=_NOTEBOOK),
        Published(system="CheXzero", metric="auroc/fracture", value=0.560, origin=_NOTEBOOK),
        Published(system="CheXzero", metric="auroc/pneumonia", value=0.780, origin=_NOTEBOOK),
    ),
    traps=(
        *COMPETITION.traps,
        "the template turns No Finding into its opposite (AUROC .07, rajpurkarlab/CheXzero#19): it is "
        "reported, and left out of the means",
    ),
)
