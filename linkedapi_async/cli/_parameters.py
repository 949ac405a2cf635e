"""Parameters of the library as arguments and options of commands."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import attrs
import click
from click.shell_completion import CompletionItem

from linkedapi_async._actions.parameters import Parameter, parameters_of
from linkedapi_async._actions.validators import (
    Boolean,
    DateTime,
    Enum,
    Integer,
    ListOf,
    Object,
    StringOrObject,
    Validator,
)
from linkedapi_async._utils.json import decode_json
from linkedapi_async._utils.spelling import nearest
from linkedapi_async._utils.text import short_repr
from linkedapi_async.cli._exit_codes import CommandError
from linkedapi_async.cli._messages import message_of
from linkedapi_async.errors import ParameterError


_LONGEST: Final = 40
"""The longest list of words that is shown in place of a value."""


_CODE: Final = re.compile(r"``(.*?)``")
_PYTHON: Final = re.compile(r" Takes [^`]*``[^`]*``\.")
_WHETHER: Final = re.compile(r"^Whether to (\w)")
_DATETIME: Final = re.compile(r"(a date, )?a datetime with a time zone, or ")
_REFERENCE: Final = re.compile(r"\*(\w+)\*")


def as_help(text: str, shown: Mapping[str, str]) -> str:
    """Return a description of a docstring in the words of a command line."""
    text = _CODE.sub(r"\1", _DATETIME.sub("", _PYTHON.sub("", text)))
    text = _REFERENCE.sub(lambda name: shown.get(name[1], name[1]), text)
    return _WHETHER.sub(lambda found: found[1].upper(), text)


def option_name(name: str) -> str:
    """Return the option for a Python name."""
    return "--" + name.replace("_", "-")


def _letters(name: str) -> str:
    """Return *name* without what spellings change: JSON's, Python's or an option's."""
    return re.sub("[-_]", "", name).lower()


