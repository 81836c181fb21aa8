"""CheXpert 5x200, one list of images scored in the three ways of the field."""

from dataclasses import replace

from medistill.evaluate.prompts.prompts import combined
from medistill.evaluate.protocols.protocol import Protocol, Published

_LIST = (
    "the 5x200 list depends on who drew it: GLoRIA's own was drawn without a seed and is only had from "
    "its authors, MGCA's has seed 0, MedCLIP's holds lateral views; the seed stands in the name of the split"
)
_WORDS = (
    "the published prompts belong to their projects: without --prompts and your copy of their "
    "constants.py the prompts are ours, and the figure is not theirs"
)
_PARTS = {
    "atelectasis": (
        ("", "slight", "marked"),
        ("atelectasis", "plate-like atelectasis", "volume loss", "collapse of lung segments"),
        ("", "in the left lower lobe", "in the right lower lobe", "at both bases"),
    ),
    "cardiomegaly": (
        ("", "slightly", "markedly"),
        ("enlarged heart", "enlarged cardiac silhouette", "increased cardiothoracic ratio"),
        ("",),
    ),
    "consolidation": (
        ("", "patchy", "dense"),
        ("consolidation", "airspace consolidation", "consolidation with air bronchograms"),
        ("", "in the left lower lobe", "in the right upper lobe", "in both lungs"),
    ),
    "edema": (
        ("", "mild", "severe"),
        ("pulmonary edema", "interstitial edema", "alveolar edema", "vascular congestion with edema"),
        ("", "in both lungs"),
    ),
    "pleural effusion": (
        ("", "small", "large"),
        ("pleural effusion", "layering pleural effusion", "blunted costophrenic angle from fluid"),
        ("", "on the left", "on the right", "on both sides"),
    ),
}
OWN = {finding: {"positive": combined(parts), "negative": []} for finding, parts in _PARTS.items()}
"""Prompts of ours by finding, every combination: how severe, of what kind, where."""
_FINDINGS = {finding: finding for finding in OWN}
GLORIA = Protocol(
    name="chexpert-5x200-gloria",
    about="five classes; five prompts a class, the highest cosine, each class standardized over the test set",
    sources=("chexpert",),
    split="5x200-",
    task="classes",
    unit="image",
    findings=_FINDINGS,
    prompts=OWN,
    pooling="max",
    sampled=5,
    standardized=True,
    headline="accuracy",
    reproduces="Huang et al., ICCV 2021; marshuang80/gloria: gloria/gloria.py, gloria/utils.py",
    traps=(
        _LIST,
        _WORDS,
        "standardizing each class over the test set looks at all test cases before calling one, and is worth "
        "several points of accuracy where classes are balanced, as here",
        "GLoRIA averages this global similarity with one of image regions and words; models that have none "
        "are scored by the global one",
        "GLoRIA draws its five prompts with a seed set when its module is imported: its draw cannot be "
        "had again",
    ),
)
MEDCLIP = replace(
    GLORIA,
    name="chexpert-5x200-medclip",
    about="five classes; ten prompts a class, the mean of their similarities, five draws",
    pooling="mean",
    sampled=10,
    runs=5,
    standardized=False,
    reproduces="Wang et al., EMNLP 2022; RyanWangZf/MedCLIP: medclip/prompts.py, medclip/evaluator.py",
    traps=(
        _LIST,
        _WORDS,
        "published as mean and spread over five draws of prompts; the interval here holds both",
    ),
)
CXR_CLIP = replace(
    GLORIA,
    name="chexpert-5x200-cxr-clip",
    about="five classes; all prompts of a class, the mean of their cosines",
    pooling="mean",
    sampled=0,
    standardized=False,
    reproduces="You et al., MICCAI 2023; Soombit-ai/cxr-clip: cxrclip/evaluator.py, zeroshot_gloria",
    traps=(_LIST, _WORDS, "CXR-CLIP mended misspelled words of GLoRIA's prompts"),
)
RETRIEVAL = Protocol(
    name="chexpert-5x200-retrieval",
    about="image to report among the distinct reports of the subset",
    sources=("chexpert",),
    split="5x200-",
    task="retrieval",
    unit="image",
    headline="i2t_r@1",
    reproduces="You et al., MICCAI 2023; Soombit-ai/cxr-clip: cxrclip/evaluator.py, retrieval_image_text",
    published=(
        Published(
            system="CXR-CLIP", metric="i2t_r@1", value=0.094, origin="its paper, as indexed by wizwand.com"
        ),
    ),
    traps=(_LIST, "needs reports: CheXpert Plus; CXR-CLIP asks for the impression alone"),
)
