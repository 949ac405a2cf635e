"""Workflows to JSON and back, and completions to typed results."""

from __future__ import annotations

import functools
import itertools
import json
import types
import typing
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias, cast

import orjson

from linkedapi_async import nv, st
from linkedapi_async._action import ACTIONS, Action, custom, misplaced, standing_in
from linkedapi_async._compile import compiled
from linkedapi_async._fields import (
    Checked,
    Either,
    Many,
    Nested,
    Refused,
    Spec,
    nearest,
    rows,
    shown,
    warn_of,
    wire_name,
)
from linkedapi_async._outcomes import Completion, Home, Outcome, Result, result_wires
from linkedapi_async._scopes import Anywhere, Root
from linkedapi_async.errors import (
    ActionError,
    InvalidDefinitionError,
    NestingError,
    ParameterError,
    WorkflowError,
)


AnyAction: TypeAlias = Action[Any, Any, Any]
ActionClass: TypeAlias = type[AnyAction]
Roots: TypeAlias = AnyAction | tuple[AnyAction, ...]
"""A workflow: one root, or the roots of an array workflow in order."""

COMMON = ("actionType", "label", "then")
KNOWN_TYPES = (st, nv)
"""Imported for the classes that they declare."""


# Out: workflow to JSON


def dump_workflow(workflow: Roots) -> dict[str, Any] | list[dict[str, Any]]:
    """Return *workflow* as the API's JSON: a dict, or a list for a tuple of roots.

    Raises:
        NestingError: A root may not stand at the root.
        ParameterError: A root has no target.

    https://linkedapi.io/docs/building-workflows
    """
    if isinstance(workflow, Action):
        return _dump_root(workflow, "root")
    if not workflow:
        raise WorkflowError("an array workflow has at least one action", path="root")
    return [_dump_root(root, path) for path, root in numbered(workflow)]


def _dump_root(root: AnyAction, path: str) -> dict[str, Any]:
    if not isinstance(root, Action):
        raise WorkflowError(f"an action is due, got {shown(root)}", path=path)
    problem = misplaced(type(root), root.given(), None, path)
    if problem is not None:
        raise problem
    return _dump(root)


def numbered(workflow: Roots) -> Iterator[tuple[str, AnyAction]]:
    """Visit the roots of *workflow*, each with its path."""
    if isinstance(workflow, tuple):
        for index, root in enumerate(workflow):
            yield f"root[{index}]", root
    else:
        yield "root", workflow


def _dump(action: AnyAction) -> dict[str, Any]:
    cls: Any = type(action)
    as_list = False
    definition: dict[str, Any]
    if isinstance(action, custom):
        definition = {"actionType": action.action_type} if action.action_type else {}
        if action.label is not None:
            definition["label"] = action.label
        definition |= action.params
        as_list = action.as_list
    else:
        definition = _dumper(cls)(action)
    children = action.children
    if as_list or len(children) > 1:
        definition["then"] = [_dump(child) for child in children]
    elif children:
        definition["then"] = _dump(children[0])
    return definition


@functools.cache
def _dumper(cls: Any) -> Callable[[Any], dict[str, Any]]:
    """Return what turns the parameters of *cls*, and its type and label, to JSON."""
    lines = ["def dumped(self):", "  made = {}"]
    if issubclass(cls, Action):
        lines = [
            "def dumped(self):",
            f"  made = {{'actionType': {cls.action_type!r}}}",
            "  if self.label is not None: made['label'] = self.label",
        ]
    for row in rows(cls):
        inner = isinstance(row.spec, Many | Nested | Either)
        value = "dump(value)" if inner else "value"
        lines.append(f"  value = self.{row.name}")
        lines.append(f"  if value is not None: made[{row.wire!r}] = {value}")
    lines.append("  return made")
    made = compiled("dumped", lines, {"dump": _dump_value})
    return cast("Callable[[Any], dict[str, Any]]", made)


def _dump_value(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_dump_value(item) for item in value]
    cls: Any = type(value)
    return _dumper(cls)(value) if isinstance(value, Checked) else value


def encode(value: Any) -> bytes:
    """Return *value* as JSON in UTF-8."""
    try:
        return orjson.dumps(value)
    except TypeError:  # what orjson refuses: a lone surrogate, more than 64 bits
        return json.dumps(value, separators=(",", ":")).encode()


_DIGITS = bytes(ord("0" if chr(byte).isdecimal() else " ") for byte in range(256))
_BEYOND_64_BITS = b"0" * 20


