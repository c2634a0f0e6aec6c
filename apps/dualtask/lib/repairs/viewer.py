"""OHIF corrects and saves, connects to its own server, says what happens, and stays inside the hospital.

The OHIF that comes with MONAI Label 0.8.5 has no tools to correct a proposal nor a way to save it: its MONAI Label mode
leaves out the panel for both, and the panel's export dies in silence because nobody tells it where to. What would be
exported lies upside down: one part of OHIF sorts the slices upwards, the other downwards. Its server field says port
8000 whatever the port is. It says "Failed" where the server says why, "Successful" where the server doubts the result,
shows the progress in white on white, offers to stop a training that has ended, and opens a study "undefined" when all
are labelled. It shows a mask without its volume or diameters, knows no review, and what was drawn cannot be undone. It
takes the answer to clicks for the labels that were clicked alone, in the order of the clicks, and gives "background" a
segment. It asks Google for fonts. And files in folders of its own, icons among them, are answered with its start page.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

from fastapi.responses import FileResponse, Response
from monailabel.endpoints import ohif
from monailabel.utils.others.generic import get_mime_type

_FOLDER = Path(ohif.__file__).parent / "static" / "ohif"

_PANEL = Path(__file__).with_name("panel.js")
"""What is added to MONAI Label's panel as a whole."""

_STAY_HERE = {"Content-Security-Policy": "default-src 'self' 'unsafe-inline' 'unsafe-eval' blob: data:"}
"""OHIF evaluates code and runs WebAssembly; nothing may come from or go to another server."""

_CONNECT = """
document.cookie = 'MONAILABEL_SERVER_URL=' + escape(window.location.origin + '/');
"""


def apply() -> None:
    """Exchange the function that answers the viewer's files."""
    ohif.get_ohif = get_ohif


def get_ohif(path: str) -> Response:
    """A file of the viewer, or its start page for the addresses of its own."""
    file = (_FOLDER / path).resolve()
    if not (file.is_relative_to(_FOLDER.resolve()) and file.is_file()):
        file = _FOLDER / "index.html"
    for stem, change in _CHANGES.items():
        if file.name.startswith(stem) and file.suffix == ".js":
            return Response(_changed(file, change), media_type="text/javascript")
    return FileResponse(file, media_type=get_mime_type(str(file)), headers=_STAY_HERE)


@functools.cache
def _changed(file: Path, change: Callable[[str], str]) -> str:
    return change(file.read_text())


def _connecting(script: str) -> str:
    """The viewer's settings, and the server that they came from as the one to connect to."""
    return script + _CONNECT


def _informing(script: str) -> str:
    """MONAI Label's panel, with the model's version, the result's figures, what went wrong or may be wrong, how far the
    training is, the review of final labels, and steps back and forth."""
    name = "this.state.info.data.name"
    script = _replaced(script, f"{name})", f'{name}, " ", Object.values(this.state.info.data.models)[0].version)')
    script = _replaced(script, "'Failed to Run Segmentation'", "'Failed to Run Segmentation' + _sentence(response)")
    script = _replaced(script, _SEGMENTED, _SEGMENTED_DOUBTFULLY)
    script = _replaced(script, _USAGE, _USAGE_OR_DOUBT)
    script = _replaced(script, _NO_SAMPLE, _NO_SAMPLE_LEFT)
    labels = "new Set(all_labels)]"
    script = _replaced(script, f"{labels}.sort()", f"{labels}.filter(label => label !== 'background').sort()")
    script = _replaced(script, _CLICKED, f"if (currentLabel) {{ {_CLICKED} }}")
    script = _replaced(script, _POINTS_OF_LABELS, _POINTS_OF_LABELS + _ALL_LABELS_ANSWERED)
    script = _replaced(script, _MERGED, _MERGED.replace("true", "info.data.models[model].type !== 'deepedit'"))
    clicks = "'Failed to Run Inference for Point Prompts'"
    script = _replaced(script, clicks, f"{clicks} + _sentence(response)")
    started = "'Failed to ' + (training ? 'STOP' : 'RUN') + ' training'"
    script = _replaced(script, started, f"{started} + _sentence(response)")
    script = _replaced(script, _TRAINING, _TRAINING_HERE)
    script = _replaced(script, _MOUNTED, _CONNECTED_AGAIN + _MOUNTED)
    script = _replaced(script, "backgroundColor: 'white'", "color: 'black', backgroundColor: 'white'", times=3)
    script = _replaced(script, _NEXT, _NEXT_REVIEWED)
    script = _replaced(script, _LAST_TAB, _LAST_TAB + _REVIEW_TAB)
    script = _replaced(script, _OPTIONS, _OPTIONS_AND_STEPS)
    script = _replaced(script, _CREATED, _CREATED + _FIND_VOLUME)
    script = _replaced(script, _MODULE_OF_PANEL, _PANEL.read_text() + _MODULE_OF_PANEL)
    return script + _SENTENCE


