"""The report is one page that stands alone, says what it is, and shows bodies the way radiologists look at them."""

from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from monai.data import MetaTensor
from PIL import Image

from dualtask.errors import InputError
from dualtask.evaluation import read_components, read_scores, score_cases
from dualtask.measurements import measure_scan
from dualtask.report import write_report, write_scan_report
from dualtask.report.examples import extremes
from dualtask.report.rendering import number
from handmade_scan import AFFINE, densities, label_map

STATEMENT = "Research software, not a medical device; not cleared for diagnosis"
SYNTHETIC = "Synthetic data: computed scans, no patients"
NASTY = "<script>alert('x')&"
SPACING_MM = (2.0, 2.0, 5.0)
SHAPE = (100, 100, 40)


class Page(HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def images(self) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == "img"]

    def overlays(self) -> list[dict[str, str | None]]:
        """Images of slices."""
        return [image for image in self.images() if "prediction filled" in image["alt"]]


def pixels(image: dict[str, str | None]) -> np.ndarray:
    """RGB [rows, columns, 3] of an image of the page."""
    data = base64.b64decode(image["src"].removeprefix("data:image/png;base64,"), validate=True)
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def save_case(
    folder: Path, name: str = "a", codes: str = "LAS", lesion: bool = True, predicted: bool = True
) -> dict[str, str]:
    """A pancreas with a lesion in its middle, and bright cubes of 20 mm to its right, in front and above."""
    hu = np.full(SHAPE, -160, np.int16)
    hu[62:72, 45:55, 18:22] = hu[45:55, 62:72, 18:22] = hu[45:55, 45:55, 25:29] = 240
    label = np.zeros(SHAPE, np.uint8)
    label[40:60, 40:60, 16:24] = 1
    if lesion:
        label[45:55, 45:55, 18:22] = 2
    prediction = label if predicted else np.zeros_like(label)
    orientation = nib.orientations.axcodes2ornt(codes)
    to_codes = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), orientation)
    (folder / "pred").mkdir(exist_ok=True)
    paths = (folder / f"{name}.nii.gz", folder / f"{name}_label.nii.gz", folder / "pred" / f"{name}_seg.nii.gz")
    for path, voxels in zip(paths, (hu, label, prediction), strict=True):
        nib.save(nib.Nifti1Image(voxels, np.diag([*SPACING_MM, 1.0])).as_reoriented(to_codes), path)
    return {"image": str(paths[0]), "label": str(paths[1]), "site": "north"}


def report(folder: Path, cases: list[dict[str, str]], **options) -> tuple[str, Page]:
    rows = score_cases(cases, folder / "pred", folder)
    options = {"synthetic": True} | options
    components = read_components(folder / "lesions.csv")
    write_report(folder / "report.html", cases, folder / "pred", rows, components, **options)
    html = (folder / "report.html").read_text(encoding="utf-8")
    return html, Page(html)


@pytest.fixture
def history(tmp_path) -> Path:
    epochs = [
        {"epoch": 1, "loss": 3.0, "terms": {"mask": 2.0, "distance": 1.0}},
        {"epoch": 2, "loss": 2.0, "terms": {"mask": 1.5, "distance": 0.5}, "validation": {"val_mean_dice": 0.5}},
    ]
    path = tmp_path / "history.json"
    path.write_text(json.dumps(epochs))
    return path


def test_each_case_has_three_views_with_a_text_for_each(tmp_path):
    _, page = report(tmp_path, [save_case(tmp_path), save_case(tmp_path, "b", lesion=False)])
    texts = [image["alt"] for image in page.overlays()][-6:]
    assert [re.match(r"(\w+) slice of (\w) through (.*?),", text).groups() for text in texts] == [
        (view, case, target)
        for case, target in (("a", "the reference lesion"), ("b", "the reference pancreas"))
        for view in ("Axial", "Coronal", "Sagittal")
    ]


def test_slices_go_through_what_is_known_of_a_structure(tmp_path):
    case = save_case(tmp_path, codes="RAS")
    scan = nib.load(case["image"])
    hu = np.full(SHAPE, -1024, np.int16)
    hu[:, :, 23] = 240  # the last slice of the pancreas, above the lesion
    nib.save(nib.Nifti1Image(hu, scan.affine), case["image"])
    _, page = report(tmp_path, [case | {"unknown": -1024}])
    axial = page.overlays()[-3]
    assert "through the reference pancreas" in axial["alt"]
    assert pixels(axial).min(axis=-1).mean() > 128