def decode(body: bytes) -> Any:
    """Return the JSON value of *body*.

    Raises:
        ValueError: It is not JSON.
    """
    # orjson would make a float of a number with as many digits, and lose some of them.
    if _BEYOND_64_BITS in body.translate(_DIGITS):
        return _decode_slowly(body)
    try:
        return orjson.loads(body)
    except ValueError:
        # A truncated emoji is a lone surrogate, which must not lose a completion.
        return _decode_slowly(body)


def _decode_slowly(body: bytes | bytearray | str) -> Any:
    try:
        return json.loads(body, parse_constant=_refuse_constant)
    except RecursionError:
        message = "nested too deeply"
        raise ValueError(message) from None


def _refuse_constant(name: str) -> typing.NoReturn:
    message = f"{name} is not JSON"
    raise ValueError(message)


# In: JSON to workflow


def load_workflow(source: Any, *, check: bool = True) -> Any:
    """Return the checked workflow of a definition.

    Args:
        source: A dict, a list of dicts, or either as JSON in a str or bytes.
        check: False keeps whatever does not fit: such a node becomes a `custom` one,
            and `dump_workflow` gives back exactly what came in.

    Returns:
        An action, or for a list a tuple of actions.

    Raises:
        InvalidDefinitionError: With all problems, each with its path.
    """
    if isinstance(source, str | bytes | bytearray):
        try:
            # orjson would turn a whole number of more than 64 bits into a float.
            source = _decode_slowly(source)
        except ValueError as error:
            problem = WorkflowError(f"not JSON: {error}", path="root")
            raise InvalidDefinitionError([problem]) from None
    many = isinstance(source, list | tuple)
    nodes = list(source) if many else [source]
    problems: list[WorkflowError] = []
    if many and not nodes:
        message = "an array workflow has at least one action"
        problems.append(WorkflowError(message, path="root"))
    loaded = []
    for index, node in enumerate(nodes):
        path = f"root[{index}]" if many else "root"
        if check or not isinstance(node, dict):
            loaded.append(_load(node, None, path, problems))
        else:
            loaded.append(_load_anything(node, None))
    if problems:
        raise InvalidDefinitionError(problems)
    return tuple(loaded) if many else loaded[0]


def _load(
    node: Any, parent: ActionClass | None, path: str, problems: list[WorkflowError]
) -> AnyAction | None:
    before = len(problems)
    own = _load_own(node, parent, path, problems)
    cls = own[0] if own else custom
    then = node.get("then", []) if isinstance(node, dict) else []
    if not isinstance(then, list | dict):
        reason = f"an action or a list of actions is due, got {shown(then)}"
        problems.append(
            ParameterError(
                owner=cls.action_type if cls is not custom else "action",
                parameter="then",
                reason=reason,
                path=path,
            )
        )
        then = []
    children: list[Any] = [
        _load(child, cls, f"{path}.then[{index}]", problems)
        for index, child in enumerate(then if isinstance(then, list) else [then])
    ]
    if own is None or len(problems) > before:
        return None
    built = own[1]()
    return built.then(*children) if children else built


Builder: TypeAlias = Callable[[], AnyAction]


def _load_own(
    node: Any, parent: ActionClass | None, path: str, problems: list[WorkflowError]
) -> tuple[ActionClass, Builder] | None:
    """Load *node* without its children, if it can stand where it does."""
    if not isinstance(node, dict):
        message = f"an action is due, a JSON object, got {shown(node)}"
        problems.append(WorkflowError(message, path=path))
        return None
    action_type = node.get("actionType")
    if not isinstance(action_type, str) or not action_type:
        found = "nothing" if action_type is None else shown(action_type)
        message = f"actionType: a string is due, got {found}"
        problems.append(WorkflowError(message, path=path))
        return None
    if "label" in node and node["label"] is None:
        reason = "a string is due, got None; leave it out"
        problems.append(
            ParameterError(
                owner=action_type, parameter="label", reason=reason, path=path
            )
        )
    cls = ACTIONS.get(action_type)
    if cls is None:
        return _load_unknown(node, action_type, parent, path, problems)
    before = len(problems)
    given = [row.name for row in rows(cls) if row.fact.target and row.wire in node]
    problem = misplaced(cls, given, parent, path)
    if problem is not None:
        problems.append(_in_json(problem))
    values = _load_parameters(cls, node, action_type, path, problems, skip=COMMON)
    if "label" in node:
        values["label"] = node["label"]
    if len(problems) > before:
        return cls, lambda: cls(**values)
    try:
        built = cls(**values)
    except ParameterError as error:
        problems.append(error.at(path))
        return cls, lambda: cls(**values)
    return cls, lambda: built


