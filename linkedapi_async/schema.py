"""JSON Schemas of workflows, for editors, other validators and language models.

They are derived from the classes of the actions, and valid in draft 2020-12 and in
draft-07: no keyword is beside a ``$ref``, and every keyword exists in both drafts.
Nesting is written with ``if`` and ``then`` on ``actionType``, so that a validator names
the one wrong value instead of every alternative.

A schema refuses no workflow that `load_workflow` accepts. It accepts a few that
`load_workflow` refuses, because JSON Schema cannot express them:

- a misspelt name of an action or of a parameter;
- a whole number that is written with a point, such as ``5.0``;
- a lone surrogate in a text;
- a time that only begins like ISO 8601;
- a value that certainly is no target, such as a name instead of a URL.

::

    schema = workflow_schema()
    Path("workflow.schema.json").write_text(json.dumps(schema))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias, get_args

from linkedapi_async import nv, params, st  # noqa: F401  # declares its actions
from linkedapi_async._actions.custom import custom
from linkedapi_async._actions.documentation import documentation_of
from linkedapi_async._actions.parameters import Parameter, parameters_of
from linkedapi_async._actions.scopes import Anywhere, Root, Scope
from linkedapi_async._actions.validators import (
    Boolean,
    DateTime,
    Enum,
    Integer,
    ListOf,
    Object,
    String,
    StringOrObject,
    Validator,
)
from linkedapi_async._results.key import ACTIONS
from linkedapi_async._types import BOTH, Generation, Json
from linkedapi_async._utils.spelling import json_name


__all__ = ["Variant", "from_structured_output", "workflow_schema"]

Variant: TypeAlias = Literal["workflow", "template", "structured_output"]
"""The variants of a schema; see `workflow_schema`."""

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

LABEL: Final = "A tag of your own, which the completion repeats."

THEN: Final = "The actions that are nested under this one: one, or a list of them."


def workflow_schema(
    generation: Generation | None = "linked_api", *, variant: Variant = "workflow"
) -> Json:
    """Return the JSON Schema of workflows.

    Args:
        generation: The generation of the API that accepts them; None describes what
            either accepts, like `load_workflow`.
        variant: ``"workflow"`` describes definitions, for editors and validators.
            ``"template"`` admits ``{{column}}`` as any value, for the templates of
            ``linkedapi batch``. ``"structured_output"`` is for language models that
            must follow a schema: an object with a ``workflow``, known names only, and
            null for unset values; `from_structured_output` turns it into a definition.

    Raises:
        ValueError: The generation or the variant is unknown.
    """
    if generation not in {None, *BOTH}:
        message = f"generation must be one of {BOTH} or None, got {generation!r}"
        raise ValueError(message)
    if variant not in get_args(Variant):
        raise ValueError(f"variant must be one of {get_args(Variant)}, got {variant!r}")
    if variant == "structured_output":
        return _StructuredOutput(generation).schema()
    return _Definitions(generation, template=variant == "template").schema()


def from_structured_output(value: Mapping[str, Any]) -> Any:
    """Return the definition in the output of a language model.

    Args:
        value: An object that fits ``workflow_schema(variant="structured_output")``.

    Returns:
        A definition for `load_workflow`: the ``workflow`` without all nulls.
    """
    return _without_nulls(value["workflow"])


def _without_nulls(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    return value


# Rules between parameters

_URL_OF_INVITATION: Final = {
    "connect": "personUrl",
    "companyFollow": "companyUrl",
    "newsletterSubscribe": "newsletterUrl",
}


def _has(**values: Any) -> Json:
    """Return a condition: the object has these values."""
    return {
        "type": "object",
        "properties": {name: {"const": value} for name, value in values.items()},
        "required": list(values),
    }


def _present(*names: str) -> Json:
    # The properties are named too, as Ajv's strict mode requires.
    return {"properties": dict.fromkeys(names, True), "required": list(names)}


def _absent(names: Iterable[str]) -> Json:
    return {"properties": dict.fromkeys(names, False)}


_INVITATION_RULES: Final = [
    {
        "if": _has(invitationType=kind),
        "then": {
            "allOf": [
                _present(url),
                _absent(n for n in _URL_OF_INVITATION.values() if n != url),
            ]
        },
    }
    for kind, url in _URL_OF_INVITATION.items()
]

_MENTIONED: Final = ("urn", "personHashedUrl", "companyHashedUrl")

RULES: Final[Mapping[Any, Sequence[Json]]] = {
    st.accept_invitation: _INVITATION_RULES,
    st.ignore_invitation: _INVITATION_RULES,
    st.search_jobs: [{"if": _present("filter"), "then": _absent(["preferences"])}],
    st.search_posts: [{"if": _absent(["customSearchUrl"]), "then": _present("term")}],
    st.create_post: [
        {
            "properties": {
                "attachments": {
                    "type": "array",
                    "if": {"contains": _has(type=kind)},
                    "then": more,
                }
            }
        }
        for kind, more in {
            "image": {"items": _has(type="image")},
            "video": {"maxItems": 1},
            "document": {"maxItems": 1},
        }.items()
    ],
    params.PostAttachment: [{"if": _has(type="document"), "then": _present("name")}],
    params.Mention: [
        {
            "if": _present(name),
            "then": _absent(n for n in _MENTIONED if n != name),
        }
        for name in _MENTIONED
    ],
}
"""The checks of `Validated._problems` of a class, as schemas."""


class _Schemas:
    """Makes a schema of one generation, or of both, with named definitions."""

    def __init__(self, generation: Generation | None) -> None:
        self._generation = generation
        self._defs: dict[str, Json] = {}

    def _define(self, name: str, make: Callable[[], Json]) -> Json:
        """Return a reference to the definition *name*, made on first use."""
        if name not in self._defs:
            self._defs[name] = {}  # it may refer to itself
            self._defs[name] = make()
        return {"$ref": f"#/$defs/{name}"}

    def _whole(self, schema: Json) -> Json:
        """Return *schema* with its dialect and its definitions."""
        return {"$schema": DIALECT, **schema, "$defs": dict(sorted(self._defs.items()))}


# The schemas of workflows and templates


class _Definitions(_Schemas):
    """Makes the schema of definitions."""

    def __init__(self, generation: Generation | None, *, template: bool) -> None:
        super().__init__(generation)
        self._template = template
        self._actions = {
            name: cls
            for name, cls in ACTIONS.items()
            if generation is None or generation in cls.generations
        }

    def schema(self) -> Json:
        """Return the schema of a workflow, or of a list of roots."""
        root = self._nested(Root)
        return self._whole(
            {
                "title": "Linked API workflow",
                "description": "A tree of actions, or a list of such trees.",
                "if": {"type": "array"},
                "then": {"type": "array", "minItems": 1, "items": root},
                "else": root,
            }
        )

    def _nested(self, scope: type[Scope]) -> Json:
        """Return the schema of an action in a scope."""
        return self._define(
            f"in.{scope.__name__.removesuffix('Scope')}", lambda: self._in_scope(scope)
        )

    def _in_scope(self, scope: type[Scope]) -> Json:
        allowed = {
            name: cls
            for name, cls in self._actions.items()
            if scope is Anywhere or scope in cls.where
        }
        refused = [name for name in ACTIONS if name not in allowed]
        words = [
            {"const": name, "description": documentation_of(cls).summary}
            for name, cls in allowed.items()
        ]
        rules: list[Json] = []
        if refused:
            known = {"enum": list(allowed)} if allowed else False
            rules.append(
                {
                    # Not the other way round, because editors suggest the words of a
                    # condition.
                    "if": _has_type({"not": {"enum": refused}}),
                    "else": {"properties": {"actionType": known}},
                }
            )
        rules += [
            {"if": _has_type({"const": name}), "then": self._placed(cls, scope)}
            for name, cls in allowed.items()
        ]
        unknown = {"not": {"enum": list(ACTIONS)}}
        rules.append(
            {
                "if": _has_type(unknown),
                "then": self._define("custom", self._unknown_action),
            }
        )
        return {
            "type": "object",
            "required": ["actionType"],
            "properties": {
                # The last alternative is an action that is newer than the schema.
                "actionType": {"type": "string", "minLength": 1, "anyOf": [*words, {}]}
            },
            "allOf": rules,
        }

    def _placed(self, cls: Any, scope: type[Scope]) -> Json:
        """Return the schema of an action in a scope that allows it."""
        action = self._define(cls.action_type, lambda: self._action(cls))
        targets = [json_name(name) for name in cls.targets]
        if not targets or scope is Anywhere:
            return action
        if scope is not Root:
            return {"allOf": [action, _absent(targets)]}
        if cls.needs_all_targets or len(targets) == 1:
            return {"allOf": [action, _present(*targets)]}
        some = {"anyOf": [_present(name) for name in targets]}
        return {"allOf": [action, some]}

    def _action(self, cls: Any) -> Json:
        summary, url, descriptions = documentation_of(cls)
        about = "\n\n".join(filter(None, (summary, url)))
        fields = self._fields(cls, descriptions)
        fields["properties"] = {
            "actionType": {"const": cls.action_type, "description": about},
            **fields["properties"],
            "label": {"type": "string", "description": LABEL},
            "then": self._then(cls.opens),
        }
        return {"title": cls.action_type, "description": about, **fields}

    def _unknown_action(self) -> Json:
        return {
            "type": "object",
            "description": custom.__doc__.partition("\n")[0] if custom.__doc__ else "",
            "properties": {
                "label": {"type": "string", "description": LABEL},
                "then": self._then(Anywhere),
            },
        }

    def _then(self, scope: type[Scope]) -> Json:
        if self._generation not in {None, *scope.generations}:
            return {"type": "array", "maxItems": 0, "description": THEN}
        child = self._nested(scope)
        return {
            "description": THEN,
            "if": {"type": "array"},
            "then": {"type": "array", "items": child},
            "else": child,
        }

    def _fields(self, cls: Any, descriptions: Mapping[str, str]) -> Json:
        """Return the schema of the parameters of *cls*."""
        properties: Json = {}
        required = []
        for row in parameters_of(cls):
            if self._generation not in {None, *row.info.generations}:
                properties[row.json_name] = False
                continue
            value = self._value(self._bounded(row))
            properties[row.json_name] = _described(value, row, descriptions)
            needed = self._generation in row.info.needed_in
            if (row.required and not row.info.target) or needed:
                required.append(row.json_name)
        found: Json = {"type": "object", "properties": properties}
        if required:
            found["required"] = required
        if cls in RULES and not self._template:
            found["allOf"] = list(RULES[cls])
        return found

    def _bounded(self, row: Parameter) -> Json:
        found = _schema_of(row.validator, self._object)
        known, generation = row.info, self._generation
        if generation is None or generation not in known.enforced_in:
            return found
        return {**found, _MAXIMUM[type(row.validator)]: known.maximum_in(generation)}

    def _object(self, cls: Any) -> Json:
        return self._define(f"params.{cls.__name__}", lambda: self._fields(cls, {}))

    def _value(self, schema: Json) -> Json:
        if not self._template:
            return schema
        filled = {"type": "string", "pattern": r"\{\{"}
        return {"if": filled, "then": filled, "else": schema}


_MAXIMUM: Final = {String: "maxLength", Integer: "maximum", ListOf: "maxItems"}


def _has_type(schema: Json) -> Json:
    return {
        # Without it, the condition would be true for everything except objects.
        "type": "object",
        "properties": {"actionType": schema},
        "required": ["actionType"],
    }


def _described(schema: Json, row: Parameter, descriptions: Mapping[str, str]) -> Json:
    about = descriptions.get(row.name)
    if about is None:
        return schema
    if "$ref" in schema:
        # Older drafts ignore what is beside a reference.
        return {"description": about, "allOf": [schema]}
    return {"description": about, **schema}


def _schema_of(validator: Validator, reference: Callable[[Any], Json]) -> Json:
    """Return the schema of the values that *validator* accepts.

    Args:
        validator: Of one parameter.
        reference: Returns the schema of an object of a parameter class.
    """
    found: Json
    match validator:
        case String(minimum=low, maximum=high):
            found = {"type": "string", **_bounds(minLength=low, maxLength=high)}
        case Integer(minimum=low, maximum=high):
            found = {"type": "integer", **_bounds(minimum=low, maximum=high)}
        case Boolean():
            found = {"type": "boolean"}
        case Enum(known=words):
            # The API may know more words than this version.
            found = {
                "type": "string",
                "minLength": 1,
                "anyOf": [{"enum": [*words]}, {}],
            }
        case DateTime():
            found = {"type": "string", "pattern": r"^\d{4}|\{\{"}
        case ListOf(item=item, maximum=high):
            items = _schema_of(item, reference)
            found = {"type": "array", "items": items, **_bounds(maxItems=high)}
        case Object(cls=cls):
            found = reference(cls)
        case StringOrObject(text=text, nested=nested):
            found = {
                "if": {"type": "string"},
                "then": _schema_of(text, reference),
                "else": _schema_of(nested, reference),
            }
        case _:
            raise TypeError(f"no schema for {type(validator).__name__}")
    return found


def _bounds(**bounds: int | None) -> Json:
    return {name: value for name, value in bounds.items() if value is not None}


# The schema for language models


class _StructuredOutput(_Schemas):
    """Makes the schema of an object that language models must follow.

    Their providers support few keywords: no conditions and no bounds, every property
    required, no other property. So alternatives are listed, optional properties may be
    null, and bounds are in the descriptions.
    """

    def schema(self) -> Json:
        """Return the schema of the object."""
        one = self._nested(Root)
        several = {"type": "array", "items": {"anyOf": one}}
        workflow = {
            "description": "A tree of actions, or a list of such trees.",
            "anyOf": [*one, several],
        }
        return self._whole(_closed({"workflow": workflow}))

    def _nested(self, scope: type[Scope]) -> list[Json]:
        """Return the schemas of the actions that may be nested in *scope*."""
        return [
            self._placed(cls, at_root=scope is Root)
            for cls in ACTIONS.values()
            if scope in cls.where and self._generation in {None, *cls.generations}
        ]

    def _placed(self, cls: Any, *, at_root: bool) -> Json:
        place = "" if at_root or not cls.targets else ".nested"
        name = f"{cls.action_type}{place}"
        return self._define(name, lambda: self._action(cls, at_root=at_root))

    def _action(self, cls: Any, *, at_root: bool) -> Json:
        summary, _, descriptions = documentation_of(cls)
        certain = cls.needs_all_targets or len(cls.targets) == 1
        properties: Json = {
            "actionType": {"type": "string", "enum": [cls.action_type]},
            "label": _nullable({"type": "string", "description": LABEL}),
        }
        for row in self._rows(cls):
            if row.info.target and not at_root:
                continue
            needed = certain if row.info.target else row.required
            value = self._plain(row.validator)
            if "$ref" not in value:
                value = _described(value, row, descriptions)
            properties[row.json_name] = value if needed else _nullable(value)
        children = self._nested(cls.opens)
        if children and self._generation in {None, *cls.opens.generations}:
            then = {"type": "array", "items": {"anyOf": children}, "description": THEN}
            properties["then"] = _nullable(then)
        return {"description": summary, **_closed(properties)}

    def _rows(self, cls: Any) -> list[Parameter]:
        return [
            row
            for row in parameters_of(cls)
            if self._generation in {None, *row.info.generations}
        ]

    def _plain(self, validator: Validator) -> Json:
        """Return the schema of what a validator accepts, without bounds."""
        match validator:
            case Enum(known=words):
                return {"type": "string", "enum": [*words]}
            case String() | DateTime():
                return {"type": "string"}
            case Integer():
                return {"type": "integer"}
            case ListOf(item=item):
                return {"type": "array", "items": self._plain(item)}
            case StringOrObject(text=text, nested=nested):
                return {"anyOf": [self._plain(text), self._plain(nested)]}
            case _:
                return _schema_of(validator, self._object)

    def _object(self, cls: Any) -> Json:
        def fields() -> Json:
            values = {row: self._plain(row.validator) for row in self._rows(cls)}
            return _closed(
                {
                    row.json_name: value if row.required else _nullable(value)
                    for row, value in values.items()
                }
            )

        return self._define(f"params.{cls.__name__}", fields)


def _closed(properties: Json) -> Json:
    """Return an object that has exactly these properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _nullable(schema: Json) -> Json:
    return {"anyOf": [schema, {"type": "null"}]}