def test_the_worst_the_median_and_the_best_case_are_shown_of_each_structure_that_is_there(tmp_path):
    cases = [
        save_case(tmp_path, "found"),
        save_case(tmp_path, "missed", predicted=False),
        save_case(tmp_path, "healthy", lesion=False),
    ]
    _, page = report(tmp_path, cases, every_case=False)
    assert re.findall(r"(Worst|Median|Best): (\w+), (.*)", page.text) == [
        ("Worst", "missed", "Dice 0.000"),
        ("Median", "found", "Dice 1.000"),
        ("Best", "healthy", "Dice 1.000"),
        ("Worst", "missed", "Dice 0.000"),
        ("Best", "found", "Dice 1.000"),
    ]
    targets = [re.search("through (.*?),", image["alt"]).group(1) for image in page.overlays()]
    assert targets == ["the reference pancreas"] * 9 + ["the reference lesion"] * 6


def test_the_largest_false_alarm_is_shown(tmp_path):
    cases = [save_case(tmp_path, name, lesion=False) for name in ("small", "large")]
    for case, name, side in ((cases[0], "small", 2), (cases[1], "large", 4)):
        image = nib.load(case["label"])
        voxels = np.asarray(image.dataobj).copy()
        voxels[50 : 50 + side, 50 : 50 + side, 20:22] = 2
        nib.save(nib.Nifti1Image(voxels, image.affine), tmp_path / "pred" / f"{name}_seg.nii.gz")
    _, page = report(tmp_path, cases, every_case=False)
    assert "Largest false alarm: large, 0.6 ml" in page.text
    assert "through the predicted lesion" in page.overlays()[-1]["alt"]


@pytest.mark.parametrize(
    ("dice", "shown"),
    [
        ({}, {}),
        ({"a": 0.5}, {"Worst": "a"}),
        ({"a": 0.5, "b": 0.1}, {"Worst": "b", "Best": "a"}),
        ({"a": 0.5, "b": 0.1, "c": 0.9, "d": 0.7}, {"Worst": "b", "Median": "d", "Best": "c"}),
    ],
)
def test_no_case_is_shown_twice(dice, shown):
    assert list(extremes(dice).items()) == list(shown.items())


def test_lesions_are_shown_as_objects(tmp_path):
    _, page = report(tmp_path, [save_case(tmp_path), save_case(tmp_path, "missed", predicted=False)])
    (curve,) = [image for image in page.images() if "false alarms per scan" in image["alt"]]
    assert curve["alt"].endswith("0.50 at 0.25, 0.50 at 0.5, 0.50 at 1, 0.50 at 2.")
    assert (tmp_path / "froc.png").read_bytes() == base64.b64decode(curve["src"].split(",")[1])


def test_without_any_lesion_there_is_no_curve(tmp_path):
    _, page = report(tmp_path, [save_case(tmp_path, lesion=False)])
    assert "Lesions as objects" not in page.text and not (tmp_path / "froc.png").exists()


def test_scores_of_other_cases_are_refused(tmp_path):
    cases = [save_case(tmp_path), save_case(tmp_path, "b")]
    rows = score_cases(cases, tmp_path / "pred", tmp_path)
    with pytest.raises(InputError, match="The scores name the case b, which is not listed"):
        write_report(tmp_path / "report.html", cases[:1], tmp_path / "pred", rows, [], synthetic=True)


def test_the_page_needs_nothing_from_elsewhere(tmp_path, history):
    html, page = report(tmp_path, [save_case(tmp_path)], history=history)
    assert "http://" not in html and "https://" not in html and "url(" not in html and "@import" not in html
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "embed", "base", "form"}
    assert all(image["src"].startswith("data:image/png;base64,") for image in page.images())
    policies = [attributes["content"] for _, attributes in page.tags if attributes.get("http-equiv")]
    assert policies and policies[0].startswith("default-src 'none'")


@pytest.mark.parametrize(
    ("value", "text"), [(0.1234, "0.123"), (-0.0004, "0.000"), (-1.5, "-1.500"), (None, "\N{EN DASH}")]
)
def test_scores_are_written_without_a_negative_zero(value, text):
    assert number(value, 3) == text