def _in_json(problem: WorkflowError) -> WorkflowError:
    """Return *problem* with parameters named as in JSON."""
    if not isinstance(problem, ParameterError):
        return problem
    return ParameterError(
        owner=problem.owner,
        parameter=" ".join(map(wire_name, problem.parameter.split())),
        reason=problem.reason,
        path=problem.path,
    )


def _load_unknown(
    node: dict[str, Any],
    action_type: str,
    parent: ActionClass | None,
    path: str,
    problems: list[WorkflowError],
) -> tuple[ActionClass, Builder] | None:
    """Load an action type that is not known: a slip of the pen, or a new one."""
    namespace = action_type.partition(".")[0] + "."
    names = [name for name in ACTIONS if name.startswith(namespace)]
    slip = nearest(action_type, names, cutoff=0.9)
    if slip is not None:
        scope = parent.opens if parent is not None else Root
        problems.append(
            NestingError(
                path=path,
                offender=action_type,
                parent=None if parent is None else parent.action_type,
                allowed=[] if scope is Anywhere else standing_in(scope),
                nearest=slip,
            )
        )
        return None
    alike = nearest(action_type, ACTIONS)
    hint = f"; the nearest known one is {alike}" if alike else ""
    warn_of(
        f"{path}: {action_type!r} is not a known action type and is sent as it is{hint}"
    )
    params = {k: v for k, v in node.items() if k not in COMMON}
    try:
        built = custom.loaded(action_type, params, node.get("label"))
    except ParameterError as error:
        problems.append(error.at(path))
        return None
    return custom, lambda: built


def _load_parameters(
    cls: type[Checked],
    node: dict[str, Any],
    owner: str,
    path: str,
    problems: list[WorkflowError],
    *,
    skip: Sequence[str] = (),
) -> dict[str, Any]:
    known = {row.wire: row for row in rows(cls)}
    values: dict[str, Any] = {}

    def refuse(name: str, reason: str) -> None:
        problems.append(
            ParameterError(owner=owner, parameter=name, reason=reason, path=path)
        )

    for name, value in node.items():
        if name in skip:
            continue
        row = known.get(name)
        if row is None:
            alike = nearest(name, known)
            names = ", ".join(known) or "it has none"
            hint = f"did you mean {alike}?" if alike else f"known: {names}"
            refuse(name, f"unknown; {hint}")
            continue
        loaded = _load_value(
            row.spec, value, problems, owner=owner, name=name, path=path
        )
        if loaded is not _BROKEN:
            values[row.name] = loaded
    for row in known.values():
        # A target that is missing is told with the place where it is needed.
        if row.required and not row.fact.target and row.wire not in node:
            refuse(row.wire, "is required")
    return values


_BROKEN: Any = object()
"""Stands for a value whose problems have been noted."""


def _load_value(
    spec: Spec,
    value: Any,
    problems: list[WorkflowError],
    *,
    owner: str,
    name: str,
    path: str,
) -> Any:
    """Load the parameter *name* of *owner*; note all that is wrong inside it."""
    before = len(problems)

    def refuse(owner: str, name: str, reason: str) -> None:
        problems.append(
            ParameterError(owner=owner, parameter=name, reason=reason, path=path)
        )

    nested = spec.nested if isinstance(spec, Either) else spec
    if isinstance(spec, Many) and isinstance(value, list):
        inside = functools.partial(_load_value, spec.item, owner=owner, path=path)
        value = [
            inside(item, problems, name=f"{name}[{index}]")
            for index, item in enumerate(value)
        ]
    elif isinstance(nested, Nested) and isinstance(value, dict):
        inner = f"{owner}: {name}"
        values = _load_parameters(nested.cls, value, inner, path, problems)
        if len(problems) == before:
            try:
                value = nested.cls(**values)
            except ParameterError as error:
                refuse(inner, error.parameter, error.reason)
    if len(problems) > before:
        return _BROKEN
    try:
        return spec.check(value)
    except Refused as refused:
        refuse(owner, name + refused.place, refused.reason)
        return _BROKEN


