"""Small DICOM files of every kind, made on the spot."""

import io
import tempfile
import warnings
from pathlib import Path

import pydicom
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

DX = "1.2.840.10008.5.1.4.1.1.1.1"
NATIVE = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)
LOSSLESS = (RLELossless, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless)


def elements(pixels, **changes) -> Dataset:
    """A dataset of (h, w), (frames, h, w) or (h, w, 3) pixels; a change of None leaves the element out."""
    color = pixels.ndim == 3 and pixels.shape[-1] == 3
    rows, columns = pixels.shape[:2] if color else pixels.shape[-2:]
    bits = pixels.dtype.itemsize * 8
    values = {
        "SOPClassUID": DX,
        "SOPInstanceUID": "1.2.3.4",
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.1",
        "Modality": "DX",
        "PatientID": "P1",
        "AccessionNumber": "A1",
        "Rows": rows,
        "Columns": columns,
        "SamplesPerPixel": 3 if color else 1,
        "PhotometricInterpretation": "RGB" if color else "MONOCHROME2",
        "BitsAllocated": bits,
        "BitsStored": bits,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
    }
    if color:
        values["PlanarConfiguration"] = 0
    if pixels.ndim == 3 and not color:
        values["NumberOfFrames"] = len(pixels)
    values |= changes
    values.setdefault("HighBit", (values["BitsStored"] or bits) - 1)
    dataset = Dataset()
    with warnings.catch_warnings(action="ignore"):  # some files are made to depart from the standard
        for name, value in values.items():
            if value is not None:
                setattr(dataset, name, value)
    return dataset


def dicom(pixels, *, syntax=ExplicitVRLittleEndian, preamble=True, stream=None, **changes) -> bytes:
    """A DICOM file of the pixels; `stream` replaces the compressed frame."""
    dataset = elements(pixels, **changes)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    if syntax in NATIVE or syntax == RLELossless:
        order = ">" if syntax == ExplicitVRBigEndian else "<"
        dataset.PixelData = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
        dataset["PixelData"].VR = "OB" if pixels.dtype.itemsize == 1 else "OW"
        if len(dataset.PixelData) % 2:
            dataset.PixelData += b"\0"
    else:
        frames = pixels if "NumberOfFrames" in dataset else [pixels]
        streams = [stream] if stream else [compressed(frame, syntax, dataset) for frame in frames]
        dataset.PixelData = encapsulate(streams)
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
    if syntax == RLELossless:
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.compress(RLELossless)
    return written(dataset, preamble)


def written(dataset, preamble=True) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings(action="ignore"):
        dataset.save_as(file, enforce_file_format=True)
    data = file.getvalue()
    if preamble:
        return data
    length = 12 + int.from_bytes(data[140:144], "little")  # of the file meta information
    return data[132 + length :]


def compressed(frame, syntax, dataset) -> bytes:
    if syntax == JPEGBaseline8Bit:
        file = io.BytesIO()
        Image.fromarray(frame).save(file, "JPEG", quality=95)
        return file.getvalue()
    if syntax == JPEG2000Lossless:
        from openjpeg.utils import encode_array

        return encode_array(frame, bits_stored=dataset.BitsStored)
    return by_gdcm(frame, syntax, dataset)


def by_gdcm(frame, syntax, dataset) -> bytes:
    """gdcm compresses files only."""
    import gdcm

    changes = {name: dataset[name].value for name in ("BitsStored", "PixelRepresentation")}
    with tempfile.TemporaryDirectory() as folder:
        plain, packed = Path(folder) / "plain", Path(folder) / "packed"
        plain.write_bytes(dicom(frame, **changes))
        reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
        reader.SetFileName(str(plain))
        assert reader.Read()
        kind = gdcm.TransferSyntax.GetTSType(str(syntax))
        change.SetTransferSyntax(gdcm.TransferSyntax(kind))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        writer.SetFileName(str(packed))
        assert writer.Write()
        dataset = pydicom.dcmread(packed)
        return next(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1))


def item(**values) -> Dataset:
    dataset = Dataset()
    for name, value in values.items():
        setattr(dataset, name, value)
    return dataset
