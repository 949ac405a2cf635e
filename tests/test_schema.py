"""The JSON Schemas of workflows, against the checks of the library."""

from __future__ import annotations

import importlib.resources
import itertools
import json
import warnings
from typing import Any, get_args

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as draws
from jsonschema import Draft202012Validator
from jsonschema_rs import Draft7Validator, meta, validator_for
from sample_targets import SAMPLE_TARGETS

from linkedapi_async import custom, dump_workflow, load_workflow, st
from linkedapi_async._actions.action import named_roots
from linkedapi_async._actions.compatibility import unsupported_in
from linkedapi_async._actions.parameters import Validated, parameters_of
from linkedapi_async._actions.validators import Validator
from linkedapi_async._results.key import ACTIONS
from linkedapi_async._types import BOTH, Generation
from linkedapi_async.cli._app import app
from linkedapi_async.errors import InvalidDefinitionError
from linkedapi_async.schema import (
    RULES,
    Variant,
    _schema_of,
    from_structured_output,
    workflow_schema,
)
from linkedapi_async.testing.strategies import (
    BrokenWorkflow,
    broken_workflows,
    workflows,
)


PERSON = "https://www.linkedin.com/in/ada"
COMPANY = "https://www.linkedin.com/company/acme"
PAGE = {"actionType": "st.openCompanyPage", "companyUrl": COMPANY}
EITHER: list[Generation | None] = [None, *BOTH]
SCHEMAS: dict[tuple[Generation | None, Variant], Any] = {
    (generation, variant): workflow_schema(generation, variant=variant)
    for generation in EITHER
    for variant in get_args(Variant)
}
VALIDATORS = {key: validator_for(schema) for key, schema in SCHEMAS.items()}


def fits(
    definition: Any,
    generation: Generation | None = None,
    variant: Variant = "workflow",
) -> bool:
    """Return whether a validator accepts *definition*."""
    return VALIDATORS[generation, variant].is_valid(definition)


def problems(definition: Any) -> list[str]:
    """Return what a validator with good messages says of *definition*."""
    found = Draft202012Validator(SCHEMAS[None, "workflow"]).iter_errors(definition)
    return [f"{error.json_path}: {error.message}" for error in found]


