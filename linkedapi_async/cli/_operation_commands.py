"""One command for each ready-made operation, made from its signature and docstring."""

from __future__ import annotations

import contextlib
import inspect
import re
import shlex
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import attrs
import click
from click.shell_completion import CompletionItem

from linkedapi_async._actions.action import Roots
from linkedapi_async._actions.composite import ChildField, child_fields
from linkedapi_async._actions.documentation import documentation_of
from linkedapi_async._actions.parameters import (
    Parameter,
    ParameterInfo,
    parameters_of,
    validator_for,
)
from linkedapi_async._actions.validators import (
    Boolean,
    Enum,
    Integer,
    ListOf,
    Moment,
    Object,
    String,
    StringOrObject,
    Validator,
)
from linkedapi_async._utils.json import decode_json
from linkedapi_async._utils.spelling import nearest
from linkedapi_async._utils.text import short_repr
from linkedapi_async._wire.dump import dump_workflow
from linkedapi_async.cli._exit_codes import CommandError
from linkedapi_async.cli._messages import message_of
from linkedapi_async.cli._operations import Operation
from linkedapi_async.cli._workflows import send, sending_options
from linkedapi_async.errors import ParameterError, WorkflowError


EXAMPLES: Final = {
    "person_url": "https://www.linkedin.com/in/ada",
    "person_hashed_url": "https://www.linkedin.com/in/ACoAAB1",
    "company_url": "https://www.linkedin.com/company/acme",
    "company_hashed_url": "https://www.linkedin.com/company/1035",
    "post_url": "https://www.linkedin.com/feed/update/urn:li:activity:7461747",
    "comment_url": "https://www.linkedin.com/feed/update/urn:li:activity:7461747"
    "?dashCommentUrn=urn:li:fsd_comment:(1,urn:li:activity:7461747)",
    "job_url": "https://www.linkedin.com/jobs/view/4012345",
    "thread_id": "2-YWRh",
    "skill_name": "Python",
    "subject": "Hello",
    "term": "engineer",
    "text": "Hello!",
    "limit": "5",
}
"""The values in examples, by the parameter's name."""

_SHOWN: Final = ("term", "limit")
"""What examples show although it is optional."""

_DEFAULT: Final = "default"
"""The number of a part's items when the option has no number."""

_LONGEST: Final = 40
"""The longest list of words that is shown in place of a value."""

_CODE: Final = re.compile(r"``(.*?)``")
_PYTHON: Final = re.compile(r" Takes [^`]*``[^`]*``\.")
_WHETHER: Final = re.compile(r"^Whether to (\w)")
_DATETIME: Final = re.compile(r"(a date, )?a datetime with a time zone, or ")
_REFERENCE: Final = re.compile(r"\*(\w+)\*")


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _letters(name: str) -> str:
    """Return *name* without what spellings change: JSON's, Python's or an option's."""
    return re.sub("[-_]", "", name).lower()