_SENTENCE = """
function _sentence(error) {
  const data = error.response?.data;
  const answer = data instanceof ArrayBuffer ? JSON.parse(new TextDecoder().decode(data)) : data;
  return answer?.detail ? ': ' + answer.detail : '';
}
"""

_SEGMENTED = """        message: 'Running Segmentation - Successful',
        type: 'success',
        duration: 4000
      });
      this.props.updateView(response, model, label_names);
    };
    this.modelSelector = /*#__PURE__*/react.createRef();
    this.state = {
      currentModel: null
    };"""

_SEGMENTED_DOUBTFULLY = """        message: 'Running Segmentation - Successful',
        type: 'success',
        duration: 4000
      });
      const doubt = decodeURIComponent(response.headers['x-doubt'] || '');
      if (doubt) {
        this.notification.show({ title: 'MONAI Label - ' + model, message: doubt, type: 'warning', duration: 15000 });
      }
      this.setState({ doubt, facts: null });
      await this.props.updateView(response, model, label_names);
      this.setState({ facts: await factsOf(this.props.client(), model, displaySet.SeriesInstanceUID, params) });
    };
    this.modelSelector = /*#__PURE__*/react.createRef();
    this.state = {
      currentModel: null,
      doubt: '',
      facts: null
    };"""
"""The figures in the panel until the next run, beside them the sentence of ``lib.repairs.doubtful_results``, which is
over the scan for some seconds as well."""

_USAGE = '"Experience fully automated segmentation for "'

_USAGE_OR_DOUBT = f"""this.state.doubt ? /*#__PURE__*/react.createElement("b", {{
          role: 'alert'
        }}, this.state.doubt, /*#__PURE__*/react.createElement("br", null)) : null,
        /*#__PURE__*/react.createElement(Figures, {{ facts: this.state.facts }}), {_USAGE}"""

_NEXT = """      className: "nextSampleForm"
    }, """

_NEXT_REVIEWED = f"{_NEXT}/*#__PURE__*/react.createElement(ReviewLine, {{ review: this.props.info.review }}), "

_MODULE_OF_PANEL = ";// CONCATENATED MODULE: ../../../../extensions/monai-label/src/components/MonaiLabelPanel.tsx"

_LAST_TAB = """/*#__PURE__*/react.createElement(ClassPrompts, {
      ref: this.actions['classprompts'],
      tabIndex: 4,
      info: this.state.info,
      client: this.client,
      updateView: this.updateView,
      onSelectActionTab: this.onSelectActionTab,
      onOptionsConfig: this.onOptionsConfig,
      getActiveViewportInfo: this.getActiveViewportInfo,
      servicesManager: this.props.servicesManager,
      commandsManager: this.props.commandsManager
    })"""

_REVIEW_TAB = """, /*#__PURE__*/react.createElement(Review, {
      tabIndex: 5,
      info: this.state.info,
      client: this.client,
      updateView: this.updateView,
      getActiveViewportInfo: this.getActiveViewportInfo
    })"""

_OPTIONS = '"Options / Configurations")'

_OPTIONS_AND_STEPS = f"{_OPTIONS}, /*#__PURE__*/react.createElement(StepButtons)"

_CREATED = "this.notification = uiNotificationService;"

_FIND_VOLUME = """
    steps.volume = () => props.servicesManager.services.segmentationService.getLabelmapVolume(SEGMENTATION);
"""

_NO_SAMPLE = """      if (response.status !== 200) {
        this.notification.show({
          title: 'MONAI Label',
          message: 'Failed to Fetch Next Sample',"""

_NO_SAMPLE_LEFT = """      if (response.status !== 200 || !response.data.id) {
        this.notification.show({
          title: 'MONAI Label',
          message: response.status === 200
            ? 'Every study has a label or is being labelled by somebody'
            : 'Failed to Fetch Next Sample' + _sentence(response),"""

