"""Options of a task in a request: those that the server itself offers, with values that it can use.

MONAI Label 0.8.5 merges whatever a client sends into the request of the task, where ``image``, ``bundle_path`` or a
``result_extension`` with slashes do what no client may.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal

from monailabel.utils.others.generic import device_map
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, create_model

from dualtask.errors import InputError
from lib.security.names import check_identifier, check_tag

_MOST_TEXT = 64 * 1024
_MOST_NESTING = 8
_STORE_OWNED = ("annotator", "name", "path", "strategy", "ts")
"""Entries of a study's or label's record that the server itself writes and relies on."""


def _checked(check: Any, text: str) -> str:
    check(text)
    return text


def _printable(text: str) -> str:
    if not text.isprintable():
        raise InputError("control characters are not allowed")
    return text


Text = Annotated[str, Field(max_length=256), AfterValidator(_printable)]
Identifier = Annotated[str, AfterValidator(partial(_checked, check_identifier))]
Tag = Annotated[str, AfterValidator(partial(_checked, check_tag))]
# Some viewers send the number in a field of their panel as text.
Number = (
    Annotated[float, Field(allow_inf_nan=False, ge=-1e6, le=1e6)]
    | Annotated[str, Field(pattern=r"^-?[0-9]{1,6}(\.[0-9]{1,6})?$")]
)
Whole = Annotated[int, Field(ge=-1, le=1_000_000)] | Annotated[str, Field(pattern="^[0-9]{1,6}$")]
Level = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", protected_namespaces=())


class _LabelInfo(BaseModel):
    """How a segment is called and shown; unknown entries are passed over by the server."""

    model_config = ConfigDict(strict=True, extra="allow", protected_namespaces=())
    __pydantic_extra__: dict[str, str | int | float | bool | None]

    name: Text = ""
    description: Text | None = None
    model_name: Text | None = None
    color: Annotated[list[Annotated[float, Field(ge=0, le=255)]], Field(min_length=3, max_length=4)] | None = None


LabelInfo = Annotated[list[_LabelInfo], Field(max_length=256)]


class TaskOptions(_Strict):
    """What clients send to every task."""

    client_id: Text | None = None


class InferOptions(TaskOptions):
    """What clients send to an inference, beside what the model offers."""

    result_extension: Literal[".nii.gz", ".nii", ".nrrd"] | None = None
    result_dtype: Literal["uint8", "uint16", "int16", "int32", "float32"] | None = None
    result_compress: bool | None = None
    restore_label_idx: bool | None = None
    save_label: bool | None = None
    label_tag: Tag | None = None
    label_info: LabelInfo | None = None
    logging: Level | None = None


Point = Annotated[list[Annotated[float, Field(ge=-1e6, le=1e6)]], Field(min_length=3, max_length=3)]
Points = Annotated[list[Point], Field(max_length=1000)]


class _CorrectionOptions(InferOptions):
    """What clients send to a correction by hand."""

    # 3D Slicer sends the corners of a box, or none, and whether to forget what came before.
    roi: Annotated[list[Annotated[float, Field(ge=-1e6, le=1e6)]], Field(max_length=6)] | None = None
    reset_state: bool | None = None


class ClickOptions(_CorrectionOptions):
    """What clients send to a correction by clicks."""

    label: Text | None = None
    background: Points | None = None
    foreground: Points | None = None
    pancreas: Points | None = None
    lesion: Points | None = None


class ScribbleOptions(_CorrectionOptions):
    """What clients send to a correction by scribbles, which come as a file."""

    selected_label_name: Text | None = None


class BatchOptions(InferOptions):
    """What clients send to an inference on many studies."""

    multi_gpu: bool | None = None
    gpus: Identifier | None = None
    max_workers: Annotated[int, Field(ge=0, le=64)] | None = None
    max_batch_size: Annotated[int, Field(ge=0)] | None = None


def parse_object(text: str | bytes) -> dict[str, Any]:
    """Parse a JSON object; no text means an empty one.

    Raises:
        InputError: it is something else, holds NaN, or is nested too deep.
    """
    if not text.strip():
        return {}
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InputError("The options are not JSON: send one object, {} for none.") from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InputError("The options are not a JSON object: send one, {} for none.")
    if not _is_plain(value, _MOST_NESTING):
        raise InputError("The options hold numbers, texts or a nesting beyond any use: send plain values.")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _is_plain(value: Any, depth: int) -> bool:
    """Whether a parsed value can be written again as JSON and in UTF-8."""
    if isinstance(value, dict | list):
        members = [*value, *value.values()] if isinstance(value, dict) else value
        return depth > 0 and all(_is_plain(member, depth - 1) for member in members)
    if isinstance(value, str):
        return not any("\ud800" <= character <= "\udfff" for character in value)
    return not isinstance(value, int | float) or (math.isfinite(value) and abs(value) < 2**63)


def check_options(given: Mapping[str, Any], base: type[_Strict], offered: Mapping[str, Any]) -> None:
    """Check the options of a task.

    Args:
        given: option -> value, from a request.
        base: the options that clients send to tasks of this kind.
        offered: option -> default value or list of choices, as ``GET /info/`` announces them.

    Raises:
        InputError: an option is not offered, or its value is not one of the choices or of the default's type.
    """
    fields: dict[str, Any] = {name: (_type_of(name, default), None) for name, default in offered.items()}
    try:
        create_model("Options", __base__=base, **fields).model_validate(dict(given))
    except ValidationError as error:
        raise _one_sentence(error) from error


def _type_of(name: str, default: Any) -> Any:
    """The type of the values that may be given for an option with that default."""
    if name == "device":
        # Viewers name a device that they were told of, scripts write cpu or cuda; MONAI Label maps both.
        return _choice([*device_map(), *device_map().values(), "cpu", "cuda"])
    if isinstance(default, list | tuple):
        return _choice(default)
    for kind, allowed in ((bool, bool), (int, Whole), (float, Number), (str, Identifier | Literal[""])):
        if isinstance(default, kind):
            return allowed
    return Text


def _choice(choices: Sequence[Any]) -> Any:
    """One of the choices, or all of them: a client that changed nothing sends the list back.

    Viewers send a chosen number as text.
    """
    spelt = [str(choice) for choice in choices if isinstance(choice, int | float)]
    one = Literal[*choices, *spelt] if choices else Literal[""]
    return one | list[one]  # type: ignore[valid-type]  # made while the program runs


class _SavedLabel(BaseModel):
    label_info: LabelInfo | None = None


def check_record(given: Mapping[str, Any]) -> None:
    """Check what a client wants to be kept with a study or label; it is stored as it is and names no file.

    Raises:
        InputError: it is too long, overwrites an entry of MONAI Label's own or describes segments wrongly.
    """
    if len(json.dumps(given)) > _MOST_TEXT:
        raise InputError(f"The record is longer than {_MOST_TEXT // 1024} KB: send less.")
    if owned := [name for name in _STORE_OWNED if name in given]:
        raise InputError(f"The record holds {owned[0]!r}, which the server keeps itself: leave it out.")
    try:
        _SavedLabel.model_validate({key: given[key] for key in given if key == "label_info"})
    except ValidationError as error:
        raise _one_sentence(error) from error


def _one_sentence(error: ValidationError) -> InputError:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])[:80]
    if first["type"] == "extra_forbidden":
        return InputError(f"The option {where!r} is not offered: send only those that GET /info/ lists.")
    return InputError(f"The option {where!r} has a value that cannot be used ({first['msg']}): choose another.")