class _Text(click.ParamType):  # type: ignore[type-arg]  # not in click 8.1
    """Any text; shells complete the known words."""

    name = "text"

    def __init__(self, words: Sequence[str] = ()) -> None:
        self._words = words

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the known words that begin so."""
        del ctx, param
        return [CompletionItem(w) for w in self._words if w.startswith(incomplete)]


class _Count(click.ParamType):  # type: ignore[type-arg]  # not in click 8.1
    """How many items of a part; without a number the API's default."""

    name = "number"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        """Return a number, or True for the default."""
        if value in {_DEFAULT, True}:
            return True
        if not re.fullmatch("[0-9]{1,18}", str(value)):
            message = f"{value!r} is not a number; give arguments before this option."
            self.fail(message, param, ctx)
        return int(value)


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
    if isinstance(item, Moment):
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
        return self.name.upper() if self.positional else _option(self.name)

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
                [self.name], required=self.required, type=_Text(words)
            )
        shown = self.shown
        if isinstance(self.validator, Boolean):
            both = f"{shown}/--no-{shown.removeprefix('--')}"
            return click.Option([both, self.name], default=None, help=self.help())
        return click.Option(
            [shown, self.name],
            type=click.INT if isinstance(self.validator, Integer) else _Text(words),
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
        return given

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
    message = f"{shown} has no {short_repr(name)}; {hint}"
    raise CommandError(message)


def _json_object(text: str, shown: str) -> dict[str, Any]:
    try:
        found = decode_json(text.encode())
    except ValueError:
        found = None
    if not isinstance(found, dict):
        message = f"{shown} must be a JSON object, got {short_repr(text)}"
        raise CommandError(message)
    return found


def _from_text(validator: Validator, text: str) -> Any:
    """Return the JSON value of a text; a text that is none stays one."""
    may_be_json = not isinstance(validator, StringOrObject) or text.startswith("{")
    if isinstance(validator, String | Enum | Moment) or not may_be_json:
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
        with _as_command_errors(names):
            return nested.cls(**values)
    return given


@contextlib.contextmanager
def _as_command_errors(names: Mapping[str, str]) -> Iterator[None]:
    """Raise errors of the body with parameters under the *names* that users know."""
    try:
        yield
    except ParameterError as error:
        subject = re.sub(r"\w+", lambda w: names.get(w[0], w[0]), error.parameter)
        # Only names that are no words of English, because the reason is a sentence.
        reason = re.sub(r"\b[a-z]+_\w+", lambda w: names.get(w[0], w[0]), error.reason)
        text = f"{subject} {reason.removesuffix(' at the root')}"
        raise CommandError(message_of(ValueError(text))) from error
    except WorkflowError as error:
        raise CommandError(message_of(error)) from error


@attrs.frozen(kw_only=True)
class Part:
    """A part that an operation may read, as a flag or a number of items."""

    name: str
    action: Any
    about: str

    @property
    def counted(self) -> bool:
        """Whether the number of its items can be limited."""
        return any(row.name == "limit" for row in parameters_of(self.action))

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The further parameters of its action; each implies the part."""
        descriptions = documentation_of(self.action).parameters
        return tuple(
            Input(
                name=f"{self.name}_{row.name}",
                validator=row.validator,
                about=_as_help(descriptions.get(row.name, ""), {}),
            )
            for row in parameters_of(self.action)
            if row.name != "limit"
        )

    def parameters(self) -> Iterator[click.Parameter]:
        """Yield the options."""
        names = [_option(self.name), self.name]
        if self.counted:
            yield click.Option(
                names,
                is_flag=False,
                flag_value=_DEFAULT,
                type=_Count(),
                metavar="[NUMBER]",
                help=self.about,
            )
        else:
            yield click.Option(names, is_flag=True, help=self.about)
        for each in self.inputs:
            yield each.parameter()

    def read(self, given: Mapping[str, Any]) -> Any:
        """Return the action of the part; None leaves the part out."""
        wanted = given[self.name]
        values = {
            each.name.removeprefix(f"{self.name}_"): each.read(given[each.name])
            for each in self.inputs
        }
        values = {name: value for name, value in values.items() if value is not None}
        if wanted in {None, False} and type(wanted) is not int and not values:
            return None
        if type(wanted) is int:
            values["limit"] = wanted
        names = {name: _option(f"{self.name}_{name}") for name in values}
        with _as_command_errors(names | {"limit": _option(self.name)}):
            return self.action(**values)


@attrs.frozen(kw_only=True)
class Interface:
    """The parameters of an operation as a command line."""

    operation: Operation
    inputs: tuple[Input, ...]
    parts: tuple[Part, ...]

    @classmethod
    def of(cls, operation: Operation) -> Interface:
        """Return the interface that the signature of an operation has."""
        make: Any = operation.make
        described = operation.documentation.parameters
        if isinstance(make, type):
            rows, fields = _of_action(make), {}
        else:
            hints = typing.get_type_hints(make)
            flat = typing.get_args(hints["return"])[2]
            fields = {field.parameter: field for field in child_fields(flat)}
            rows = _of_function(make, hints, fields)
        shown = {row.name: row.shown for row in rows} | {
            name: _option(name) for name in fields
        }
        about = {name: _as_help(text, shown) for name, text in described.items()}
        label = Input(
            name="label",
            validator=String(),
            about="A tag of your own, which the completion has too.",
        )
        return cls(
            operation=operation,
            inputs=(
                *(attrs.evolve(row, about=about.get(row.name, "")) for row in rows),
                label,
            ),
            parts=tuple(
                Part(name=name, action=field.action, about=about.get(name, ""))
                for name, field in fields.items()
            ),
        )

    def parameters(self) -> Iterator[click.Parameter]:
        """Yield the arguments and the options."""
        *inputs, label = self.inputs
        for each in inputs:
            yield each.parameter()
        for part in self.parts:
            yield from part.parameters()
        yield label.parameter()

    def build(self, given: Mapping[str, Any]) -> Roots:
        """Return the workflow.

        Raises:
            CommandError: A value is wrong or missing.
        """
        values = {each.name: each.read(given[each.name]) for each in self.inputs}
        values |= {part.name: part.read(given) for part in self.parts}
        values = {name: value for name, value in values.items() if value is not None}
        with _as_command_errors({each.name: each.shown for each in self.inputs}):
            workflow: Roots = self.operation.make(**values)
            dump_workflow(workflow)  # raises if the workflow may not start
        return workflow

    def examples(self) -> list[str]:
        """Return command lines that show the operation."""
        wanted = [each for each in self.inputs if each.required or each.positional]
        others = [each for each in self.inputs if each not in wanted]
        while not self._builds(wanted):
            # Another parameter is needed with those, which the signature does not say.
            wanted.append(others.pop(0))
        wanted += [each for each in others if each.name in _SHOWN]
        flag = next((_option(part.name) for part in self.parts if not part.counted), "")
        count = next((_option(part.name) for part in self.parts if part.counted), "")
        words = ["linkedapi", self.operation.command]
        for each in sorted(wanted, key=lambda each: not each.positional):
            words += [*([] if each.positional else [each.shown]), _example(each)]
        words += [*filter(None, [flag]), *([count, "10"] if count else [])]
        line = shlex.join(words)
        if self.operation.writes:
            return [f"{line} --dry-run", f"{line} --yes"]
        lists = count or any(each.name == "limit" for each in wanted)
        return [line, f"{line} --format csv"] if lists else [line]

    def _builds(self, wanted: Sequence[Input]) -> bool:
        nothing = dict.fromkeys([p.name for p in self.parameters() if p.name])
        try:
            self.build(nothing | {each.name: _example(each) for each in wanted})
        except CommandError:
            return False
        return True


def _of_action(cls: Any) -> list[Input]:
    rows = parameters_of(cls)
    targets = [row for row in rows if row.info.target]
    sole = len(targets) == 1 or cls.needs_all_targets
    return [
        Input(
            name=row.name,
            validator=row.validator,
            required=row.required or (row.info.target and sole),
            positional=row.positional,
        )
        for row in rows
    ]


def _of_function(
    make: Any, hints: Mapping[str, Any], fields: Mapping[str, ChildField]
) -> list[Input]:
    return [
        Input(
            name=name,
            validator=validator_for(hints[name], ParameterInfo()),
            required=parameter.default is parameter.empty,
            positional=parameter.kind is parameter.POSITIONAL_OR_KEYWORD,
        )
        for name, parameter in inspect.signature(make).parameters.items()
        if name not in fields and name != "label"
    ]


def _as_help(text: str, shown: Mapping[str, str]) -> str:
    """Return a description of a docstring in the words of a command line."""
    text = _CODE.sub(r"\1", _DATETIME.sub("", _PYTHON.sub("", text)))
    text = _REFERENCE.sub(lambda name: shown.get(name[1], name[1]), text)
    return _WHETHER.sub(lambda found: found[1].upper(), text)


def _example(each: Input) -> str:
    if each.name in EXAMPLES:
        return EXAMPLES[each.name]
    assert isinstance(each.validator, Enum)  # noqa: S101  # tests build all examples
    return each.validator.known[0]


SHARED: Final = "Options as for run"
"""The section with what all operations have."""


class OperationCommand(click.Command):
    """The command of an operation.

    Args:
        operation: The operation.
    """

    def __init__(self, operation: Operation) -> None:
        self.interface = Interface.of(operation)
        self._own = [*self.interface.parameters()]
        names = {each.name for each in self._own}
        inputs, lines = self.interface.inputs, self.interface.examples()

        @sending_options
        @click.pass_context
        def call(context: click.Context, /, **given: Any) -> None:
            options = {
                name: value for name, value in given.items() if name not in names
            }
            send(context, lambda: self.interface.build(given), **options)

        texts = [
            operation.summary,
            *(f"{each.shown}: {each.help()}" for each in inputs if each.positional),
            operation.documentation.url,
            "\n".join(["\b\nExamples:", *(f"  {line}" for line in lines)]),
        ]
        made = click.command()(call)
        super().__init__(
            operation.command,
            callback=made.callback,
            params=[*self._own, *made.params],
            help="\n\n".join(filter(None, texts)),
            short_help=operation.summary,
        )

    def format_options(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """List the options of this command, and then those of all operations."""
        shared = [each for each in self.get_params(ctx) if each not in self._own]
        for section, parameters in {"Options": self._own, SHARED: shared}.items():
            options = [each for each in parameters if isinstance(each, click.Option)]
            rows = [each.get_help_record(ctx) for each in options]
            with formatter.section(section):
                formatter.write_dl([row for row in rows if row])
