"""Prompts for the usual jobs: each is a workflow to fill, and how to use its result."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import attrs
from mcp import types


@attrs.frozen(kw_only=True)
class PromptTemplate:
    """A prompt with arguments to fill in."""

    title: str
    """The title in a menu."""
    about: str
    """Its purpose."""
    arguments: Mapping[str, str]
    """Its arguments, each with its description."""
    task: str
    """The task of the model, with the arguments in braces."""
    definition: Any
    """The workflow, with arguments in braces."""


PROMPTS: Final[Mapping[str, PromptTemplate]] = {
    "company": PromptTemplate(
        title="Research a company",
        about="A company's page, employees and posts.",
        arguments={"url": "The company's LinkedIn URL"},
        task="Summarise the company {url}: what it does, who works there, what it says.",
        definition={
            "actionType": "st.openCompanyPage",
            "companyUrl": "{url}",
            "basicInfo": True,
            "then": [
                {"actionType": "st.retrieveCompanyEmployees", "limit": 20},
                {"actionType": "st.retrieveCompanyPosts", "limit": 5},
            ],
        },
    ),
    "person": PromptTemplate(
        title="Research a person",
        about="A person's page, experience and posts.",
        arguments={"url": "The person's LinkedIn URL"},
        task="Summarise the person {url} for a first meeting.",
        definition={
            "actionType": "st.openPersonPage",
            "personUrl": "{url}",
            "basicInfo": True,
            "then": [
                {"actionType": "st.retrievePersonExperience"},
                {"actionType": "st.retrievePersonPosts", "limit": 5},
            ],
        },
    ),
    "search": PromptTemplate(
        title="Find people",
        about="People who fit a description.",
        arguments={"who": "Whom to find, in words"},
        task="Find people on LinkedIn: {who}. Look up the filters of st.searchPeople, put "
        "them into the workflow, and list who fits, with URLs.",
        definition={"actionType": "st.searchPeople", "term": "{who}", "limit": 20},
    ),
    "message": PromptTemplate(
        title="Write to a person",
        about="A message to a person, once you have seen it.",
        arguments={"url": "The person's LinkedIn URL", "about": "What to write about"},
        task="Write a short message to {url} about {about}. Show me the text, and run the "
        "workflow with it once I agree.",
        definition={
            "actionType": "st.sendMessage",
            "personUrl": "{url}",
            "text": "the text",
        },
    ),
    "connect": PromptTemplate(
        title="Invite a person",
        about="A connection request with a note, once you have seen it.",
        arguments={"url": "The person's LinkedIn URL", "about": "Why to connect"},
        task="Write a note of one sentence for an invitation of {url} because of {about}. "
        "Show me the note, and run the workflow with it once I agree.",
        definition={
            "actionType": "st.sendConnectionRequest",
            "personUrl": "{url}",
            "note": "the note",
        },
    ),
}
"""The jobs by the names of their prompts."""


def prompts() -> list[types.Prompt]:
    """Return the prompts as clients list them."""
    return [
        types.Prompt(
            name=name,
            title=template.title,
            description=template.about,
            arguments=[
                types.PromptArgument(name=argument, description=about, required=True)
                for argument, about in template.arguments.items()
            ],
        )
        for name, template in PROMPTS.items()
    ]


def prompt(name: str, arguments: Mapping[str, str]) -> types.GetPromptResult:
    """Return a prompt with its arguments filled in.

    Raises:
        ValueError: There is no such prompt, or an argument is missing.
    """
    template = PROMPTS.get(name)
    if template is None:
        raise ValueError(f"no prompt {name!r}; prompts are {', '.join(PROMPTS)}")
    missing = [each for each in template.arguments if not arguments.get(each)]
    if missing:
        raise ValueError(f"the prompt {name!r} needs {', '.join(missing)}")
    definition = json.dumps(filled(template.definition, arguments), ensure_ascii=False)
    text = (
        f"{filled(template.task, arguments)}\n\nRun this with the tool run_workflow:\n\n"
        f"{definition}"
    )
    content = types.TextContent(text=text)
    return types.GetPromptResult(
        description=template.about,
        messages=[types.PromptMessage(role="user", content=content)],
    )


def filled(value: Any, arguments: Mapping[str, str]) -> Any:
    """Return a JSON value with the arguments in its texts."""
    if isinstance(value, dict):
        return {name: filled(item, arguments) for name, item in value.items()}
    if isinstance(value, list):
        return [filled(item, arguments) for item in value]
    if isinstance(value, str):
        for name, text in arguments.items():
            value = value.replace(f"{{{name}}}", text)
    return value
