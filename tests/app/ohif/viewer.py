"""What a radiologist does in OHIF, as steps on a page."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Locator, Page, Response

SEGMENTS = "panelSegmentationWithTools-btn"


class Viewer:
    """OHIF in a browser.

    Args:
        page: of the browser.
        server: URL of the annotation server.
        screenshots: folder for :meth:`show`.
    """

    def __init__(self, page: Page, server: str, screenshots: Path) -> None:
        self.page, self.server, self.screenshots = page, server, screenshots
        self.left_the_server: list[str] = []
        page.on("response", self._note)
        page.on("dialog", lambda dialog: dialog.accept())

    def _note(self, answer: Response) -> None:
        if not answer.url.startswith((self.server, "blob:", "data:")):
            self.left_the_server.append(answer.url)

    def show(self, name: str) -> None:
        self.page.screenshot(path=self.screenshots / f"{name}.png")

    def by_name(self, name: str) -> Locator:
        """The element with OHIF's own name for tests."""
        return self.page.locator(f"[data-cy='{name}']").first

    def open_list(self) -> None:
        self.page.goto(f"{self.server}/ohif/")
        self.page.get_by_text("SYNTHETIC").first.wait_for()
        self.by_name("confirm-and-hide-button").click()

    def patients(self) -> list[str]:
        rows = self.page.get_by_text("SYNTHETIC, ").all_inner_texts()
        return sorted({row.removeprefix("SYNTHETIC, ") for row in rows})  # each has a tooltip

    def search(self, patient: str) -> None:
        with self.page.expect_response(lambda answer: "/qido/studies?" in answer.url and patient in answer.url):
            self.page.locator("input").first.fill(f"*{patient}*")

    def open_study(self, patient: str) -> None:
        self.page.get_by_text(f"SYNTHETIC-{patient}").first.click()
        self.page.get_by_role("link", name="MONAI Label").first.click()

    def wait_for_scan(self) -> None:
        self.page.locator("#monailabelServerURL").wait_for()
        self.page.wait_for_function("window.cornerstone?.cache.getVolumes().some(volume => volume.loadStatus?.loaded)")

    def server_field(self) -> str:
        return self.page.input_value("#monailabelServerURL")

    def connect(self) -> str:
        """Connect, and return the line under the server field."""
        self.page.click(".settingsTable button.actionButton")
        self.page.locator(".modelSelector select.selectBox").first.wait_for()
        self.page.wait_for_function("window.services.segmentationService.getLabelmapVolume('1') !== undefined")
        # The panel colours the segments a second after that.
        self.page.wait_for_timeout(1500)
        return self.page.inner_text("p.subtitle")

    def run(self) -> Response:
        with self.page.expect_response(lambda answer: "/infer/" in answer.url) as found:
            self.page.click('button[title="Run Segmentation"]')
        self.page.get_by_text("Running Segmentation - Successful").first.wait_for()
        return found.value

    def figures(self) -> dict[str, str]:
        """Name -> figures of the organ and of each lesion, beside the result."""
        self.page.locator(".figures tr").first.wait_for()
        rows = [row.locator("td").all_inner_texts() for row in self.page.locator(".figures tr").all()]
        return {name: figures for name, figures in rows}

    def open_points(self, label: str) -> None:
        """Open the tab of clicks and choose what is clicked on."""
        self.page.locator("label.tab-label", has_text="Point Prompts").click()
        self.page.locator("tr.clickable-row", has_text=label).click()

    def click_on_scan(self, across: float, down: float) -> None:
        """Click on the current axial slice, at shares of its width and height, and wait until it counts as a point.

        The viewer waits whether a click becomes a double one, by a timer that a busy machine lets wait longer still.
        """
        box = self.by_name("viewport-pane").bounding_box()
        self.page.mouse.click(box["x"] + across * box["width"], box["y"] + down * box["height"])
        self.page.wait_for_function(
            """() => window.cornerstoneTools.annotation.state.getAllAnnotations().some(
                 ({ metadata }) => metadata.toolName === 'ProbeMONAILabel'
               )""",
            polling=200,
        )

    def run_points(self) -> Response:
        with self.page.expect_response(lambda answer: "/infer/clicks" in answer.url) as found:
            self.page.click('button[title="Run PointPrompts"]')
        self.page.get_by_text("Point Prompts - Successful").first.wait_for()
        return found.value

    def segment_at(self, voxel: list[int]) -> str | None:
        """Name of the segment that is shown in a voxel [i, j, k] of the scan."""
        return self.page.evaluate(
            """([i, j, k]) => {
              const { segmentationService } = window.services;
              const { segments } = segmentationService.getSegmentation('1');
              const value = segmentationService.getLabelmapVolume('1').voxelManager.getAtIJK(i, j, k);
              return Object.values(segments).find(({ segmentIndex }) => segmentIndex === value)?.label ?? null;
            }""",
            voxel,
        )

    def segments(self) -> dict[str, str]:
        """Name -> colour of the segments that are listed."""
        self.by_name(SEGMENTS).click()
        self.by_name("data-row").wait_for()
        dots = "row => getComputedStyle(row.querySelector('span.rounded-full')).backgroundColor"
        rows = self.page.locator("[data-cy='data-row']").all()
        return {row.inner_text().split("\n")[-1]: row.evaluate(dots) for row in rows}

    def drawn(self) -> dict[str, int]:
        """Name -> number of voxels of the segment in the volume that is on the screen."""
        return self.page.evaluate(
            """() => {
              const { segmentationService } = window.services;
              const { segments } = segmentationService.getSegmentation('1');
              const voxels = segmentationService.getLabelmapVolume('1').voxelManager.getCompleteScalarDataArray();
              return Object.fromEntries(Object.values(segments).map(
                ({ label, segmentIndex }) => [label, voxels.filter(value => value === segmentIndex).length]
              ));
            }"""
        )

    def paint(self, segment: str) -> None:
        """Paint a spot on the current axial slice, behind the body."""
        self.page.locator("[data-cy='data-row']", has_text=segment).click()
        self.by_name("Brush").click()
        box = self.by_name("viewport-pane").bounding_box()
        x, y = box["x"] + 0.35 * box["width"], box["y"] + 0.58 * box["height"]
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x + 8, y, steps=3)
        self.page.mouse.up()

    def undo(self) -> dict[str, int]:
        """Take the last step back; what is drawn then."""
        self.page.get_by_role("button", name="Undo").click()
        return self.drawn()

    def redo(self) -> dict[str, int]:
        """Take the step again, by the keyboard; what is drawn then."""
        self.by_name("viewport-pane").hover()
        self.page.keyboard.press("Control+y")
        return self.drawn()

    def export(self, name: str) -> Response:
        menu = self.page.locator("button[role=combobox]", has_text="Segmentations")
        menu.locator("xpath=preceding::button[@aria-haspopup='menu'][1]").click()
        self.page.get_by_role("menuitem", name="Export & Download").hover()
        self.page.get_by_text("Export DICOM SEG").click()
        self.by_name("Save-btn").locator("xpath=preceding::input[1]").fill(name)
        with self.page.expect_response(lambda answer: answer.request.method == "POST") as stored:
            self.by_name("Save-btn").click()
        self.page.get_by_text("Segmentation saved").first.wait_for()
        return stored.value

    def open_tab(self, name: str) -> None:
        self.page.locator("label.tab-label", has_text=name).click()

    def open_address_of(self, study: str) -> None:
        """Open a study as a link to it does."""
        self.page.goto(f"{self.server}/ohif/monai-label?StudyInstanceUIDs={study}")

    def review(self) -> str:
        """What the panel says of the final label."""
        return self.page.inner_text(".reviewTab [role=status]")

    def show_label(self) -> None:
        with self.page.expect_response(lambda answer: "output=json" in answer.url):
            self.page.get_by_role("button", name="Show label").click()

    def decide(self, decision: str, sentence: str = "") -> Response:
        """Click one of the decisions of a reviewer; the answer to it, once the panel has told the outcome."""
        self.page.get_by_label("What to correct").fill(sentence)
        with self.page.expect_response(lambda answer: answer.request.method == "PUT") as decided:
            self.page.get_by_role("button", name=decision).click()
        if decided.value.ok:
            self.page.wait_for_function(
                "!document.querySelector('.reviewTab [role=status]').innerText.includes('Waits')"
            )
        return decided.value

    def next_to_review(self) -> str:
        """Go to the next label that waits, and return the UID of its study."""
        with self.page.expect_navigation():
            self.page.get_by_role("button", name="Next to review").click()
        return self.page.url.rpartition("=")[2]

    def next_sample(self, picture: str = "next sample") -> str:
        """Ask for the next sample, go there, and return the UID of its study."""
        self.page.get_by_role("button", name="Next Sample").click()
        study = self.page.locator(".nextSampleForm td", has_text="Study Instance UID").locator("xpath=following::td[1]")
        uid = study.inner_text()
        self.show(picture)
        with self.page.expect_navigation():
            self.page.locator(".nextSampleForm button").click()
        return uid

    def train(self, epochs: int) -> Response:
        self.page.get_by_text("Options / Configurations").first.click()
        self.page.locator("select[name=selectSection]").select_option("train")
        self.page.locator("input[id$=max_epochs]").fill(str(epochs))
        self.show("options")
        self.by_name("Confirm-btn").click()
        with self.page.expect_response(lambda answer: answer.url.endswith("/train/")) as started:
            self.page.get_by_role("button", name="Update Model").click()
        return started.value