def _load_anything(node: dict[str, Any], parent: ActionClass | None) -> AnyAction:
    """Load *node* whatever it is, so that it is dumped exactly as it came."""
    then = node.get("then", _BROKEN)
    nodes = then if isinstance(then, list) else [then]
    nests = then is not _BROKEN and all(isinstance(child, dict) for child in nodes)
    canonical = then is _BROKEN or (nests and (len(nodes) > 1) == (then is nodes))
    problems: list[WorkflowError] = []
    if canonical and _is_known(node.get("actionType")):
        own = _load_own(node, parent, "root", problems)
        if own is not None and not problems:
            cls, build = own
            children = [_load_anything(child, cls) for child in nodes if nests]
            return build().then(*children) if children else build()
    params = dict(node)
    action_type = params.pop("actionType", "")
    if not isinstance(action_type, str) or not action_type:
        params, action_type = dict(node), ""
    if nests:
        del params["then"]
    label = params.pop("label") if isinstance(params.get("label"), str) else None
    return custom.verbatim(
        action_type,
        params,
        label=label,
        children=[_load_anything(child, custom) for child in nodes if nests],
        as_list=nests and isinstance(then, list) and len(nodes) < 2,  # noqa: PLR2004
    )


def _is_known(action_type: Any) -> bool:
    return isinstance(action_type, str) and action_type in ACTIONS


# In: completion to results

Hook: TypeAlias = Callable[[Any, Any], Any]
"""As cattrs has them: from a JSON value and a type to a value of that type."""


def read_completion(
    raw: Any, workflow: Roots | None = None, workflow_id: str | None = None
) -> Completion:
    """Return the typed result tree of a completion.

    Args:
        raw: The completion's JSON: an object, or a list for an array workflow.
        workflow: What was asked, where it is known: it tells equal siblings apart.
        workflow_id: The workflow it belongs to.
    """
    asked = (workflow,) if isinstance(workflow, Action) else workflow or ()
    completion = Completion(raw=raw, workflow_id=workflow_id, home=Home((), asked))
    # Not recursive: pages may be nested without end.
    unread: Unread = [(completion.home, raw)]
    while unread:
        home, then = unread.pop()
        home.outcomes = tuple(_outcomes(then, home.asked, completion, unread))
    for action, root in zip(asked, completion.roots, strict=False):
        if root.success and root.action_type == action.action_type:
            root.data = action._yielded(root)
    return completion


Unread: TypeAlias = list[tuple[Home, Any]]
"""Homes whose outcomes have not been read, each with the JSON that holds them."""


def _outcomes(
    then: Any, asked: tuple[AnyAction, ...], completion: Completion, unread: Unread
) -> Iterator[Outcome[Any]]:
    waiting: dict[tuple[str, str | None], deque[AnyAction]] = defaultdict(deque)
    for action in asked:
        waiting[action.action_type, action.label].append(action)
    for node in then if isinstance(then, list) else [then]:
        name = _name_of(node)
        yield _outcome(node, name, waiting.get(name), completion, unread)


def _name_of(node: Any) -> tuple[str, str | None]:
    if not isinstance(node, dict):
        return "", None
    action_type, label = node.get("actionType"), node.get("label")
    return (
        action_type if isinstance(action_type, str) else "",
        label if isinstance(label, str) else None,
    )


def _outcome(
    node: Any,
    name: tuple[str, str | None],
    same: deque[AnyAction] | None,
    completion: Completion,
    unread: Unread,
) -> Outcome[Any]:
    action_type, label = name
    asked = tuple(_visible(same.popleft().children)) if same else ()
    fields = node if isinstance(node, dict) else {}
    data = fields.get("data")
    error = _error(fields, action_type, label, completion)
    homes: list[Home] = []
    value = None
    if error is None:
        cls = ACTIONS.get(action_type)
        value = _structured(data, cls.result if cls is not None else Any)
    # What was nested is looked for in the JSON: a void or failed action may have data
    # that just holds it, and data of an unexpected type may hold it too.
    items = data if isinstance(data, list) else (data,)
    owners = value if isinstance(value, list) else (value,)
    for item, owner in itertools.zip_longest(items, owners):
        if isinstance(item, dict) and "then" in item:
            home = _nested(item, asked, unread)
            homes += home
            if home and isinstance(owner, Result):
                owner.home = home[0]
    homes += _nested(fields, asked, unread)
    if isinstance(value, Result) and value.home is None and homes:
        value.home = homes[0]
    return Outcome(
        action_type=action_type,
        label=label,
        success=error is None,
        data=value,
        error=error,
        homes=tuple(homes),
        raw=node,
    )


