"""Names that a request may carry: what is not allowed here reaches neither a path nor a task."""

from __future__ import annotations

import re
import unicodedata

from dualtask.errors import InputError

_LONGEST = 200
_STUDY_MARKS = frozenset(" ._-+,=@#()[]")
_COMBINING = frozenset({"Mn", "Mc"})

_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_IDENTIFIER = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]|\.(?!\.)){0,127}")
_SESSION = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_UID = re.compile(r"[0-9]+(?:\.[0-9]+)*")
_CHECKSUM = re.compile(r"(?:(?:SHA256|SHA512|MD5):)?[0-9a-fA-F]{32,128}")
_NUMBER = re.compile(r"-?[0-9]{1,9}")
_DICOMWEB_PATH = re.compile(r"(?:studies|series|instances)(?:/(?!\.+(?:/|$))[A-Za-z0-9._,-]+)*")

SCAN_SUFFIXES = (".nii.gz", ".nii", ".nrrd")
"""What may be uploaded, the longer suffix first."""


def check_study(name: str) -> None:
    """Letters and digits of any script, spaces and a few marks; no slash, no two dots, no leading dot or dash.

    Raises:
        InputError: for any other name, as by all functions here.
    """
    allowed = all(c.isalnum() or c in _STUDY_MARKS or unicodedata.category(c) in _COMBINING for c in name)
    if not (0 < len(name) <= _LONGEST and allowed and (name[0].isalnum() or name[0] == "_") and ".." not in name):
        raise InputError(f"{_shown(name)} is not the name of a study: use letters, digits, spaces and . _ - alone.")


def check_new_study(name: str) -> None:
    """A study's name that the store can tell from its file's suffix and from the folder of the labels."""
    check_study(name)
    if any(suffix in name.lower() for suffix in (".nii", ".nrrd")) or name.lower() == "labels":
        raise InputError(f"{_shown(name)} cannot name a study: leave out the suffix of the file.")


def check_series_uid(name: str) -> None:
    """A DICOM UID (PS3.5, chapter 9)."""
    if len(name) > 64 or not _UID.fullmatch(name):
        raise InputError(f"{_shown(name)} is not the UID of a DICOM series: use digits and dots alone.")


def check_tag(name: str) -> None:
    """The tag of a label, which names a folder."""
    _must_match(_TAG, name, "the tag of a label: use letters, digits, _ and - alone.")


def check_identifier(name: str) -> None:
    """The name of a model, strategy, scoring method or option."""
    _must_match(_IDENTIFIER, name, "a name that is known here: use letters, digits, _ - and . alone.")


def check_session(name: str) -> None:
    """The id of a session as the server itself gives it out."""
    _must_match(_SESSION, name, "the id of a session: use the one that PUT /session/ returned.")


def check_checksum(text: str) -> None:
    """A digest in hexadecimal form, with its algorithm in front or not."""
    _must_match(_CHECKSUM, text, "a checksum: give SHA256:, SHA512: or MD5: and the digest.")


def check_number(text: str) -> None:
    """A whole number that no size computed from it can overflow."""
    _must_match(_NUMBER, text, "a whole number of at most nine digits: give one.")


def check_dicomweb_path(path: str) -> None:
    """A resource of DICOMweb (PS3.18, chapter 10), which leads nowhere else on the DICOM server."""
    _must_match(_DICOMWEB_PATH, path, "a DICOMweb resource: ask for studies, series or instances.")


def scan_suffix(filename: str) -> str:
    """The suffix of an uploaded scan or label."""
    for suffix in SCAN_SUFFIXES:
        if filename.lower().endswith(suffix):
            return suffix
    raise InputError(f"{_shown(filename)} is not a scan that is known here: upload a .nii, .nii.gz or .nrrd file.")


def _must_match(pattern: re.Pattern[str], text: str, kind_and_remedy: str) -> None:
    if not pattern.fullmatch(text):
        raise InputError(f"{_shown(text)} is not {kind_and_remedy}")


def _shown(text: str) -> str:
    """The text as a request is answered with: short, and without characters that a terminal would obey."""
    return repr(text if len(text) <= 60 else text[:60] + "…")
