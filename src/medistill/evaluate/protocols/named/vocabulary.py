"""Prompts of ours for five findings: how severe, of what kind, where."""

from medistill.evaluate.prompts.prompts import combined

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
"""Finding -> prompts, every combination."""
