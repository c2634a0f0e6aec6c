"""Which studies teach and which judge: properties that must hold in whatever order labels come."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from lib.cases import HELD_OUT, divide, replayed, stamp, unlabelled

NAMES = st.lists(st.text("abcdefghij0123456789", min_size=1, max_size=8), min_size=1, max_size=30, unique=True)


def cases(names: list[str]) -> list[dict]:
    return [{"image": f"/studies/{name}.nii.gz", "label": f"/labels/{name}.nii.gz"} for name in names]


def names_of(chosen: list[dict]) -> set[str]:
    return {Path(case["image"]).name.removesuffix(".nii.gz") for case in chosen}


@given(NAMES)
def test_no_case_judges_weights_that_it_taught_in_whatever_order_labels_come(names: list[str]):
    taught: set[str] = set()
    for count in range(1, len(names) + 1):
        teachers, judges = map(names_of, divide(cases(names[:count]), {f"{name}@0" for name in taught}))
        assert teachers
        assert judges
        assert teachers | judges == set(names[:count])
        assert not judges & taught or count == 1
        assert not judges & teachers or count == 1
        taught |= teachers if count > 1 else set()


@given(NAMES)
def test_choice_does_not_depend_on_the_order_or_the_folder(names: list[str]):
    moved = [{**case, "image": case["image"].replace("/studies", "/elsewhere")} for case in reversed(cases(names))]
    assert names_of(divide(moved, [])[1]) == names_of(divide(cases(names), [])[1])


def test_share_of_the_judges_is_as_stated_and_stays_when_more_cases_come():
    many = cases([f"study_{number}" for number in range(2000)])
    first, judges = names_of(divide(many[:1000], [])[1]), names_of(divide(many, [])[1])
    assert abs(len(judges) / 2000 - HELD_OUT) < 0.03
    assert first == judges & names_of(many[:1000])


def test_only_case_teaches_and_judges_and_from_the_second_on_it_teaches():
    one, two = cases(["a", "b"])
    assert divide([one], []) == ([one], [one])
    assert divide([one], ["a@0"]) == ([one], [one])
    assert divide([one, two], ["a@0"]) == ([one], [two])


def test_corrected_label_is_new_again(tmp_path: Path):
    case = {"image": str(tmp_path / "a.nii.gz"), "label": str(tmp_path / "label.nii.gz")}
    Path(case["label"]).write_bytes(b"1")
    before = stamp(case)
    assert stamp(case) == before
    os.utime(case["label"], (1, 1))
    assert stamp(case) != before


def test_all_new_cases_teach_and_earlier_ones_are_replayed_in_proportion(tmp_path: Path):
    every = []
    for number in range(200):
        label = tmp_path / f"{number}.nii.gz"
        label.touch()
        every.append({"image": str(label), "label": str(label)})
    taught = {stamp(case) for case in every[:150]}
    chosen = replayed(every, taught)
    assert [case for case in every[150:] if case not in chosen] == []
    assert len(chosen) == 50 + 3 * 50
    assert len(replayed(every, {stamp(case) for case in every[:195]})) == 5 + 20


def test_scans_without_label_are_the_same_at_each_call_and_limited():
    scans = [f"/studies/{number}.nii.gz" for number in range(50)]
    assert unlabelled(scans, 7) == unlabelled(reversed(scans), 7)
    assert len(unlabelled(scans, 7)) == 7
