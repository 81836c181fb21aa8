"""RSNA pneumonia by the prompts of BioViL and of CXR-CLIP."""

from dataclasses import replace

from medistill.evaluate.protocols.protocol import Protocol, Published

BIOVIL = Protocol(
    name="rsna-biovil",
    about="pneumonia, any box against none; four prompts a side",
    sources=("rsna",),
    task="findings",
    unit="image",
    findings={"pneumonia": "pneumonia"},
    positive=(
        "Findings consistent with {}",
        "Findings suggesting {}",
        "This opacity can represent {}",
        "Findings are most compatible with {}",
    ),
    negative=(
        "There is no {}",
        "No evidence of {}",
        "No evidence of acute {}",
        "No signs of {}",
    ),
    headline="auroc_macro",
    reproduces=(
        "Boecking et al., ECCV 2022; microsoft/hi-ml: hi-ml-multimodal/test_multimodal/vlp/"
        "test_zero_shot_classification.py"
    ),
    traps=(
        "three definitions of this set are in use and their figures do not compare: any box against none "
        "in a 70/15/15 split (GLoRIA, MGCA, CXR-CLIP; here), a balanced list nobody published (MedCLIP), "
        "the class Normal against Lung Opacity (DLILP)",
        "images with neither pneumonia nor a normal chest count as negative",
        "BioViL pools its prompts before they are made unit; here the unit embeddings are pooled",
    ),
)
CXR_CLIP = replace(
    BIOVIL,
    name="rsna",
    about="pneumonia, any box against none; one prompt a side",
    positive=("Findings suggesting {}.",),
    negative=("No evidence of {}",),
    reproduces="You et al., MICCAI 2023; Soombit-ai/cxr-clip: cxrclip/evaluator.py",
    published=(
        Published(system="BioViL-T", metric="auroc_macro", value=0.870, origin="arXiv 2609.01757, table 2"),
        Published(system="CheXzero", metric="auroc_macro", value=0.859, origin="arXiv 2609.01757, table 2"),
    ),
    traps=BIOVIL.traps[:2],
)
