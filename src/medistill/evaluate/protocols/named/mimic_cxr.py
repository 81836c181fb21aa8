"""MIMIC-CXR: five classes, and reports from images."""

from dataclasses import replace

from medistill.evaluate.protocols.named.chexpert_5x200 import CXR_CLIP
from medistill.evaluate.protocols.protocol import Protocol, Published

FIVE = replace(
    CXR_CLIP,
    name="mimic-5x200",
    sources=("mimic-cxr",),
    reproduces="Silva-Rodriguez et al., IPMI 2025; jusiro/DLILP: local_data/partitions/partitions.py",
    published=(
        Published(
            system="CXR-CLIP", metric="accuracy", value=0.497, origin="its paper, as indexed by wizwand.com"
        ),
    ),
    traps=(
        "no official list exists (MedCLIP#44): the only public rule samples from all splits, training "
        "included",
        CXR_CLIP.traps[1],
    ),
)
RETRIEVAL = Protocol(
    name="mimic-cxr-retrieval",
    about="image to report among the distinct reports of the official test split",
    sources=("mimic-cxr",),
    task="retrieval",
    headline="i2t_r@1",
    reproduces="You et al., MICCAI 2023; Soombit-ai/cxr-clip: cxrclip/evaluator.py, retrieval_image_text",
    published=(
        Published(
            system="CXR-CLIP", metric="i2t_r@1", value=0.216, origin="its paper, as indexed by wizwand.com"
        ),
    ),
    traps=("CXR-CLIP takes a study's first path, here its first frontal image stands for it",),
)
