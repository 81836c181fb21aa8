"""VinDr-CXR's test set by a prompt and its denial."""

from medistill.evaluate.protocols.protocol import Protocol, Published

VINDR = Protocol(
    name="vindr",
    about="3,000 images; labels with more than ten test positives, one prompt a side",
    sources=("vindr",),
    task="findings",
    unit="image",
    positive=("{}",),
    negative=("No {}",),
    min_positives=11,
    apart=("no finding", "other lesion", "other disease", "other diseases"),
    headline="auroc_macro",
    reproduces="You et al., MICCAI 2023; Soombit-ai/cxr-clip: cxrclip/evaluator.py",
    published=(
        Published(system="CheXzero", metric="auroc_macro", value=0.779, origin="arXiv 2609.01757, table 2"),
        Published(system="CARZero", metric="auroc_macro", value=0.878, origin="arXiv 2609.01757, table 2"),
    ),
    traps=(
        "CXR-CLIP's list has 18 labels; here those with more than ten test positives count, its rule",
        "a set called VinDr in one paper (DLILP) is VinDr-PCXR, of children",
    ),
)
