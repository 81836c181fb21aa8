"""SIIM pneumothorax by a prompt and its denial."""

from medistill.evaluate.protocols.protocol import Protocol, Published

SIIM = Protocol(
    name="siim",
    about="pneumothorax, any mask against none; one prompt a side",
    sources=("siim",),
    task="findings",
    unit="image",
    findings={"pneumothorax": "pneumothorax"},
    positive=("{}",),
    negative=("No {}",),
    headline="auroc_macro",
    reproduces="You et al., MICCAI 2023; Soombit-ai/cxr-clip: cxrclip/evaluator.py",
    published=(
        Published(system="CheXzero", metric="auroc_macro", value=0.695, origin="arXiv 2609.01757, table 2"),
        Published(system="CARZero", metric="auroc_macro", value=0.924, origin="arXiv 2609.01757, table 2"),
    ),
    traps=(
        "splits differ between papers: 70/15/15 by image with seed 0 (here), 9,303/1,372/1,372 (BenchX), "
        "balanced lists (DLILP)",
        "GLoRIA and MGCA do not keep the several rows of an image in one split",
    ),
)
