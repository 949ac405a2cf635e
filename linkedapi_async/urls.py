"""LinkedIn URLs: one canonical form per target, and a check of its kind.

A target is what an action acts on: a person, a company, a post. One target has many
spellings, such as ``linkedin.com/in/Ada`` and ``https://de.linkedin.com/in/ada/?trk=x``.

The canonical form is for comparing. It is never sent: the API receives the caller's
text. Public names are compared without case. The case of ids such as ``ACoAAB…``
counts.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Iterator
from typing import Final, Literal, NamedTuple, TypeAlias, get_args
from unicodedata import normalize
from urllib.parse import parse_qsl, quote, unquote


__all__ = [
    "Aliases",
    "TargetKind",
    "TargetProblem",
    "aliases_in",
    "check_target",
    "normalize_url",
    "same_target",
    "target_kind",
]

TargetKind: TypeAlias = Literal[
    "person",
    "company",
    "post",
    "comment",
    "job",
    "newsletter",
    "nvPerson",
    "nvCompany",
    "thread",
]
"""The kinds of targets; ``nv`` marks those of Sales Navigator's parameters."""

# A URL of an unknown form may name a target; "no target" is a URL that certainly does
# not.
_UrlKind: TypeAlias = TargetKind | Literal["unknown", "short link", "no target", "text"]

_SITE: Final = "https://www.linkedin.com"

_NOUNS: Final[dict[_UrlKind, str]] = {
    "person": "a person",
    "company": "a company",
    "post": "a post",
    "comment": "a comment",
    "job": "a job",
    "newsletter": "a newsletter",
    "nvPerson": "a person in Sales Navigator",
    "nvCompany": "a company in Sales Navigator",
    "thread": "a conversation",
}
_EXPECTED: Final[dict[TargetKind, str]] = {
    "person": f"the URL of a person, such as {_SITE}/in/ada",
    "company": f"the URL of a company, such as {_SITE}/company/acme",
    "post": f"the URL of a post, such as {_SITE}/feed/update/urn:li:activity:7461747",
    "comment": "the URL of a comment, with dashCommentUrn in it as LinkedIn copies it",
    "job": f"the URL of a job, such as {_SITE}/jobs/view/4012345",
    "newsletter": f"the URL of a newsletter, such as {_SITE}/newsletters/news-6712345",
    "nvPerson": f"the hashed URL of a person, such as {_SITE}/in/ACoAAB…",
    "nvCompany": f"the numeric URL of a company, such as {_SITE}/company/1035",
    "thread": "the id of a conversation, such as 2-YWRh…",
}