class Words(click.ParamType):  # type: ignore[type-arg]  # not in click 8.1
    """Any text; shells complete the known words."""

    name = "text"

    def __init__(self, *words: str) -> None:
        self._words = words

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the known words that begin so."""
        del ctx, param
        return [CompletionItem(w) for w in self._words if w.startswith(incomplete)]


def _item(validator: Validator) -> Validator:
    return validator.item if isinstance(validator, ListOf) else validator


def _metavar(name: str, validator: Validator) -> str:
    item = _item(validator)
    if isinstance(validator, Object):
        return "NAME=VALUE"
    if isinstance(item, Object):
        return "JSON"
    words = "|".join(item.known) if isinstance(item, Enum) else ""
    if words:
        return f"[{words}]" if len(words) <= _LONGEST else "WORD"
    if isinstance(item, Integer):
        return "NUMBER"
    if isinstance(item, DateTime):
        return "TIME"
    return "URL" if name.endswith("_url") else "TEXT"


@attrs.frozen(kw_only=True)
class Input:
    """A parameter of an operation, as an argument or an option of its command."""

    name: str
    """Unique in the command."""
    validator: Validator
    about: str = ""
    required: bool = False
    positional: bool = False

    @property
    def shown(self) -> str:
        """How the user knows it."""
        return self.name.upper() if self.positional else option_name(self.name)

    def parameter(self) -> click.Parameter:
        """Return the argument or the option."""
        item = _item(self.validator)
        words: tuple[str, ...] = ()
        if isinstance(item, Enum):
            words = item.known
        elif isinstance(self.validator, Object):
            words = tuple(f"{each}=" for each in _field_names(self.validator))
        if self.positional:
            return click.Argument(
                [self.name], required=self.required, type=Words(*words)
            )
        shown = self.shown
        if isinstance(self.validator, Boolean):
            both = f"{shown}/--no-{shown.removeprefix('--')}"
            return click.Option([both, self.name], default=None, help=self.help())
        return click.Option(
            [shown, self.name],
            type=click.INT if isinstance(self.validator, Integer) else Words(*words),
            multiple=isinstance(self.validator, ListOf | Object),
            required=self.required,
            metavar=_metavar(self.name, self.validator),
            help=self.help(),
        )

    def help(self) -> str:
        """Return the description of the parameter and of what it accepts."""
        texts = [self.about]
        item = _item(self.validator)
        words = _metavar(self.name, self.validator)
        if isinstance(item, Object):
            names = ", ".join(_field_names(item))
            texts.append(
                f"A JSON object of {names}."
                if item is not self.validator
                else f"Names: {names}. Repeat it for several, or pass a JSON object."
            )
        elif isinstance(item, Enum) and (self.positional or words == "WORD"):
            texts.append(f"One of: {', '.join(item.known)}.")
        if isinstance(self.validator, ListOf):
            texts.append("Repeat it for several.")
        return " ".join(filter(None, texts))

    def read(self, given: Any) -> Any:
        """Return the value of the parameter; None if it was not given.

        Raises:
            CommandError: The text is not such a value.
        """
        if given is None or given == ():
            return None
        if isinstance(self.validator, Object):
            return _value(self.validator, self._object(given), self.shown)
        if isinstance(self.validator, ListOf):
            item = self.validator.item
            found = [_from_text(item, text) for text in given]
            return _value(self.validator, found, self.shown)
        return _from_text(self.validator, given) if self.positional else given

    def _object(self, texts: Sequence[str]) -> dict[str, Any]:
        """Return the JSON object of NAME=VALUE texts; a name of a list may repeat."""
        found: dict[str, Any] = {}
        for text in texts:
            if text.startswith("{"):
                found |= _json_object(text, self.shown)
                continue
            name, sign, value = text.partition("=")
            if not sign:
                message = f"{self.shown} must be NAME=VALUE or a JSON object, got "
                raise CommandError(message + short_repr(text))
            row = _field(self.validator, name, self.shown)
            item = _item(row.validator)
            read = _from_text(item, value)
            if item is row.validator:
                found[row.name] = read
            else:
                found.setdefault(row.name, []).append(read)
        return found


def _rows(validator: Any) -> tuple[Parameter, ...]:
    nested = validator.nested if isinstance(validator, StringOrObject) else validator
    return parameters_of(nested.cls)


def _field_names(validator: Object) -> list[str]:
    return [row.name.replace("_", "-") for row in _rows(validator)]


def _field(validator: Any, name: str, shown: str) -> Parameter:
    """Return the field called *name* in any spelling."""
    known = {_letters(row.name): row for row in _rows(validator)}
    if _letters(name) in known:
        return known[_letters(name)]
    alike = nearest(_letters(name), known)
    names = [row.name.replace("_", "-") for row in known.values()]
    hint = (
        f"did you mean {known[alike].name.replace('_', '-')}?"
        if alike
        else f"known: {', '.join(names)}"
    )
    raise CommandError(f"{shown} has no {short_repr(name)}; {hint}")


def _json_object(text: str, shown: str) -> dict[str, Any]:
    try:
        found = decode_json(text.encode())
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise CommandError(f"{shown} must be a JSON object, got {short_repr(text)}")
    return found


def _from_text(validator: Validator, text: str) -> Any:
    """Return the JSON value of a text; other text stays text."""
    json = isinstance(validator, Boolean | Integer | Object)
    if not json and not (
        isinstance(validator, StringOrObject) and text.startswith("{")
    ):
        return text
    try:
        return decode_json(text.encode())
    except ValueError:
        return text


def _value(validator: Validator, given: Any, shown: str) -> Any:
    """Return a JSON value as the builders of actions take it.

    Raises:
        CommandError: A name in an object is not known, or a value does not fit.
    """
    if isinstance(validator, ListOf) and isinstance(given, list):
        return [
            _value(validator.item, each, f"{shown}[{index}]")
            for index, each in enumerate(given)
        ]
    if isinstance(validator, Object | StringOrObject) and isinstance(given, dict):
        values = {}
        for name, value in given.items():
            row = _field(validator, name, shown)
            values[row.name] = _value(row.validator, value, f"{shown}: {name}")
        names = {
            row.name: f"{shown}: {row.name.replace('_', '-')}"
            for row in _rows(validator)
        }
        nested = (
            validator.nested if isinstance(validator, StringOrObject) else validator
        )
        with as_command_errors(names):
            return nested.cls(**values)
    return given


@contextlib.contextmanager
def as_command_errors(names: Mapping[str, str]) -> Iterator[None]:
    """Raise a wrong parameter of the body under the name that users know.

    Args:
        names: What users know parameters by.

    Raises:
        CommandError: A parameter is wrong.
    """
    try:
        yield
    except ParameterError as error:
        subject = re.sub(r"\w+", lambda w: names.get(w[0], w[0]), error.parameter)
        # Only names that are no words of English, because the reason is a sentence.
        reason = re.sub(r"\b[a-z]+_\w+", lambda w: names.get(w[0], w[0]), error.reason)
        text = f"{subject} {reason.removesuffix(' at the root')}"
        raise CommandError(message_of(ValueError(text))) from error
