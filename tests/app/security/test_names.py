"""What may name a study, a tag, a DICOM resource."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtask.errors import InputError
from lib.security import names
from lib.security.paths import check_inside

CHECKS = (
    names.check_study,
    names.check_new_study,
    names.check_series_uid,
    names.check_tag,
    names.check_identifier,
    names.check_session,
    names.check_checksum,
    names.check_number,
)


@pytest.mark.parametrize(
    "name", ["case_1", "Müller, Anna (2)", "患者 3", "1.2.840.1", unicodedata.normalize("NFD", "é")]
)
def test_names_of_any_language_are_taken(name: str):
    names.check_study(name)
    names.check_new_study(name)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "labels", "Labels"])
def test_name_of_a_new_study_says_nothing_of_files(name: str):
    with pytest.raises(InputError):
        names.check_new_study(name)


@given(st.text())
def test_no_name_that_is_taken_leads_out_of_a_folder(tmp_path_factory, name: str):
    for check in CHECKS:
        try:
            check(name)
        except InputError as error:
            assert str(error).count("\n") == 0
            continue
        assert not set(name) & set("/\\\0\n\r")
        assert name not in (".", "..")
        check_inside(tmp_path_factory.getbasetemp(), name)


@given(st.text(st.sampled_from("a./\\%2e\0 ")))
def test_no_path_that_is_taken_leaves_dicomweb(path: str):
    for prefix in ("", "studies/", "series/1.2/"):
        try:
            names.check_dicomweb_path(prefix + path)
        except InputError:
            continue
        parts = (prefix + path).split("/")
        assert not any(part.strip(".") == "" for part in parts)
        assert "%" not in path


@pytest.mark.parametrize(
    "path",
    ["studies", "studies/1.2/series/3.4/instances/5.6/frames/1", "series/1.2/metadata", "studies/1/bulk/00420011"],
)
def test_resources_of_dicomweb_are_taken(path: str):
    names.check_dicomweb_path(path)


@pytest.mark.parametrize(
    "path", ["../instances", "studies/../../system", "studies//1", "instances/..", "tools/reset", ""]
)
def test_other_resources_are_refused(path: str):
    with pytest.raises(InputError):
        names.check_dicomweb_path(path)


def test_links_are_followed_before_a_place_is_judged(tmp_path):
    (tmp_path / "studies").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "studies" / "link").symlink_to(tmp_path / "elsewhere")
    check_inside(tmp_path / "studies", "a/b")
    for place in ("link/a", "../a", "a/../../b"):
        with pytest.raises(InputError):
            check_inside(tmp_path / "studies", place)
