"""Indiana's collection: findings from prompts, and reports from images."""

from medistill.data.rule_labels.labels import FINDINGS as BY_RULE
from medistill.evaluate.protocols.protocol import Protocol, Published

FINDINGS = Protocol(
    name="openi",
    about="findings of the reports by one positive prompt",
    sources=("openi",),
    task="findings",
    findings={finding: finding for finding in BY_RULE},  # not what people coded, which stands beside them
    positive=("There is {}",),
    apart=("no finding",),
    headline="auroc_macro",
    reproduces="Lai et al., CVPR 2024 (CARZero); laihaoran/CARZero: inference.py",
    published=(
        Published(
            system="PLRS-IC",
            metric="auroc_macro",
            value=0.854,
            origin="arXiv 2609.39266, with CARZero's labels",
        ),
    ),
    traps=(
        "CARZero reads 18 labels from the collection's automatic tags by substring; here the labels are "
        "CheXpert's 14, read from the reports by our rules (docs/reports.md): the figures are near, not "
        "the same",
        "papers score the whole collection, here the test patients'",
    ),
)
RETRIEVAL = Protocol(
    name="openi-retrieval",
    about="image to report among the distinct reports",
    sources=("openi",),
    task="retrieval",
    headline="i2t_r@1",
    reproduces="You et al., MICCAI 2023; Soombit-ai/cxr-clip: cxrclip/evaluator.py, retrieval_image_text",
    traps=(
        "CXR-CLIP takes the section that comes later in the alphabet, findings or impression; here the "
        "report is the corpus's text",
    ),
)
