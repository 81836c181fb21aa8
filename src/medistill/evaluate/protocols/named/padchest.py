"""PadChest's labels by hand, by one positive prompt."""

from medistill.evaluate.protocols.protocol import Protocol, Published

PADCHEST = Protocol(
    name="padchest",
    about="images labeled by physicians, all labels but normal; one positive prompt",
    sources=("padchest",),
    task="findings",
    unit="image",
    positive=("There is {}",),
    apart=("normal",),
    headline="auroc_macro",
    reproduces="Lai et al., CVPR 2024 (CARZero); laihaoran/CARZero: inference.py",
    published=(
        Published(system="CARZero", metric="auroc_macro", value=0.810, origin="arXiv 2609.01757, table 2"),
        Published(system="CheXzero", metric="auroc_macro", value=0.713, origin="arXiv 2609.01757, table 2"),
    ),
    traps=(
        "there is no official split: the papers score all images labeled by hand, here the test patients' "
        "(prepare with --test 0.9 to come near)",
        "most labels are rare, and the mean over them moves with a handful of cases",
    ),
)
