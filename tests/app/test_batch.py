from types import SimpleNamespace

import pytest
from fastapi import HTTPException

from lib.batch import BatchInfer

STUDIES = SimpleNamespace(list_images=lambda: ["a", "b", "c"])


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)


def test_all_studies_are_inferred_on_the_cpu_where_there_is_no_gpu():
    devices = []
    result = BatchInfer()({"multi_gpu": True}, STUDIES, lambda request, _: devices.append(request["device"]) or {})
    assert list(result) == ["a", "b", "c"]
    assert devices == ["cpu"] * 3


def test_unusable_scan_is_reported_and_passed_over():
    def infer(request, datastore):
        if request["image"] == "b":
            raise HTTPException(422, "The scan is flat.")
        return {"label": request["image"]}

    assert BatchInfer()({}, STUDIES, infer) == {
        "a": {"label": "a"},
        "b": {"error": "The scan is flat."},
        "c": {"label": "c"},
    }