_CLICKED = "clickPoints[currentLabel] = manager.saveAnnotations(null, 'ProbeMONAILabel');"
"""Without a label chosen the points would be those of the label "null"."""

_POINTS_OF_LABELS = """        for (const label in points) {
          params[label] = points[label];
        }
"""

_ALL_LABELS_ANSWERED = """        label_names = info.modelLabelNames[model].filter(label => label !== 'background');
"""
"""The answer holds all labels, whichever were clicked."""

_MERGED = "this.props.updateView(response, model, label_names, true, label_class_unknown, sidx);"
"""Merged into what is shown only voxels of the labels that were clicked would change."""

_TRAINING = "const ts = this.props.info.data.train_stats ? Object.values(this.props.info.data.train_stats)[0] : null;"

_TRAINING_HERE = """
    const last = Object.values(this.props.info.data.train_stats || {})[0]?.training || {};
    const dice = Object.values(last.dice || {});
    const ts = {
      ...last,
      total_epochs: last.max_epochs,
      total_time: last.state !== 'training',
      best_metric: dice.reduce((sum, value) => sum + value, 0) / (dice.length || 1)
    };
"""
"""How far the training is in the words of the panel; its accuracy is the mean Dice of the structures."""

_MOUNTED = """  async componentDidMount() {
    const training = await this.props.client().is_train_running();"""

_CONNECTED_AGAIN = """  componentDidUpdate(before) {
    if (before.info !== this.props.info) {
      this.componentDidMount();
    }
  }
"""


def _correcting(script: str) -> str:
    """MONAI Label's mode, with the panel and the brushes of OHIF's own segmentation mode.

    The panel goes to the left: panels on one side take turns, and MONAI Label's forgets everything meanwhile.
    """
    (mode,) = _FOLDER.glob("8008.bundle.*.js")
    begin, end = (f";// CONCATENATED MODULE: ../../../modes/segmentation/src/{name}.ts" for name in _BRUSHES)
    brushes = mode.read_text().split(begin)[1].split(end)[0]
    script = _replaced(script, "const monailabel = {", f"{brushes}\nconst monailabel = {{")
    script = _replaced(script, "// toolbarService.addButtons(segm", "toolbarService.addButtons(segm")
    return _replaced(script, "[ohif.leftPanel]", "[ohif.leftPanel, cornerstone.panelTool]")


_BRUSHES = ("segmentationButtons", "initToolGroups")
"""The module that is needed, and the one after it."""


_STORE = "await dataSource.store.dicom(naturalizedReport);"

_STORE_HERE = f"""
      dataSource ??= extensionManager.getActiveDataSource()[0];
      const tell = (type, message) => servicesManager.services.uiNotificationService.show({{
        title: 'DICOM SEG', message, type, duration: 6000
      }});
      try {{
        {_STORE}
        tell('success', 'Segmentation saved');
      }} catch (error) {{
        tell('error', 'Segmentation not saved: ' + error.message);
        throw error;
      }}
"""


_SLICES = "const segImages = imageIds.map(imageId => esm.cache.getImage(imageId));"

_SLICES_DOWNWARDS = f"""
      {_SLICES}
      const height = image => {{
        const {{ rowCosines: r, columnCosines: c, imagePositionPatient: p }} =
          esm.metaData.get('imagePlaneModule', image.referencedImageId);
        const normal = [r[1] * c[2] - r[2] * c[1], r[2] * c[0] - r[0] * c[2], r[0] * c[1] - r[1] * c[0]];
        return normal[0] * p[0] + normal[1] * p[1] + normal[2] * p[2];
      }};
      segImages.sort((a, b) => height(b) - height(a));
"""
"""In the order in which dcmjs will sort the slices of the scan."""


def _saving(script: str) -> str:
    """The export of segmentations, right way up, to the scan's own server, with a word about the outcome."""
    script = _replaced(script, _SLICES, _SLICES_DOWNWARDS)
    return _replaced(script, _STORE, _STORE_HERE)


def _replaced(script: str, old: str, new: str, times: int = 1) -> str:
    if script.count(old) != times:
        raise ValueError(f"This is not the OHIF of MONAI Label 0.8.5: {old!r} is in it {script.count(old)} times.")
    return script.replace(old, new)


_CHANGES: dict[str, Callable[[str], str]] = {
    "app-config": _connecting,
    "2068.bundle.": _correcting,
    "3933.bundle.": _informing,
    "7197.bundle.": _saving,
}
"""Beginning of a script's name -> what is done to it."""
