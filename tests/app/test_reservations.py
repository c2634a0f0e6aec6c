from pathlib import Path

from lib.reservations import Reservations


def first(studies: list[str]) -> str:
    return studies[0]


def test_reservation_expires(tmp_path: Path):
    reservations = Reservations(tmp_path / "reservations.json", minutes=0)
    assert reservations.reserve(["a"], "x", first) == "a"
    assert reservations.reserve(["a"], "y", first) == "a"


def test_reservation_outlives_a_restart(tmp_path: Path):
    Reservations(tmp_path / "reservations.json", minutes=60).reserve(["a", "b"], "x", first)
    assert Reservations(tmp_path / "reservations.json", minutes=60).reserve(["a", "b"], "y", first) == "b"


def test_many_at_once_get_a_study_each(tmp_path: Path):
    from concurrent.futures import ThreadPoolExecutor

    reservations = Reservations(tmp_path / "reservations.json", minutes=60)
    studies = [f"study_{number}" for number in range(40)]
    with ThreadPoolExecutor(16) as pool:
        given = list(pool.map(lambda who: reservations.reserve(studies, str(who), first), range(40)))
    assert sorted(given) == sorted(studies)
