"""Acts: what a workflow changes, and on which targets.

An act is one kind of writing action and its target, without the text. Two workflows
with the same acts do the same to the same people, even if their texts differ.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator
from typing import Any, Final

import attrs

from linkedapi_async._actions.parameters import METADATA_KEY
from linkedapi_async._actions.scopes import (
    NvCompanyPageScope,
    NvPersonPageScope,
    Scope,
    StCompanyPageScope,
    StConversationScope,
    StPersonPageScope,
    StPostPageScope,
    StSkillListScope,
    StSkillScope,
)
from linkedapi_async._results.key import ACTIONS
from linkedapi_async._utils.spelling import json_name
from linkedapi_async.urls import TargetKind, normalize_url


# Actions with targets that they do not inherit, and so do not declare as targets.
_INVITERS: Final = ("personUrl", "companyUrl", "newsletterUrl")
_OWN_TARGETS: Final = {
    "st.acceptInvitation": _INVITERS,
    "st.ignoreInvitation": _INVITERS,
}

# Parameters that distinguish two acts of one action type.
_VARIANTS: Final = ("companyUrl", "operation", "skillName")

# Actions nested in these have the same target.
_SAME_TARGET: Final[frozenset[type[Scope]]] = frozenset(
    [
        *(
            StPersonPageScope,
            NvPersonPageScope,
            StPostPageScope,
            StCompanyPageScope,
            NvCompanyPageScope,
        ),
        *(StConversationScope, StSkillListScope, StSkillScope),
    ]
)

ACTS_PREFIX: Final = "to-"
"""The prefix of the keys of acts, which those of definitions do not have."""

_STRUCTURE: Final = {"actionType", "label", "then"}


@attrs.frozen(kw_only=True)
class Act:
    """One kind of writing action, and its target."""

    action_type: str
    """The API's name of the action."""
    kind: str
    """The action type, and what else distinguishes acts, such as a skill."""
    target: str | None
    """The canonical URL or id; None if the action has no target of its own."""
    detail: str
    """The JSON that identifies an act without a target."""
    listed: bool
    """Whether its targets come from a list, and are known only while it runs."""
    known: bool
    """Whether this version knows the action; an unknown one may do anything."""
    path: str
    """The place of the action in the tree, such as ``root.then[0]``."""


@attrs.frozen
class _Position:
    """The place where an action is nested."""

    path: str
    targets: tuple[str, ...] = ()
    """The targets that it inherits."""
    listed: bool = False
    above: tuple[Any, ...] = ()
    """The actions above it, without what is nested in them."""


def acts_of(definition: Any) -> tuple[Act, ...]:
    """Return the acts of a workflow, in the order of its tree.

    Args:
        definition: The workflow as JSON values; it need not be valid.
    """
    if isinstance(definition, list):
        places = [(node, _Position(f"root[{n}]")) for n, node in enumerate(definition)]
    else:
        places = [(definition, _Position("root"))]
    return tuple(act for node, place in places for act in _acts(node, place))


def acts_by_digest(definition: Any) -> dict[bytes, Act]:
    """Return the acts of a workflow that have a target, by digests of kind and target.

    Journals keep the digests, so an act must have the same one in every version.

    Args:
        definition: The workflow as JSON values; it need not be valid.
    """
    found: dict[bytes, Act] = {}
    for act in acts_of(definition):
        if act.target is not None:
            data = f"{act.kind} {act.target}".encode(errors="surrogatepass")
            found.setdefault(hashlib.blake2b(data, digest_size=16).digest(), act)
    return found


def acts_key(definition: Any) -> str | None:
    """Return a key that all workflows with the same acts share; None without acts.

    Args:
        definition: The workflow as JSON values.
    """
    acts = {(act.kind, act.target or "", act.detail) for act in acts_of(definition)}
    if not acts:
        return None
    return f"{ACTS_PREFIX}{_digest(sorted(acts))}"


def definition_key(definition: Any) -> str:
    """Return a key that only equal workflows share.

    Args:
        definition: The workflow as JSON values.
    """
    return _digest(definition)


def _digest(value: Any) -> str:
    # Sorted, because the order of parameters does not matter.
    text = json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _acts(node: Any, place: _Position) -> Iterator[Act]:
    """Yield the acts of an action and of all that is nested in it."""
    if not isinstance(node, dict):
        return
    action_type = node.get("actionType")
    cls = ACTIONS.get(action_type) if isinstance(action_type, str) else None
    own = _targets(node, cls)
    targets = own or place.targets
    if cls is None or cls.effect == "write":
        yield from _acts_here(node, attrs.evolve(place, targets=targets), own=own)
    then = node.get("then", [])
    same = cls is not None and cls.opens in _SAME_TARGET
    # An action of an unknown type may open a list.
    below = _Position(
        place.path,
        targets if same else (),
        (place.listed and not own) or not same,
        (*place.above, {name: node[name] for name in node if name != "then"}),
    )
    for n, child in enumerate(then if isinstance(then, list) else [then]):
        yield from _acts(child, attrs.evolve(below, path=f"{place.path}.then[{n}]"))


def _acts_here(
    node: dict[str, Any], place: _Position, *, own: tuple[str, ...]
) -> Iterator[Act]:
    variants = [
        normalize_url(node[name])
        for name in _VARIANTS
        if isinstance(node.get(name), str) and normalize_url(node[name]) not in own
    ]
    action_type = str(node.get("actionType"))
    act = Act(
        action_type=action_type,
        kind=" ".join([action_type, *variants]),
        target=None,
        detail="",
        listed=False,
        known=action_type in ACTIONS,
        path=place.path,
    )
    for target in place.targets:
        yield attrs.evolve(act, target=target)
    if not place.targets:
        # In a list the text is not what identifies it; without a target, it is.
        what = {} if place.listed else _without(node, _STRUCTURE)
        above = [_without(each, {"label"}) for each in place.above]
        detail = json.dumps([*above, what], sort_keys=True)
        yield attrs.evolve(act, detail=detail, listed=place.listed)


def _without(node: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: node[name] for name in node if name not in names}


@functools.cache
def _target_kinds() -> dict[str, TargetKind]:
    """Return the kinds of targets of parameters, by their JSON names."""
    found: dict[str, TargetKind] = {}
    for cls in ACTIONS.values():
        for field in attrs.fields(cls):
            known = field.metadata.get(METADATA_KEY)
            if known is not None and known.kind is not None:
                found[json_name(field.name)] = known.kind
    return found


def _targets(node: dict[str, Any], cls: Any) -> tuple[str, ...]:
    """Return the canonical targets that an action has of its own."""
    kinds = _target_kinds()
    if cls is None:
        names: Any = kinds
    else:
        declared = (json_name(name) for name in cls.targets)
        names = (*declared, *_OWN_TARGETS.get(cls.action_type, ()))
    values = {
        normalize_url(node[name], kinds[name])
        for name in names
        if name in kinds and isinstance(node.get(name), str)
    }
    return tuple(sorted(values))
