"""What pydantic refuses, said with the key's path, what is wrong there, and the remedy."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, NamedTuple, TypeGuard, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from legor1.core.errors import UserError, nearest

TAG = "method"  # which says what kind of experiment it is
FOLLOWS = "default_factory_not_called"  # since a key that the default depends on is wrong
BLOCK = ("model_type", "model_attributes_type")


class Place(NamedTuple):
    """Where an error is: the keys to it, the types that may be there, and what the key means."""

    keys: tuple[int | str, ...]
    types: Sequence[object]
    meaning: str | None = None

    @property
    def model(self) -> type[BaseModel] | None:
        """The block that may be there; None where several may be, or none."""
        models = [kind for kind in self.types if _is_model(kind)]
        return models[0] if len(models) == 1 else None


def validated(of: Any, value: object, wrong: str) -> Any:
    """Return ``value`` as one ``of`` some type; a UserError lists what is ``wrong`` with it."""
    try:
        return TypeAdapter(of).validate_python(value)
    except ValidationError as error:
        lines = (_line(detail, of) for detail in error.errors() if detail["type"] != FOLLOWS)
        raise UserError(f"{wrong}:\n  " + "\n  ".join(dict.fromkeys(lines))) from error


def _line(detail: Mapping[str, Any], of: object) -> str:
    kind, value, place = detail["type"], detail["input"], _find(of, detail["loc"])
    path, context = dotted(place.keys), detail.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown(path, place)
    if kind == "missing":
        return f"{path} is missing. Remedy: add it."
    if kind == "union_tag_not_found":
        return f"{dotted((*place.keys, TAG))} is missing. Remedy: add it."
    if kind == "union_tag_invalid":
        return _no_such(dotted((*place.keys, TAG)), context["tag"], context["expected_tags"])
    if kind == "literal_error":
        return _no_such(path, value, context["expected"])
    wrong = detail["msg"].removeprefix("Value error, ")
    wrong = "Input should be keys and values" if kind in BLOCK else wrong
    meaning = f" ({place.meaning})" if place.meaning else ""
    return f"{path}: {wrong} (given: {value!r}). Remedy: write another value{meaning}."


def _find(of: object, location: Iterable[int | str]) -> Place:
    """Return the place of pydantic's ``location``, in which members of unions have names too."""
    place = Place((), _members(of))
    for part in location:
        tagged = [kind for kind in place.types if part in _tags(kind)]
        block = place.model
        values = next((kind for kind in place.types if get_origin(kind) in (list, dict)), None)
        keys = (*place.keys, part)
        if part == "[key]":
            return Place(place.keys[:-1], [str])
        if block is not None:
            field = block.model_fields.get(str(part))
            if field is None:
                return Place(keys, [block])
            place = Place(keys, _members(field.annotation), field.description)
        elif tagged:
            place = place._replace(types=tagged)
        elif values and (isinstance(part, int) or str not in place.types):
            place = Place(keys, _members(get_args(values)[-1]), place.meaning)
    return place


def _members(of: object) -> list[object]:
    if get_origin(of) is Annotated:
        return _members(get_args(of)[0])
    if get_origin(of) in (Union, UnionType):
        return [member for each in get_args(of) for member in _members(each)]
    return [of]


def _is_model(kind: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _tags(kind: object) -> tuple[object, ...]:
    tag = kind.model_fields.get(TAG) if _is_model(kind) else None
    return get_args(tag.annotation) if tag else ()


def _unknown(path: str, place: Place) -> str:
    known = list(place.model.model_fields) if place.model else []
    return (
        f"unknown key {path}. Did you mean {nearest(str(place.keys[-1]), known)}? "
        f"Remedy: correct or remove it; known here: {', '.join(known)}."
    )


def _no_such(path: str, value: object, expected: str) -> str:
    choices = re.findall("'(.*?)'", expected)
    near = difflib.get_close_matches(str(value), choices, 1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return f"{path}: there is no {value!r}.{hint} Remedy: choose {alternatives(choices)}."


def alternatives(choices: Iterable[object]) -> str:
    """Return ``a or b or c``."""
    return " or ".join(map(str, choices))


def dotted(keys: Iterable[int | str]) -> str:
    """Return the path of a value in the config."""
    return ".".join(map(str, keys))