@pytest.mark.parametrize("synthetic", [True, False])
def test_the_page_says_what_it_is(synthetic, tmp_path):
    _, page = report(tmp_path, [save_case(tmp_path)], synthetic=synthetic)
    assert STATEMENT in page.text
    assert (SYNTHETIC in page.text) == synthetic


def test_names_from_outside_are_escaped(tmp_path):
    case = save_case(tmp_path, "a & b <i>") | {"site": NASTY}
    html, page = report(tmp_path, [case], title=NASTY, provenance={NASTY: NASTY})
    assert NASTY not in html and "<i>" not in html
    assert page.text.count(NASTY) >= 5
    assert "a & b <i>" in page.text


@pytest.mark.parametrize("codes", ["RAS", "LPS", "LAI", "PIR"])
def test_display_is_radiological_and_to_scale_whatever_the_stored_orientation(codes, tmp_path):
    _, page = report(tmp_path, [save_case(tmp_path, codes=codes)])
    for image in page.overlays():
        bright = pixels(image).min(axis=-1) > 128
        middle, mm = len(bright) // 2, len(bright) / 200
        near, far = round(15 * mm), round(50 * mm)
        centre, before, after = (
            slice(middle - near, middle + near),
            slice(middle - far, middle - near),
            slice(middle + near, middle + far),
        )
        cube = (20 * mm) ** 2
        assert bright[centre, before].sum() == pytest.approx(cube, rel=0.1)
        assert bright[before, centre].sum() == pytest.approx(cube, rel=0.1)
        assert bright[centre, after].sum() == bright[after, centre].sum() == 0
        assert np.ptp(np.flatnonzero(bright[centre, before].any(axis=0))) == pytest.approx(20 * mm, abs=3)
        assert np.ptp(np.flatnonzero(bright[centre, before].any(axis=1))) == pytest.approx(20 * mm, abs=3)


def test_the_prediction_is_filled_and_the_reference_outlined(tmp_path):
    cases = [save_case(tmp_path, "found"), save_case(tmp_path, "missed", predicted=False)]
    _, page = report(tmp_path, cases)
    for image in page.overlays():
        hue = np.ptp(pixels(image), axis=-1) > 30
        middle, mm = len(hue) // 2, len(hue) / 200
        inside = hue[round(middle - 6 * mm) : round(middle + 6 * mm), round(middle - 6 * mm) : round(middle + 6 * mm)]
        around = hue[middle, round(middle - 25 * mm) : round(middle + 25 * mm)]
        assert inside.all() == ("found" in image["alt"])
        assert around.any()
        if "missed" in image["alt"]:
            assert not inside.any()


def test_curves_show_loss_and_validation(tmp_path, history):
    _, page = report(tmp_path, [save_case(tmp_path)], history=history)
    loss, validation = (image["alt"] for image in page.images()[-2:])
    assert "loss from 3 (epoch 1) to 2 (epoch 2)" in loss and "distance from 1 (epoch 1)" in loss
    assert "mean dice from 0.5 (epoch 2)" in validation


def test_without_validation_there_is_only_the_loss(tmp_path, history):
    epochs = json.loads(history.read_text())[:1]
    history.write_text(json.dumps(epochs))
    _, page = report(tmp_path, [save_case(tmp_path)], history=history)
    assert [image["alt"].split(" by ")[0] for image in page.images()[-1:]] == ["Training loss and its terms"]


@pytest.mark.parametrize("text", ["{", '{"epoch": 1}', '[{"epoch": 1}]'])
def test_a_file_that_is_no_history_is_refused(text, tmp_path, history):
    history.write_text(text)
    with pytest.raises(InputError, match=r"history\.json is not the history of a training"):
        write_report(tmp_path / "report.html", [], tmp_path, [], [], synthetic=True, history=history)
    with pytest.raises(InputError, match=r"absent\.json does not exist"):
        write_report(tmp_path / "report.html", [], tmp_path, [], [], synthetic=True, history=tmp_path / "absent.json")
    assert not (tmp_path / "report.html").exists()