def _nested(
    fields: dict[str, Any], asked: tuple[AnyAction, ...], unread: Unread
) -> list[Home]:
    then = fields.get("then")
    if not then or not isinstance(then, dict | list):
        return []
    home = Home((), asked)
    unread.append((home, then))
    return [home]


def _visible(children: Iterable[AnyAction]) -> Iterator[AnyAction]:
    """Visit the actions that leave a node: those in a loop stand in its place."""
    for child in children:
        if child.own_node:
            yield child
        else:
            yield from _visible(child.children)


def _error(
    fields: dict[str, Any], action_type: str, label: str | None, completion: Completion
) -> ActionError | None:
    error = fields.get("error")
    success = fields.get("success")
    if success is True or (success is not False and fields and not error):
        return None
    facts = error if isinstance(error, dict) else {}
    return ActionError(
        type=str(facts.get("type") or "unknownError"),
        message=str(facts.get("message") or "the API gave no reason"),
        action_type=action_type or "(no actionType)",
        label=label,
        completion=completion,
    )


def _structured(data: Any, result: Any) -> Any:
    """Return an action's data as its result type."""
    if result is Any:
        return data
    if result is types.NoneType:
        return None
    made = _converter().get_structure_hook(result)(data, result)
    return [] if made is None else made


@functools.cache
def _converter() -> Any:
    """Return the converter that knows what to make of every attribute.

    It never fails: a value of an unexpected type gives None, or an empty result.
    cattrs is imported with the first completion: who only builds does without.
    """
    import cattrs  # noqa: PLC0415

    converter = cattrs.Converter()
    hook_of = converter.get_structure_hook
    for kind, accepted in _SCALARS.items():
        converter.register_structure_hook(kind, _scalar_hook(accepted))

    @converter.register_structure_hook_factory(_is_optional)
    def optional(annotation: Any) -> Hook:
        options = typing.get_args(annotation)
        # A known word or any other string: the words are for the reader.
        make = hook_of(str if str in options else options[0])
        if not _is_result(options[0]):
            return make
        return lambda value, _: make(value, None) if type(value) is dict else None

    @converter.register_structure_hook_factory(_is_list)
    def many(annotation: Any) -> Hook:
        (item,) = typing.get_args(annotation)
        return _list_hook(hook_of(item), item)

    @converter.register_structure_hook_factory(_is_result)
    def one(cls: Any) -> Hook:
        return _object_hook(cls, hook_of)

    return converter


_SCALARS: dict[type, tuple[type, ...]] = {
    str: (str,),
    bool: (bool,),
    float: (int, float),
    int: (int,),
}


def _scalar_hook(accepted: tuple[type, ...]) -> Hook:
    return lambda value, _: value if type(value) in accepted else None


def _list_hook(make: Hook, item: Any) -> Hook:
    def structured(value: Any, _: Any) -> Any:
        if type(value) is not list:
            return None
        return [made for each in value if (made := make(each, item)) is not None]

    return structured


def _is_optional(annotation: Any) -> bool:
    return typing.get_origin(annotation) in {types.UnionType, typing.Union}


def _is_list(annotation: Any) -> bool:
    return typing.get_origin(annotation) is list


def _is_result(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Result)


def _object_hook(cls: Any, hook_of: Callable[[Any], Hook]) -> Hook:
    """Return what turns a JSON object into *cls*.

    Written out for the class: the keyword call that cattrs' own generator makes for
    each object takes longer than all of this.
    """
    hints = typing.get_type_hints(cls)
    names: dict[str, Any] = {"cls": cls, "new": object.__new__}
    lines = [
        "def structured(raw, _):",
        "  made = new(cls)",
        "  made.raw = raw",
        "  made.home = None",
        "  get = (raw if type(raw) is dict else {}).get",
    ]
    for name, wires in result_wires(cls).items():
        lines.append(f"  value = get({wires[0]!r})")
        lines += [f"  if value is None: value = get({w!r})" for w in wires[1:]]
        if typing.get_args(hints[name])[0] is str:
            made = "value if type(value) is str else None"
        else:
            names[f"make_{name}"] = hook_of(hints[name])
            made = f"None if value is None else make_{name}(value, None)"
        lines.append(f"  made.{name} = {made}")
    return cast("Hook", compiled("structured", [*lines, "  return made"], names))
