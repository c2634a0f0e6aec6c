from pathlib import Path

import pytest

from dualtask.errors import InputError
from lib.versions import WeightVersions


@pytest.fixture
def versions(tmp_path: Path) -> WeightVersions:
    (tmp_path / "shipped.pt").write_bytes(b"shipped")
    return WeightVersions(tmp_path / "model", tmp_path / "shipped.pt", "1.0")


def publish(versions: WeightVersions, content: bytes, taught: tuple[str, ...] = ()) -> int:
    file = versions.folder.parent / "candidate.pt"
    file.write_bytes(content)
    return versions.publish(file, {"taught": list(taught)})


def test_shipped_weights_are_served_until_others_are_published(versions):
    assert (versions.current, versions.name, versions.path.read_bytes()) == (0, "1.0", b"shipped")
    assert publish(versions, b"one") == 1
    assert (versions.current, versions.name, versions.path.read_bytes()) == (1, "1.0+1", b"one")


def test_another_process_sees_what_was_published(versions):
    other = WeightVersions(versions.folder, versions.shipped, "1.0")
    publish(versions, b"one")
    assert other.name == "1.0+1"


def test_digest_names_the_content_and_not_the_number(versions):
    shipped = versions.digest
    publish(versions, b"one")
    one = versions.digest
    assert one != shipped
    versions.go_back()
    assert versions.digest == shipped
    publish(versions, b"one")
    assert versions.digest == one


def test_number_of_a_version_that_was_left_is_not_used_again(versions):
    publish(versions, b"one")
    versions.go_back()
    assert publish(versions, b"two") == 2
    assert [record["parent"] for record in versions.records] == [0, 0]


def test_going_back_from_the_shipped_weights_is_refused(versions):
    with pytest.raises(InputError, match="shipped weights"):
        versions.go_back()


def test_going_back_to_weights_that_are_no_longer_kept_is_refused(versions):
    for number in range(8):
        publish(versions, b"%d" % number)
    assert len(list(versions.folder.glob("version_*.pt"))) == 5
    with pytest.raises(InputError, match="no longer kept"):
        for _ in range(8):
            versions.go_back()
    assert versions.path.is_file()


def test_weights_that_were_exchanged_behind_the_app_are_refused(versions):
    publish(versions, b"one")
    versions.path.write_bytes(b"planted")
    with pytest.raises(InputError, match=r"version_1\.pt is not the file that was published .* shipped weights"):
        _ = versions.path


def test_going_back_to_weights_that_were_exchanged_is_refused(versions):
    publish(versions, b"one")
    publish(versions, b"two")
    (versions.folder / "version_1.pt").write_bytes(b"planted")
    with pytest.raises(InputError, match=r"version_1\.pt is not the file"):
        versions.go_back()
    assert versions.current == 2


def test_what_taught_a_version_is_what_taught_it_and_those_before(versions):
    publish(versions, b"one", ("a",))
    publish(versions, b"two", ("b",))
    assert versions.taught == {"a", "b"}
    versions.go_back()
    assert versions.taught == {"a"}


def test_kill_between_weights_and_record_leaves_the_old_version(versions, monkeypatch: pytest.MonkeyPatch):
    publish(versions, b"one")
    monkeypatch.setattr(versions, "_write", lambda state: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        publish(versions, b"two")
    assert versions.path.read_bytes() == b"one"