def test_undefined_scores_are_dashes_also_from_the_table_on_disk(tmp_path):
    case = save_case(tmp_path, lesion=False)
    report(tmp_path, [case])
    rows, components = read_scores(tmp_path / "metrics.csv"), read_components(tmp_path / "lesions.csv")
    write_report(tmp_path / "again.html", [case], tmp_path / "pred", rows, components, synthetic=True)
    html = (tmp_path / "again.html").read_text(encoding="utf-8")
    assert html == (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "1.000" in html and "<td>\N{EN DASH}</td>" in html and "<td>nan</td>" not in html


def test_tables_have_headers_for_columns_and_rows(tmp_path):
    _, page = report(tmp_path, [save_case(tmp_path)], provenance={"MONAI": "1.6.1"})
    scopes = [attributes.get("scope") for tag, attributes in page.tags if tag == "th"]
    assert set(scopes) == {"col", "row"}
    assert "MONAI" in page.text and "1.6.1" in page.text


def test_every_tolerance_of_the_surface_dice_has_a_column_the_smallest_first(tmp_path):
    _, page = report(tmp_path, [save_case(tmp_path)])
    assert [words for words in re.findall(r"Surface Dice (\d mm)", page.text)] == ["1 mm", "2 mm", "5 mm"]


def test_detection_stands_alone_where_no_probabilities_and_no_uncertainties_are(tmp_path):
    html, page = report(tmp_path, [save_case(tmp_path), save_case(tmp_path, "missed", predicted=False)])
    assert "False parts per scan" in page.text
    assert not [words for words in ("Calibration error", "AURC", "Lesion AUC") if words in page.text]
    # One of two found and no scan without it, of both structures, at the site and in all.
    row = "<td>1 of 2</td><td>0 of 0</td><td>\N{EN DASH}</td>\n<td>0.50</td><td>0.00</td>"
    assert html.count(row) == 4


def test_calibration_and_ranking_are_shown_where_inference_left_them(tmp_path):
    case = save_case(tmp_path)
    probabilities = np.full((*SHAPE, 2), 0.5, np.float32)
    image = nib.Nifti1Image(probabilities, np.diag([*SPACING_MM, 1.0]))
    orientation = nib.orientations.axcodes2ornt("LAS")
    turn = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), orientation)
    nib.save(image.as_reoriented(turn), tmp_path / "pred" / "a_probability.nii.gz")
    (tmp_path / "pred" / "scans.csv").write_text("case,uncertainty_pancreas,uncertainty_lesion\na,0.2,0.3\n")
    _, page = report(tmp_path, [case])
    assert "Calibration error" in page.text and "Best AURC" in page.text and "Lesion AUC" in page.text


def scan_report(folder: Path, lesions: bool = True, warning: str | None = None) -> Page:
    image = nib.Nifti1Image(densities(), AFFINE)
    label = label_map() if lesions else np.minimum(label_map(), 1)
    measured = measure_scan(label, densities(), AFFINE)
    scan, mask = (MetaTensor(np.asarray(voxels)[None], affine=AFFINE) for voxels in (image.dataobj, label))
    write_scan_report(folder / "a_report.html", NASTY, scan, mask, measured, warning=warning, synthetic=True)
    return Page((folder / "a_report.html").read_text(encoding="utf-8"))


def test_page_of_a_scan_shows_three_planes_through_each_lesion_with_its_figures(tmp_path):
    page = scan_report(tmp_path)
    assert STATEMENT in page.text and SYNTHETIC in page.text
    assert [image["alt"].split(" through ")[1] for image in page.overlays()] == [
        *["lesion 1, prediction filled."] * 3,
        *["lesion 2, prediction filled."] * 3,
    ]
    cells = " ".join(page.text.split())
    assert "Lesion1head2.217.514.019.74000" in cells.replace(" ", "")
    assert "reference" not in cells
    assert NASTY not in (tmp_path / "a_report.html").read_text()


def test_page_of_a_scan_without_a_lesion_shows_the_organ_and_a_doubtful_one_its_warning(tmp_path):
    page = scan_report(tmp_path, lesions=False, warning="The result for a is doubtful (0.83): x; check it before use.")
    assert "The result for a is doubtful" in page.text and "none found" in page.text
    assert len(page.overlays()) == 3 and "through pancreas" in page.overlays()[0]["alt"]