def is_right(definition: Any) -> bool:
    """Return whether the library accepts *definition*."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            load_workflow(definition)
        except InvalidDefinitionError:
            return False
    return True


# The schema itself


@pytest.mark.parametrize(("generation", "variant"), SCHEMAS)
def test_a_schema_is_valid(generation: Generation | None, variant: Variant) -> None:
    """Each variant is a schema in both drafts, which accept the same."""
    schema = SCHEMAS[generation, variant]
    meta.validate(schema)
    older = {**schema, "$schema": "http://json-schema.org/draft-07/schema#"}
    meta.validate(older)
    validator = Draft7Validator(older)

    for definition in (PAGE, PAGE | {"then": {"actionType": "st.searchPeople"}}):
        given = (
            {"workflow": definition} if variant == "structured_output" else definition
        )
        assert fits(given, generation, variant) == validator.is_valid(given)


@pytest.mark.parametrize(("generation", "variant"), SCHEMAS)
def test_old_drafts_ignore_nothing(
    generation: Generation | None, variant: Variant
) -> None:
    """Nothing is beside a reference, where draft-07 would not see it."""
    stack: list[Any] = [SCHEMAS[generation, variant]]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            assert "$ref" not in value or len(value) == 1
            stack += value.values()
        elif isinstance(value, list):
            stack += value


def test_the_schema_is_shipped() -> None:
    """``linkedapi schema --generation linked_api`` prints the file in the package."""
    file = importlib.resources.files("linkedapi_async") / "workflow.schema.json"

    assert workflow_schema() == json.loads(file.read_text("utf-8"))


def test_unknown_words_are_refused() -> None:
    """A generation or variant that does not exist is an error that names those."""
    with pytest.raises(ValueError, match=r"generation must be one of .* got 'v3'"):
        workflow_schema("v3")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"variant must be one of .* got 'x'"):
        workflow_schema(variant="x")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="no schema for Validator"):
        _schema_of(Validator(), dict)


# Right and wrong workflows


@given(workflows())
def test_what_is_right_is_accepted(workflow: Any) -> None:
    """No workflow is refused that the library builds."""
    assert fits(dump_workflow(workflow))


@pytest.mark.parametrize("generation", BOTH)
@given(data=draws.data())
def test_a_generation_is_told_apart(
    generation: Generation, data: draws.DataObject
) -> None:
    """The schema of a generation accepts exactly what the session would send."""
    workflow = data.draw(workflows(data.draw(draws.sampled_from(EITHER))))
    unsupported = [
        problem
        for path, root in named_roots(workflow)
        for problem in unsupported_in(root, generation, path)
    ]

    assert bool(unsupported) != fits(dump_workflow(workflow), generation)


# Strings that are refused as targets alone.
NO_TARGETS = (
    "got 'Ada Lovelace'",
    "got 'ada@example.com'",
    "got 'https://example.com/in/ada'",
    "must have no white space",
)


def cannot_be_expressed(broken: BrokenWorkflow) -> bool:
    """Return whether JSON Schema has no words for what is wrong."""
    text = json.dumps(broken.definition)
    return (
        "is not a parameter" in broken.words  # near to a known name
        or "Python name" in broken.words
        or broken.rule in {"unknown_name", "wrong_target"}
        or r"\ud800" in text  # a lone surrogate
        or broken.words.startswith(NO_TARGETS)
        or "1.0" in text  # equal to a whole number
    )


@given(broken_workflows().filter(lambda broken: not cannot_be_expressed(broken)))
def test_what_is_wrong_is_refused(broken: BrokenWorkflow) -> None:
    """Every rule of the library is in the schema, but for those that are named."""
    assert not fits(broken.definition)


URLS = {
    "personUrl": SAMPLE_TARGETS["person_url"],
    "companyUrl": SAMPLE_TARGETS["company_url"],
    "newsletterUrl": SAMPLE_TARGETS["newsletter_url"],
}
RULE_CASES: dict[Any, list[dict[str, Any]]] = {
    cls: [
        {
            "actionType": cls.action_type,
            "invitationType": kind,
            **{name: URLS[name] for name in names},
        }
        for kind in ("connect", "companyFollow", "newsletterSubscribe", "new")
        for count in range(4)
        for names in itertools.combinations(
            ("personUrl", "companyUrl", "newsletterUrl"), count
        )
    ]
    for cls in (st.accept_invitation, st.ignore_invitation)
}
RULE_CASES[st.search_jobs] = [
    {"actionType": "st.searchJobs", **{name: {} for name in names}}
    for names in ([], ["filter"], ["preferences"], ["filter", "preferences"])
]
RULE_CASES[st.search_posts] = [
    {"actionType": "st.searchPosts", **dict.fromkeys(names, PERSON)}
    for names in ([], ["term"], ["customSearchUrl"], ["term", "customSearchUrl"])
]
RULE_CASES[st.create_post] = [
    {
        "actionType": "st.createPost",
        "text": "Hello",
        "attachments": [{"url": PERSON, "type": kind, "name": "x"} for kind in kinds],
    }
    for count in range(3)
    for kinds in itertools.product(("image", "video", "document"), repeat=count)
]
RULE_CASES["attachment"] = [
    {
        "actionType": "st.createPost",
        "text": "Hello",
        "attachments": [{"url": PERSON, "type": kind, **name}],
    }
    for kind in ("image", "document")
    for name in ({}, {"name": "x"})
]
RULE_CASES["mention"] = [
    {
        "actionType": "st.createPost",
        "text": "Hello",
        "mentions": [{"key": "k", "name": "n", **dict.fromkeys(names, PERSON)}],
    }
    for count in range(4)
    for names in itertools.combinations(
        ("urn", "personHashedUrl", "companyHashedUrl"), count
    )
]


@pytest.mark.parametrize(
    "definition",
    [d for cases in RULE_CASES.values() for d in cases],
    ids=lambda d: json.dumps(d)[:100],
)
def test_rules_between_parameters(definition: dict[str, Any]) -> None:
    """What parameters ask of each other is in the schema too."""
    assert is_right(definition) == fits(definition)


def test_every_rule_between_parameters_is_there() -> None:
    """A class that compares its parameters has rules in the schema."""
    known: set[Any] = set(ACTIONS.values())
    for cls in ACTIONS.values():
        for row in parameters_of(cls):
            inner = getattr(row.validator, "item", row.validator)
            known.add(getattr(getattr(inner, "nested", inner), "cls", None))
    plain = Validated._problems  # what the others override

    assert set(RULES) == {
        cls for cls in known if getattr(cls, "_problems", plain) is not plain
    }


def test_a_problem_is_named_exactly() -> None:
    """A validator says the one thing that is wrong, not each alternative."""
    employees = {"actionType": "st.retrieveCompanyEmployees", "limit": "20"}

    assert problems(PAGE | {"then": [employees]}) == [
        "$.then[0].limit: '20' is not of type 'integer'"
    ]
    (nested,) = problems(PAGE | {"then": {"actionType": "st.searchPeople"}})
    assert nested.startswith(
        "$.then.actionType: 'st.searchPeople' is not one of ['nv.openCompanyPage', "
    )
    assert ["$: 'companyUrl' is a required property"] == problems(
        {"actionType": "st.openCompanyPage"}
    )
    assert ["$: 7 is not of type 'object'"] == problems(7)
    assert ["$: [] should be non-empty"] == problems([])


def test_what_is_new_is_accepted() -> None:
    """Actions, parameters and words that are newer than the schema are no problem."""
    new: Any = {
        "actionType": "st.brandNew",
        "anything": [1, None],
        "then": [{"actionType": "st.openPersonPage", "fresh": {}, "then": []}],
    }

    assert fits(new)
    assert fits({"$schema": "workflow.schema.json", **new})
    assert not fits({**new, "label": 5})


# Templates


@given(workflows(), draws.data())
def test_a_template_admits_placeholders(workflow: Any, data: draws.DataObject) -> None:
    """Any value of a parameter may be a placeholder, and what is right without is."""
    definition = dump_workflow(workflow)
    assert fits(definition, variant="template")

    root = definition[0] if isinstance(definition, list) else definition
    names = [n for n in root if n not in {"actionType", "label", "then"}]
    if names:
        root[data.draw(draws.sampled_from(names))] = "{{column}}"

    assert fits(definition, variant="template")


def test_a_template_is_checked() -> None:
    """What is not a placeholder is held to the rules."""
    page = {"actionType": "st.openCompanyPage", "companyUrl": "{{url}}"}
    wrong = {"actionType": "st.retrieveCompanyEmployees", "limit": "many"}

    assert not fits(page | {"then": wrong}, variant="template")
    assert not fits(page | {"companyUrl": ""}, variant="template")


# Language models


def written(value: Any, schema: Any, definitions: Any) -> Any:
    """Return *value* as a model would write it: whatever is not set is null."""
    while "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    for option in schema.get("anyOf", ()):
        found = written(value, option, definitions)
        if found is not None:
            return found
    if isinstance(value, list) and schema.get("type") == "array":
        return [written(item, schema["items"], definitions) for item in value]
    if not isinstance(value, dict):
        return value if schema.get("type") in KINDS.get(type(value), ()) else None
    known = schema.get("properties", {})
    if not value.keys() <= known.keys():
        return None
    if value.get("actionType") not in known.get("actionType", {}).get("enum", [None]):
        return None
    nested = dict(value)
    if isinstance(value.get("then"), dict):
        nested["then"] = [value["then"]]
    return dict.fromkeys(known) | {
        name: written(inner, known[name], definitions) for name, inner in nested.items()
    }


KINDS: dict[Any, set[str]] = {
    str: {"string"},
    bool: {"boolean"},
    int: {"integer"},
    type(None): {"null"},
}


def is_usual(workflow: Any) -> bool:
    """Return whether *workflow* has nothing that only the API may know."""
    nodes = (node for _, root in named_roots(workflow) for node in root.walk())
    return not any(isinstance(node, custom) or node.extra for node in nodes)


def test_a_language_model_writes_null() -> None:
    """What is null in its output, at any depth, is no part of the definition."""
    employees = {"actionType": "st.retrieveCompanyEmployees", "limit": 3, "then": None}
    posts = {"actionType": "st.retrieveCompanyPosts", "since": None}
    page = {**PAGE, "label": None, "then": [employees, posts]}

    assert {
        **PAGE,
        "then": [
            {"actionType": "st.retrieveCompanyEmployees", "limit": 3},
            {"actionType": "st.retrieveCompanyPosts"},
        ],
    } == from_structured_output({"workflow": page})


@given(workflows("linked_api").filter(is_usual))
def test_a_language_model_can_write_every_workflow(workflow: Any) -> None:
    """What is not set is null in its output, and no part of the definition."""
    schema = SCHEMAS["linked_api", "structured_output"]
    found = {
        "workflow": written(
            dump_workflow(workflow), schema["properties"]["workflow"], schema["$defs"]
        )
    }

    assert fits(found, "linked_api", "structured_output")
    assert workflow == load_workflow(from_structured_output(found))


@pytest.mark.parametrize("generation", EITHER)
def test_language_models_get_few_keywords(generation: Generation | None) -> None:
    """Objects are closed and name all that is required, and nothing is conditional."""
    stack: list[Any] = [SCHEMAS[generation, "structured_output"]]
    while stack:
        value = stack.pop()
        if isinstance(value, list):
            stack += value
        if not isinstance(value, dict):
            continue
        assert value.keys() <= {
            *("$schema", "$defs", "$ref", "anyOf", "additionalProperties", "items"),
            *("description", "enum", "properties", "required", "type"),
        }
        if "properties" in value:
            assert value["required"] == list(value["properties"])
            assert value["additionalProperties"] is False
        for name, inner in value.items():
            stack += inner.values() if name in {"properties", "$defs"} else [inner]


def test_the_command_prints_the_schema() -> None:
    """``linkedapi schema`` prints what the function returns, for each option."""
    runner = CliRunner()
    plain = runner.invoke(app, ["schema"])
    options = ["--generation", "account_api", "--variant", "template"]
    chosen = runner.invoke(app, ["schema", *options])

    assert SCHEMAS[None, "workflow"] == json.loads(plain.stdout)
    assert SCHEMAS["account_api", "template"] == json.loads(chosen.stdout)
