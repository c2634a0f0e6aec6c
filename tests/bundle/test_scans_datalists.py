"""Lists of cases are complete or refused; splits are the same for the same cases and seed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtask.errors import InputError
from dualtask.scans import decathlon_datalist, hold_out, split


def dataset(folder: Path, cases: object, write_files: bool = True) -> Path:
    (folder / "dataset.json").write_text(json.dumps({"labels": {"0": "background"}, "training": cases}))
    if write_files and isinstance(cases, list):
        for case in cases:
            for key in ("image", "label"):
                (folder / case[key]).write_bytes(b"x")
    return folder


CASES = [{"image": "a.nii.gz", "label": "b.nii.gz", "site": "coastal"}]


def test_paths_become_absolute_and_further_entries_stay(tmp_path):
    (case,) = decathlon_datalist(dataset(tmp_path, CASES))
    assert case == {"image": str(tmp_path / "a.nii.gz"), "label": str(tmp_path / "b.nii.gz"), "site": "coastal"}


def test_a_site_stays_a_name_where_a_folder_has_it_too(tmp_path):
    (tmp_path / "coastal").mkdir()
    (case,) = decathlon_datalist(dataset(tmp_path, CASES))
    assert case["site"] == "coastal"


def test_a_test_section_of_plain_paths_is_read(tmp_path):
    (tmp_path / "a.nii.gz").write_bytes(b"x")
    (tmp_path / "dataset.json").write_text(json.dumps({"test": ["./a.nii.gz"]}))
    assert decathlon_datalist(tmp_path, "test") == [{"image": str(tmp_path / "a.nii.gz")}]


@pytest.mark.parametrize(
    "content", [[], None, {"image": "a"}, [{"label": "b"}], [{"image": 5}], ["a"], [None], ["a", {}]]
)
@pytest.mark.parametrize("section", ["training", "test"])
def test_a_section_that_names_no_cases_is_refused(content, section, tmp_path):
    (tmp_path / "dataset.json").write_text(json.dumps({section: content}))
    with pytest.raises(InputError, match=r"dataset\.json"):
        decathlon_datalist(tmp_path, section)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda d: d / "absent", "does not exist"),
        (lambda d: dataset(d, []), "no case"),
        (lambda d: dataset(d, CASES * 2), "twice"),
        (lambda d: dataset(d, [CASES[0] | {"unknown": "air"}]), "'air' for unknown voxels"),
        (lambda d: dataset(d, CASES, write_files=False), "a.nii.gz"),
        (lambda d: (d / "dataset.json").write_text("{") and d, "no readable list"),
        (lambda d: (d / "dataset.json").write_text("{}") and d, "no readable list"),
    ],
)
def test_an_unusable_folder_is_refused(make, words, tmp_path):
    with pytest.raises(InputError, match=words):
        decathlon_datalist(make(tmp_path))


def test_cases_are_chosen_by_site(tmp_path):
    folder = dataset(tmp_path, [{"image": f"{site}.nii.gz", "label": "mask.nii.gz", "site": site} for site in "ab"])
    assert [case["site"] for case in decathlon_datalist(folder, sites=["b"])] == ["b"]
    assert [case["site"] for case in decathlon_datalist(folder, without_sites=["b"])] == ["a"]
    with pytest.raises(InputError, match="its sites are a, b"):
        decathlon_datalist(folder, sites=["c"])


sites = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 12), min_size=1)


@given(sizes=sites, fraction=st.floats(0.05, 0.6), seed=st.integers(0, 5), order=st.randoms())
def test_a_split_is_a_partition_by_site_that_does_not_depend_on_the_order(sizes, fraction, seed, order):
    cases = [
        {"image": f"{site}{number}", "label": "mask", "site": site}
        for site, size in sizes.items()
        for number in range(size)
    ]
    training, validation = split(cases, fraction, seed)
    assert sorted(case["image"] for case in training + validation) == sorted(case["image"] for case in cases)
    for site, size in sizes.items():
        held_out = sum(case["site"] == site for case in validation)
        assert (1 <= held_out < size) if size > 1 else held_out == 0
    shuffled = list(cases)
    order.shuffle(shuffled)
    assert split(shuffled, fraction, seed) == (training, validation)


def test_another_seed_gives_another_split():
    cases = [{"image": str(number), "label": "mask"} for number in range(30)]
    assert split(cases, 0.3, 0) != split(cases, 0.3, 1)


def test_cases_without_a_label_all_go_to_training():
    labelled = [{"image": f"a{number}", "label": "mask", "site": "a"} for number in range(5)]
    unlabelled = [{"image": f"b{number}", "site": "a"} for number in range(5)]
    training, validation = split(labelled + unlabelled, 0.4, seed=0)
    assert all("label" in case for case in validation)
    assert all(case in training for case in unlabelled)


def test_scans_are_held_out_by_name_whatever_their_folder_and_format():
    cases = [{"image": path} for path in ("a/one.nii.gz", "b/two.nrrd", "c/1.2.3", "c/one_more.nii.gz")]
    training, held_out = hold_out(cases, ["one", "1.2.3", "absent"])
    assert [case["image"] for case in held_out] == ["a/one.nii.gz", "c/1.2.3"]
    assert [case["image"] for case in training] == ["b/two.nrrd", "c/one_more.nii.gz"]


@pytest.mark.parametrize(("names", "words"), [(["absent"], "fit none of the 2"), (["one", "two"], "fit all of the 2")])
def test_names_that_leave_nothing_to_train_or_to_validate_on_are_refused(names, words):
    with pytest.raises(InputError, match=words):
        hold_out([{"image": "one.nii.gz"}, {"image": "two.nii.gz"}], names)
