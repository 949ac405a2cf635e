"""One command for each ready-made operation, made from its signature and docstring."""

from __future__ import annotations

import inspect
import re
import shlex
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import attrs
import click

from linkedapi_async._actions.action import Roots
from linkedapi_async._actions.composite import ChildField, child_fields
from linkedapi_async._actions.documentation import documentation_of
from linkedapi_async._actions.parameters import (
    ParameterInfo,
    parameters_of,
    validator_for,
)
from linkedapi_async._actions.validators import Enum, String
from linkedapi_async._wire.dump import dump_workflow
from linkedapi_async.cli._exit_codes import CommandError
from linkedapi_async.cli._operations import Operation
from linkedapi_async.cli._parameters import (
    Input,
    as_command_errors,
    as_help,
    option_name,
)
from linkedapi_async.cli._workflows import send, sending_options


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
"""Optional parameters that examples show."""

_DEFAULT: Final = "default"
"""The number of a part's items when the option has no number."""


class _PartSize(click.ParamType):  # type: ignore[type-arg]  # not in click 8.1
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
                about=as_help(descriptions.get(row.name, ""), {}),
            )
            for row in parameters_of(self.action)
            if row.name != "limit"
        )

    def parameters(self) -> Iterator[click.Parameter]:
        """Yield the options."""
        names = [option_name(self.name), self.name]
        if self.counted:
            yield click.Option(
                names,
                is_flag=False,
                flag_value=_DEFAULT,
                type=_PartSize(),
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
        names = {name: option_name(f"{self.name}_{name}") for name in values}
        with as_command_errors(names | {"limit": option_name(self.name)}):
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
            name: option_name(name) for name in fields
        }
        about = {name: as_help(text, shown) for name, text in described.items()}
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
        with as_command_errors({each.name: each.shown for each in self.inputs}):
            workflow: Roots = self.operation.make(**values)
            dump_workflow(workflow)  # this raises if the workflow may not start
        return workflow

    def examples(self) -> list[str]:
        """Return command lines that show the operation."""
        wanted = [each for each in self.inputs if each.required or each.positional]
        others = [each for each in self.inputs if each not in wanted]
        while not self._builds(wanted):
            # These need another parameter, which the signature does not show.
            wanted.append(others.pop(0))
        wanted += [each for each in others if each.name in _SHOWN]
        flag = next(
            (option_name(part.name) for part in self.parts if not part.counted), ""
        )
        count = next(
            (option_name(part.name) for part in self.parts if part.counted), ""
        )
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


def _example(each: Input) -> str:
    if each.name in EXAMPLES:
        return EXAMPLES[each.name]
    assert isinstance(each.validator, Enum)  # noqa: S101  # tests build all examples
    return each.validator.known[0]


SHARED: Final = "Options as for run"
"""The section with the options of all operations."""


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
