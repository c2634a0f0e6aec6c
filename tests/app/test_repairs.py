"""Repairs of MONAI Label itself, through the very functions that it calls."""

from __future__ import annotations

import base64
import hmac
import json
import os
import sys
import time
from pathlib import Path

import jwt
import nibabel as nib
import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from monailabel.config import settings
from monailabel.datastore import dicom
from monailabel.datastore.utils import convert
from monailabel.endpoints import infer
from monailabel.endpoints.user import auth

from lib.repairs import apply_repairs


@pytest.fixture(autouse=True)
def repaired(bundle) -> None:
    apply_repairs(bundle)
    apply_repairs(bundle)  # as after POST /reload


@pytest.fixture(scope="module")
def signing_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def realm(signing_key, monkeypatch: pytest.MonkeyPatch) -> None:
    """Authentication is on, and the realm publishes the public half of the signing key."""
    public = signing_key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    monkeypatch.setattr(settings, "MONAI_LABEL_AUTH_ENABLE", True)
    monkeypatch.setattr(auth, "get_public_key", lambda realm_uri: public.decode())


CLAIMS = {"preferred_username": "reader", "realm_access": {"roles": ["monailabel-user"]}}


def test_valid_token_is_accepted(realm, signing_key):
    token = jwt.encode({**CLAIMS, "exp": time.time() + 60}, signing_key, algorithm="RS256")
    user = auth.from_token(token)
    assert (user.username, user.roles) == ("reader", ["monailabel-user"])


def test_expired_token_is_refused(realm, signing_key):
    token = jwt.encode({**CLAIMS, "exp": time.time() - 60}, signing_key, algorithm="RS256")
    with pytest.raises(jwt.ExpiredSignatureError):
        auth.from_token(token)


def test_unsigned_token_is_refused(realm):
    token = jwt.encode(CLAIMS, None, algorithm="none")
    with pytest.raises(jwt.InvalidTokenError):
        auth.from_token(token)


def test_token_signed_with_the_public_key_as_a_secret_is_refused(realm):
    # PyJWT itself refuses to sign such a token.
    def part(content: bytes) -> bytes:
        return base64.urlsafe_b64encode(content).rstrip(b"=")

    signed = part(b'{"alg":"HS256","typ":"JWT"}') + b"." + part(json.dumps(CLAIMS).encode())
    signature = hmac.digest(auth.get_public_key("").encode(), signed, "sha256")
    with pytest.raises(jwt.InvalidTokenError):
        auth.from_token((signed + b"." + part(signature)).decode())


@pytest.fixture
def segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Returns (value, name) of every segment that a mask with the given values would have in its DICOM SEG."""
    written = {}
    monkeypatch.setattr(convert, "itk_image_to_dicom_seg", lambda label, series, template: written.update(template))

    def names(caller, values: list[int], label_info: list[dict] | None) -> list[tuple[int, str]]:
        mask = np.zeros((4, 4, 4), np.uint8)
        mask.flat[: len(values)] = values
        path = tmp_path / "mask.nii.gz"
        nib.save(nib.Nifti1Image(mask, np.eye(4)), path)
        caller.nifti_to_dicom_seg(str(tmp_path), str(path), label_info)
        return [(s["labelID"], s["SegmentLabel"]) for s in written["segmentAttributes"][0]]

    return names


LABEL_INFO = [{"name": "pancreas", "model_name": "viewer"}, {"name": "lesion", "model_name": "viewer"}]


@pytest.mark.parametrize("caller", [dicom, infer], ids=["saving a final label", "inference"])
@pytest.mark.parametrize("label_info", [None, LABEL_INFO, LABEL_INFO[::-1]], ids=["unnamed", "named", "shuffled"])
@pytest.mark.parametrize(
    ("values", "expected"),
    [([1, 2], [(1, "pancreas"), (2, "lesion")]), ([2], [(2, "lesion")]), ([1], [(1, "pancreas")])],
)
def test_segments_keep_their_names_when_a_class_is_absent(segments, caller, label_info, values, expected):
    assert segments(caller, values, label_info) == expected


def test_programs_installed_beside_python_are_found(bundle, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/somewhere")
    apply_repairs(bundle)
    assert os.environ["PATH"].split(os.pathsep) == ["/somewhere", str(Path(sys.executable).parent)]
