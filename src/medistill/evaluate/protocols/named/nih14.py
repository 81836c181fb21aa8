"""ChestX-ray14's official test list by one positive prompt."""

from medistill.data.sources.nih14 import FINDINGS
from medistill.evaluate.protocols.protocol import Protocol, Published

_WORDS = {"mass": "Lung Mass", "nodule": "Lung Nodule", "pleural thickening": "Pleural Thickening"}
NIH14 = Protocol(
    name="nih14",
    about="25,596 images, 14 labels; one positive prompt",
    sources=("nih14",),
    task="findings",
    unit="image",
    findings={finding: _WORDS.get(finding, finding.title()) for finding in FINDINGS},
    positive=("There is {}",),
    headline="auroc_macro",
    reproduces="Lai et al., CVPR 2024 (CARZero); laihaoran/CARZero: inference.py",
    published=(
        Published(system="CARZero", metric="auroc_macro", value=0.811, origin="arXiv 2609.01757, table 2"),
        Published(system="KAD", metric="auroc_macro", value=0.789, origin="arXiv 2609.01757, table 2"),
        Published(system="CheXzero", metric="auroc_macro", value=0.657, origin="arXiv 2609.01757, table 2"),
    ),
    traps=(
        "BenchX and MRM split these images 78,468/11,219/22,433: their test set is another",
        "released checkpoints have missed their papers' figures on this set (.723 for .768, MedKLIP#12; "
        ".703, KAD#19)",
        "the labels were read from reports by rules and are wrong in places",
    ),
)
