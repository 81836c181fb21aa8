"""The named protocols, a file for each data set."""

from medistill.errors import CallError
from medistill.evaluate.protocols.named import (
    chexpert,
    chexpert_5x200,
    covid,
    labels,
    mimic_cxr,
    nih14,
    openi,
    padchest,
    rsna,
    siim,
    vindr,
)
from medistill.evaluate.protocols.protocol import Protocol

PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        *(chexpert_5x200.GLORIA, chexpert_5x200.MEDCLIP, chexpert_5x200.CXR_CLIP, chexpert_5x200.RETRIEVAL),
        *(chexpert.COMPETITION, chexpert.ALL, mimic_cxr.FIVE, mimic_cxr.RETRIEVAL),
        *(rsna.CXR_CLIP, rsna.BIOVIL, siim.SIIM, nih14.NIH14, vindr.VINDR, padchest.PADCHEST, covid.COVID),
        *(openi.FINDINGS, openi.RETRIEVAL, labels.PHANTOM, labels.LABELS),
    )
}
"""By the name the command line knows them by; a new protocol is a file here and a line here."""


def protocol_named(name: str) -> Protocol:
    """CallError naming those there are if there is none of that name."""
    if name not in PROTOCOLS:
        raise CallError(f"no protocol `{name}`; there are {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]
