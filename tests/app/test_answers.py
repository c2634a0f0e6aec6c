import sys
from types import ModuleType

import pytest
from fastapi import HTTPException
from monailabel.interfaces.exception import MONAILabelError, MONAILabelException

from dualtask.errors import InputError
from lib.answers import errors_as_answers, sentence_instead_of_traceback
from lib.dicom_server import DicomServerError


def raise_wrapped(sentence: str) -> None:
    try:
        raise InputError(sentence)
    except InputError as error:
        raise RuntimeError("applying transform") from error


def test_unusable_input_is_answered_with_its_sentence():
    with pytest.raises(HTTPException) as answer, errors_as_answers():
        raise_wrapped("The scan is flat.")
    assert (answer.value.status_code, answer.value.detail) == (422, "The scan is flat.")


def test_dicom_server_that_fails_is_not_the_askers_fault():
    with pytest.raises(HTTPException) as answer, errors_as_answers():
        raise DicomServerError("The DICOM server is not there.")
    assert answer.value.status_code == 502


def test_unknown_names_are_answered_with_not_found():
    with pytest.raises(HTTPException) as answer, errors_as_answers():
        raise MONAILabelException(MONAILabelError.INVALID_INPUT, "There is no model 'x' available")
    assert (answer.value.status_code, answer.value.detail) == (404, "There is no model 'x' available")


def test_a_defect_of_the_app_is_not_dressed_up():
    with pytest.raises(ZeroDivisionError), errors_as_answers():
        1 / 0  # noqa: B018


def test_server_that_cannot_start_prints_the_sentence_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "monailabel.app", ModuleType("monailabel.app"))
    monkeypatch.setattr(sys, "tracebacklimit", 1000, raising=False)
    with pytest.raises(InputError) as error, sentence_instead_of_traceback():
        raise_wrapped("No weights.")
    assert sys.tracebacklimit == 0
    assert error.value.__suppress_context__


def test_defect_at_the_start_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "monailabel.app", ModuleType("monailabel.app"))
    monkeypatch.setattr(sys, "tracebacklimit", 1000, raising=False)
    with pytest.raises(ZeroDivisionError), sentence_instead_of_traceback():
        1 / 0  # noqa: B018
    assert sys.tracebacklimit == 1000
