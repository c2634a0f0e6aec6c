"""The audit trail says who did what to which study and when, and names no patient."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from small_server import MODEL, STUDY, label_bytes

from battery.beside import full_disk
from dualtask.errors import InputError
from lib.security.audit import AuditTrail, open_audit_trail
from lib.security.settings import SecuritySettings, read_settings


@pytest.fixture
def lines(app_folder: Path):
    def read() -> list[dict]:
        return [json.loads(line) for line in (app_folder / "logs" / "audit.jsonl").read_text().splitlines()]

    return read


def test_saved_label_is_on_record(closed, lines):
    closed.put("/datastore/label", params={"image": STUDY}, files={"label": ("x.nii", label_bytes(1, 2))})
    (line,) = lines()
    assert (line["user"], line["action"], line["status"]) == ("local", "PUT /datastore/label", 200)
    assert len(line["studies"]) == 1
    assert abs((datetime.now(UTC) - datetime.fromisoformat(line["time"])).total_seconds()) < 60
    assert line["client"] == "127.0.0.1"


def test_refused_requests_are_on_record(closed, lines):
    closed.get("/datastore/image", params={"image": "../../etc/passwd"})
    closed.get("/wp-admin")
    closed.post("/reload")
    assert [(line["action"], line["status"]) for line in lines()] == [
        ("GET /datastore/image", 422),
        ("unknown route", 404),
        ("POST /reload", 403),
    ]


def test_no_name_of_a_study_is_in_clear(closed, lines, app_folder: Path, scan: bytes):
    patient = "Anna Musterfrau 1961"
    closed.put("/datastore/image", params={"image": patient}, files={"file": ("x.nii", scan)})
    closed.put("/datastore/image", files={"file": (f"{patient} 2.nii", scan)})
    closed.post(f"/infer/{MODEL}", params={"image": patient})
    closed.get("/datastore/image", params={"image": f"{patient} unknown"})
    closed.get(f"/{patient}")
    assert [line["status"] for line in lines()] == [200, 200, 200, 404, 404]
    text = (app_folder / "logs" / "audit.jsonl").read_text()
    assert not any(part in text for part in ("Anna", "Musterfrau", "1961"))
    uploaded, _, segmented, *_ = lines()
    assert uploaded["studies"] == segmented["studies"]


def test_pseudonyms_depend_on_the_key(tmp_path: Path):
    trails = [AuditTrail(tmp_path / f"{name}.jsonl", tmp_path / f"{name}.key") for name in "ab"]
    again = AuditTrail(tmp_path / "a.jsonl", tmp_path / "a.key")
    assert trails[0].pseudonym("x") == again.pseudonym("x") != trails[1].pseudonym("x")


def test_lines_are_appended_and_no_one_else_reads_them(tmp_path: Path):
    for user in ("a", "b\n{}"):
        AuditTrail(tmp_path / "audit.jsonl", tmp_path / "key").record(user, "GET /x", [], 200, "127.0.0.1")
    text = (tmp_path / "audit.jsonl").read_text()
    assert [json.loads(line)["user"] for line in text.splitlines()] == ["a", "b\n{}"]
    for name in ("audit.jsonl", "key"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def test_nothing_is_answered_that_cannot_be_recorded(closed, app_folder: Path):
    closed.get("/info/")
    (app_folder / "logs" / "audit.jsonl").unlink()
    (app_folder / "logs" / "audit.jsonl").mkdir()
    answer = closed.get("/info/")
    assert answer.status_code == 500
    assert STUDY not in answer.text


def test_server_without_audit_trail_does_not_start(tmp_path: Path):
    (tmp_path / "file").write_text("")
    (tmp_path / "damaged.key").write_text("no key")
    for settings in (
        SecuritySettings(audit_log=tmp_path / "file" / "audit.jsonl"),
        SecuritySettings(audit_key=tmp_path / "damaged.key"),
    ):
        with pytest.raises(InputError, match="audit trail"):
            open_audit_trail(tmp_path / "logs", settings)


@pytest.mark.parametrize(("name", "value"), [("UPLOAD_LIMIT_MB", "0"), ("OPEN_HOSTS", "labels.example")])
def test_setting_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str):
    monkeypatch.setenv(f"DUALTASK_{name}", value)
    with pytest.raises(InputError, match=r"SECURITY\.md"):
        read_settings()


def test_settings_come_from_the_environment_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text('DUALTASK_OPEN_HOSTS=["labels.example"]\nDUALTASK_UPLOAD_LIMIT_MB=7\n')
    monkeypatch.setenv("DUALTASK_UPLOAD_LIMIT_MB", "8")
    settings = read_settings()
    assert (settings.open_hosts, settings.upload_limit_mb) == (["labels.example"], 8)


def test_what_finds_no_room_on_record_is_answered_so(closed):
    with full_disk(left=0):
        answer = closed.get("/datastore/")
    assert answer.status_code == 507
    assert answer.json()["detail"] == "The server's disk is full: free space on it."
    assert closed.get("/datastore/").status_code == 200


def test_part_of_a_line_is_never_left(tmp_path: Path):
    trail = AuditTrail(tmp_path / "audit.jsonl", tmp_path / "audit.key")
    trail.record("reader", "GET /info", [], 200, "127.0.0.1")
    whole = trail.log.read_text()
    with full_disk(left=len(whole) + 20), pytest.raises(OSError):
        trail.record("reader", "GET /info", [], 200, "127.0.0.1")
    assert trail.log.read_text() == whole