# Characters that are not visible: white space, control and zero-width characters.
_BLANK_RANGES: Final = (
    *("\x00 ", "\x7f\xa0", "\xad\xad", "\u061c\u061c", "\u1680\u1680", "\u180e\u180e"),
    *("\u2000\u200f", "\u2028\u202f", "\u205f\u206f", "\u3000\u3000", "\ufeff\ufeff"),
    *("\ufff9\ufffb", "\U000e0000\U000e007f"),
)
_BLANKS: Final = "".join(
    chr(point)
    for first, last in _BLANK_RANGES
    for point in range(ord(first), ord(last) + 1)
)
_BLANK: Final = re.compile("[" + "".join(map("-".join, _BLANK_RANGES)) + "]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
# Inside a name the two joiners are letters: Persian and emoji are written with them.
_MISPLACED: Final = re.compile(
    rf"(?![\u200c\u200d]){_BLANK.pattern}|{_SURROGATE.pattern}"
)
_RESERVED: Final = re.compile(rf"{_BLANK.pattern}|[%/?#\\\udc80-\udcff]")

_SCHEME: Final = re.compile(r"^(?:https?:)?//", re.IGNORECASE | re.ASCII)
_HOST: Final = re.compile(
    r"(?:(?:www|m|touch|[a-z]{2})\.)?linkedin\.com\.?(?::80|:443)?"
)
_SHORT_HOST: Final = re.compile(r"(?:www\.)?lnkd\.in")
_SUBDOMAIN: Final = re.compile(r"(?:[a-z0-9-]+\.)+linkedin\.com|(?:www\.)?linkedin\.cn")

# An id is base64: two bytes for its sort, two zero bytes, and the rest. ACo is of the
# standard product, ACw of Sales Navigator, AEM of Recruiter.
_HASH: Final = r"A(?:Co|Cw|EM)AA[\w-]+"
_NUMBER: Final = "[0-9]+"
_THREAD: Final = "2-[A-Za-z0-9_-]+={0,2}"
_LEAD: Final = r"([\w-]+)(?:,[^/]*)?"
_POST_TYPES: Final = {name.lower(): name for name in ("activity", "share", "ugcPost")}
# Paths are matched with what is reserved escaped, so no usual name has a % in it; but
# the joiners are escaped too. LinkedIn puts "unavailable" for pages that it does not
# show, and "me" for the account's own.
_SLUG: Final = "(?!unavailable(?:/|$))((?:[^/%]|%E2%80%8[CD])+)"
_PUNCTUATION: Final = re.escape("".join(sorted(set(string.punctuation) - set("-._~"))))
_PUBLIC_NAME: Final = "(?!me(?:/|$))" + _SLUG.replace("/%", _PUNCTUATION)

# The canonical forms of what several spellings name.
_PERSON: Final = _SITE + "/in/{}"
_COMPANY: Final = _SITE + "/company/{}"
_POST: Final = _SITE + "/feed/update/urn:li:{}"
_COMMENT: Final = _POST + "?dashCommentUrn=urn:li:fsd_comment:({},urn:li:{})"
_JOB: Final = _SITE + "/jobs/view/{}"
_NV_PERSON: Final = _SITE + "/sales/lead/{}"
_NV_COMPANY: Final = _SITE + "/sales/company/{}"

# What a path names, the path, and the canonical form; a post's may be a URN. A path with
# (?i:…) is matched as it is, because its id has a case, the others in lower case. The
# patterns are compiled on first use, because most programs need few of them. The first
# that matches counts, so forms with an id come before those with a public name.
_PATHS: Final[tuple[tuple[TargetKind, str, str], ...]] = (
    ("person", f"(?i:in)/({_HASH})", _PERSON),
    ("person", f"in/{_PUBLIC_NAME}", _PERSON),
    ("company", f"(company|school|showcase)/{_SLUG}", _SITE + "/{}/{}"),
    (
        "post",
        f"posts/(?:[^/]*-)?({'|'.join(_POST_TYPES)})-({_NUMBER})(?:-[^/]*)?",
        "urn:li:{}:{}",
    ),
    ("post", "feed/update/(urn:li:[^/]+)", "{}"),
    ("post", "(?i:posts)/([^/%]+)", _SITE + "/posts/{}"),
    ("job", f"jobs/view/(?:[^/]*-)?({_NUMBER})", _JOB),
    ("newsletter", "newsletters/(?:[^/]*-)?([0-9]{10,})", _SITE + "/newsletters/{}"),
    ("nvPerson", f"(?i:sales/(?:lead|people))/{_LEAD}", _NV_PERSON),
    ("nvCompany", f"sales/company/({_NUMBER})", _NV_COMPANY),
    ("thread", f"(?i:messaging/thread|sales/inbox)/({_THREAD})", "{}"),
)
_PAGES: Final[tuple[tuple[TargetKind, str, str, bool], ...]] = tuple(
    (kind, f"{path}(?:/.*)?", canonical, "(?i:" in path)
    for kind, path, canonical in _PATHS
)
# LinkedIn puts these before the path of a page: in e-mails, on phones, in frames.
_PREFIXES: Final = {"comm", "embed", "mwlite"}
# Paths that name a target only with one more part.
_INCOMPLETE: Final = {
    *("", "in", "company", "school", "showcase", "posts", "feed", "feed/update"),
    *("jobs", "jobs/view", "newsletters", "sales", "sales/lead", "sales/company"),
}

_URN_START: Final = re.compile(r"urn(?::|%3A)li(?::|%3A)", re.IGNORECASE | re.ASCII)
# Entity types of URNs, what these name, the id, and the canonical form.
_ENTITIES: Final[tuple[tuple[str, TargetKind, str, str], ...]] = (
    ("fsd_profile fs_profile fs_miniProfile", "person", f"({_HASH})", _PERSON),
    ("member", "person", f"({_NUMBER})", "urn:li:member:{}"),
    ("person", "person", r"([\w-]+)", "urn:li:person:{}"),
    ("organization company fsd_company", "company", f"({_NUMBER})", _COMPANY),
    ("fs_miniCompany fs_normalized_company", "company", f"({_NUMBER})", _COMPANY),
    *(
        (name, "post", f"({_NUMBER})", _POST.format(f"{name}:{{}}"))
        for name in _POST_TYPES.values()
    ),
    ("jobPosting fsd_jobPosting fs_normalized_jobPosting", "job", f"({_NUMBER})", _JOB),
    ("fs_salesProfile", "nvPerson", rf"\(?{_LEAD}", _NV_PERSON),
    ("fs_salesCompany", "nvCompany", f"({_NUMBER})", _NV_COMPANY),
    ("fsd_conversation messagingThread", "thread", f"({_THREAD})", "{}"),
    ("msg_conversation", "thread", rf"\(.*,({_THREAD})\)", "{}"),
)
_URNS: Final[dict[str, tuple[TargetKind, str, str]]] = {
    name.lower(): (kind, id_, canonical)
    for names, kind, id_, canonical in _ENTITIES
    for name in names.split()
}
# In the query of a post's URL. That of a reply names the comment above it, too.
_COMMENT_FIELDS: Final = ("dashReplyUrn", "replyUrn", "dashCommentUrn", "commentUrn")
_COMMENT_URNS: Final = (
    r"urn:li:fsd_comment:\((?P<id>[0-9]+),urn:li:(?P<type>\w+):(?P<post>[0-9]+)\)",
    r"urn:li:comment:\((?:urn:li:)?(?P<type>\w+):(?P<post>[0-9]+),(?P<id>[0-9]+)\)",
)

# Characters of a value that an error shows.
_SHOWN: Final = 200

# The names of the fields in which results, events and messages have targets.
_NAME_FIELDS: Final = (
    *("publicUrl", "hashedUrl", "urn", "profileUrl", "engagerUrl", "engagerUrn"),
    *("personUrl", "personPublicUrl", "personHashedUrl", "personUrn"),
    *("companyUrl", "companyHashedUrl", "companyUrn", "jobUrl"),
    *("url", "activityUrn", "postUrl", "postUrn", "commentUrl", "commentUrn"),
)
# The id that ends a name. It is permanent; a public name is not, not even of digits.
_ID: Final = re.compile(r"(?<=[/:])(?:(A(?:Co|Cw|EM))AA[\w-]+|(?<!/in/)[0-9]+)$")


def normalize_url(url: str, kind: TargetKind | None = None) -> str:
    """Return the one canonical form of all spellings of a target.

    Scheme, host, case, percent-encoding, Unicode, sub-pages, language, query and
    fragment make no difference; a URN is the URL of what it names. If the form of a URL
    is not known, only changes that certainly make no difference are made. From text
    that is no URL, only blanks around it are removed. Two public names never become
    one.

    Args:
        url: A URL, with or without a scheme, or a URN.
        kind: What the URL is used as. With ``"post"`` the URL of a comment is that of
            its post; otherwise it names the comment.
    """
    found, canonical = _read(url)
    if (kind, found) == ("post", "comment"):
        return _read(url.partition("?")[0])[1]
    return canonical


def target_kind(url: str) -> TargetKind | None:
    """Return what a URL or URN names; None if that is unknown, or if it names nothing.

    Args:
        url: A URL, with or without a scheme, or a URN.
    """
    found = _read(url)[0]
    return next((kind for kind in get_args(TargetKind) if kind == found), None)


def same_target(a: str, b: str, aliases: Aliases | None = None) -> bool:
    """Return whether two URLs or URNs certainly name the same target.

    Args:
        a: One of them.
        b: The other.
        aliases: Different names that are known to belong to one target.
    """
    known = aliases or Aliases()
    return known.canonical(a) == known.canonical(b)


class Aliases:
    """Names of targets that completions have connected.

    A person has a public URL, a hashed URL and a URN. It is known that two of them belong
    together only after a result contained both. `aliases_in` finds them in a completion::

        for names in aliases_in(completion.raw):
            aliases.connect(*names)

    Ids are permanent, public names are not: a person can give one up, and another can
    take it. So a public name leaves its target when it is connected to another id.
    """

    __slots__ = ("_targets",)

    def __init__(self) -> None:
        self._targets: dict[str, set[str]] = {}

    def connect(self, *names: str) -> None:
        """Record that *names* belong to one target, as far as they are of one kind.

        A name of no known kind of target, such as ``/in/me``, is left out. Ids that
        contradict each other are not connected.
        """
        for group in _by_kind(names):
            self._connect(set(group))

    def _connect(self, names: set[str]) -> None:
        ids = filter(sort_of_id, names)
        target = names.union(*map(self.names, ids))
        moved = {n for n in names if _contradictory(target | self.names(n))}
        target.update(*map(self.names, names - moved))
        if _contradictory(target):
            return
        for name in moved:
            self._targets[name].discard(name)
        self._targets.update(dict.fromkeys(target, target))

    def names(self, name: str) -> frozenset[str]:
        """Return the canonical forms of all known names of a target.

        It is one form if no other is known. A key that was made from one of them before
        others were connected is still among them.
        """
        canonical = normalize_url(name)
        return frozenset(self._targets.get(canonical, (canonical,)))

    def canonical(self, name: str) -> str:
        """Return the one name that represents a target: a public URL if there is one.

        It may change when more names are connected; see `names`.
        """
        return min(self.names(name), key=lambda known: (sort_of_id(known), known))


def aliases_in(data: object) -> Iterator[tuple[str, ...]]:
    """Yield the canonical names of every target to which *data* gives several.

    Args:
        data: JSON of the API as Python objects: a completion, an event, a message.
    """
    waiting = [data]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            texts = (found.get(field) for field in _NAME_FIELDS)
            yield from _by_kind(text for text in texts if isinstance(text, str))
            waiting.extend(found.values())
        elif isinstance(found, list):
            waiting.extend(found)


def _by_kind(names: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """Yield the canonical forms of those *names* that are of the same kind."""
    groups: dict[str, dict[str, None]] = {}
    for found, canonical in map(_read, names):
        if found in _NOUNS:
            kind = found.removeprefix("nv").lower()
            groups.setdefault(kind, {})[canonical] = None
    yield from (tuple(group) for group in groups.values() if len(group) > 1)


def sort_of_id(canonical: str) -> str:
    """Return a name without its id, or "" if it has none."""
    sort = _ID.sub(r"\1", canonical)
    return "" if sort == canonical else sort


def _contradictory(names: Iterable[str]) -> bool:
    """Return whether two of *names* are ids of one sort, because no target has two."""
    sorts = [sort for name in names if (sort := sort_of_id(name))]
    return len(set(sorts)) < len(sorts)


class TargetProblem(NamedTuple):
    """A problem with the value of a target parameter."""

    reason: str
    """The problem as a predicate, which follows the name of the parameter."""
    certain: bool
    """Whether the value is certainly wrong; if not, the API may accept it."""


def check_target(kind: TargetKind, value: str) -> TargetProblem | None:
    """Return the problem with a target, or None without a problem.

    A value with a placeholder (``{{…}}``) counts as right until it is filled.

    Args:
        kind: What the parameter names.
        value: Its value, which is sent as it is unless the problem is certain.
    """
    if "{{" in value:
        return None
    shown = repr(value) if len(value) <= _SHOWN else f"{value[:_SHOWN]!r}…"
    if value != value.strip(_BLANKS):
        reason = "must have no white space or invisible characters around it, got "
        return TargetProblem(reason + shown, certain=True)
    found, canonical = _read(value)
    doubt = _doubt(kind, found, value, canonical)
    if doubt is None:
        got = f"{_NOUNS[found]}: {shown}" if found in _NOUNS else shown
        return TargetProblem(f"must be {_EXPECTED[kind]}, got {got}", certain=True)
    if _MISPLACED.search(value):
        reason = "must have no white space or invisible characters in it, got "
        return TargetProblem(reason + shown, certain=True)
    if doubt:
        reason = f"{doubt}: {shown}; expected {_EXPECTED[kind]}; it is sent as it is"
        return TargetProblem(reason, certain=False)
    return None


def _doubt(kind: TargetKind, found: _UrlKind, value: str, canonical: str) -> str | None:
    """Return why a target may be wrong: "" if it is right, None if it is wrong."""
    match kind, found:
        case ("person", "nvPerson") | ("company", "nvCompany"):
            doubt = "is a Sales Navigator URL"
        case "nvPerson", "person":
            # An id of an unknown form has capitals, which public names rarely have.
            public = "/in/" in canonical and not sort_of_id(canonical)
            doubt = "is a public URL" if public and value == value.lower() else ""
        case "nvCompany", "company":
            doubt = "" if sort_of_id(canonical) else "is a public URL"
        case (("company" | "nvCompany"), "text") if re.fullmatch(_NUMBER, value):
            doubt = "is a number"
        case "post", "comment":
            doubt = "is the URL of a comment"
        case "thread", "thread":
            doubt = "" if value == canonical else "is more than an id"
        case "thread", "text" if re.fullmatch(r"[^\s@]+", value):
            doubt = ""
        case _, "short link":
            doubt = "is a short link"
        case _, "unknown":
            doubt = "is of no known form"
        case _:
            return "" if found == kind else None
    return doubt


def _read(text: str) -> tuple[_UrlKind, str]:
    """Return what *text* names, and its canonical form."""
    text = _SURROGATE.sub("\ufffd", text).strip(_BLANKS)
    if _URN_START.match(text):
        return _read_urn(_decoded(text))
    if re.fullmatch(_HASH, text):
        return "person", _PERSON.format(text)
    if re.fullmatch(_THREAD, text):
        return "thread", text
    return _read_url(text)


def _read_url(text: str) -> tuple[_UrlKind, str]:
    """Return what a URL names, and its canonical form."""
    rest, _, fragment = text.partition("#")
    rest, _, query = rest.partition("?")
    address = _SCHEME.sub("", rest)
    host, _, path = address.partition("/")
    name = host.lower()
    parts = _parts(path)
    found: _UrlKind = "unknown"
    if _HOST.fullmatch(name):
        site = _SITE
        if target := _read_path(parts, query):
            return target
        if "/".join(parts).lower() in _INCOMPLETE and not query:
            found = "no target"
    elif _SHORT_HOST.fullmatch(name):
        site, found = "https://lnkd.in", "short link"
    elif _SUBDOMAIN.fullmatch(name):
        site = f"https://{name}"
    elif address != rest:
        scheme = rest.removesuffix(address)
        return "no target", scheme.lower() + name + text[len(scheme) + len(host) :]
    else:
        return "text", text
    pieces = [f"/{_escaped(part)}" for part in parts]
    pieces += [f"?{_BLANK.sub(_quoted, query)}"] if query else []
    pieces += [f"#{_BLANK.sub(_quoted, fragment)}"] if fragment else []
    return found, site + "".join(pieces)


def _read_path(parts: list[str], query: str) -> tuple[_UrlKind, str] | None:
    """Return what a page of LinkedIn is about, if its path is of a known form."""
    if parts and parts[0].lower() in _PREFIXES:
        parts = parts[1:]
    path = "/".join(map(_escaped, parts))
    lower = "/".join(_escaped(normalize("NFC", part.lower())) for part in parts)
    for kind, pattern, canonical, cased in _PAGES:
        if found := re.fullmatch(pattern, path if cased else lower):
            name = canonical.format(*found.groups())
            return _read_post(name, query) if kind == "post" else (kind, name)
    return None


def _read_post(name: str, query: str) -> tuple[_UrlKind, str] | None:
    """Return a post, or the comment on it that *query* names."""
    fields = dict(parse_qsl(query))
    comment = next((fields[f] for f in _COMMENT_FIELDS if f in fields), None)
    if comment is None and not name.startswith("urn:"):
        return "post", name
    target = _read_urn(name if comment is None else comment)
    return target if target[0] == ("post" if comment is None else "comment") else None


def _read_urn(urn: str) -> tuple[_UrlKind, str]:
    """Return what a URN names, and its canonical form."""
    for pattern in _COMMENT_URNS:
        comment = re.fullmatch(pattern, urn, re.IGNORECASE | re.ASCII)
        if comment and (type_ := _POST_TYPES.get(comment["type"].lower())):
            post = f"{type_}:{comment['post']}"
            return "comment", _COMMENT.format(post, comment["id"], post)
    name, _, id_ = urn[len("urn:li:") :].partition(":")
    if entity := _URNS.get(name.lower()):
        kind, pattern, canonical = entity
        if found := re.fullmatch(pattern, id_):
            return kind, canonical.format(found[1])
    return "unknown", f"urn:li:{_escaped(urn[len('urn:li:') :])}"


def _parts(path: str) -> list[str]:
    """Return the parts of a path, decoded, as a browser reads it."""
    parts: list[str] = []
    for part in map(_decoded, path.split("/")):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return parts


def _decoded(text: str) -> str:
    # Bytes that are not UTF-8 become surrogates, which _escaped turns into the same
    # bytes.
    return normalize("NFC", unquote(text, errors="surrogateescape"))


def _escaped(text: str) -> str:
    return _RESERVED.sub(_quoted, text)


def _quoted(found: re.Match[str]) -> str:
    return quote(found[0], safe="", errors="surrogateescape")
