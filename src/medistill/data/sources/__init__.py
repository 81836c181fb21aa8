"""The kinds of source a corpus can be prepared from."""

from medistill.data.sources.chexpert import ChexpertSource
from medistill.data.sources.covidx import CovidxSource
from medistill.data.sources.csv import CsvSource
from medistill.data.sources.dicom import DicomSource
from medistill.data.sources.folder import FolderSource
from medistill.data.sources.medpix import MedpixSource
from medistill.data.sources.mimic_cxr import MimicCxrSource
from medistill.data.sources.nih14 import Nih14Source
from medistill.data.sources.openi import OpeniSource
from medistill.data.sources.padchest import PadchestSource
from medistill.data.sources.parts.draft import Reading, Source
from medistill.data.sources.phantom import PhantomSource
from medistill.data.sources.roco import RocoSource
from medistill.data.sources.rsna import RsnaSource
from medistill.data.sources.siim import SiimSource
from medistill.data.sources.vindr import VindrSource

SOURCES: dict[str, type[Source]] = {
    source.name: source
    for source in (
        *(PhantomSource, FolderSource, CsvSource, DicomSource),
        *(MimicCxrSource, ChexpertSource, OpeniSource, Nih14Source, RsnaSource, SiimSource, PadchestSource),
        *(VindrSource, CovidxSource, RocoSource, MedpixSource),
    )
}
"""By the name the command line knows them by; a new source is a file here and a line here."""
__all__ = [
    "SOURCES",
    "ChexpertSource",
    "CovidxSource",
    "CsvSource",
    "DicomSource",
    "FolderSource",
    "MedpixSource",
    "MimicCxrSource",
    "Nih14Source",
    "OpeniSource",
    "PadchestSource",
    "PhantomSource",
    "Reading",
    "RocoSource",
    "RsnaSource",
    "SiimSource",
    "Source",
    "VindrSource",
]
