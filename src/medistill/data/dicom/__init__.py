"""DICOM files as grey images."""

from medistill.data.dicom.image import decode_dicom, dicom_images

__all__ = ["decode_dicom", "dicom_images"]
