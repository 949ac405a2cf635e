"""A made-up LinkedIn, in which a URL determines all facts of its entity.

Nothing is stored: each item of a list can be opened by its URL, in any order and after a
restart. Most facts follow from a hash of the URL. Facts that a filter decides are encoded
in a tag at the end of the URL.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias, TypeVar
from urllib.parse import quote, unquote

import attrs


T = TypeVar("T")
Facts: TypeAlias = dict[str, Any]
"""The facts of an entity, by the attributes of the result classes."""

SITE = "https://www.linkedin.com"
NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
"""The time of the made-up world."""
NOW_MS = int(NOW.timestamp() * 1000)
DAY_MS = 86_400_000
NOTHING: Mapping[str, Any] = {}
_EARLIEST_MS = NOW_MS - 15 * 365 * DAY_MS

FIRST_NAMES = (
    *("Amara", "Anna", "Ben", "Carla", "Chen", "Daniel", "Elena", "Farid", "Grace"),
    *("Hiro", "Ingrid", "Jonas", "Kavya", "Lars", "Maria", "Nadia", "Omar", "Priya"),
    *("Quinn", "Rosa", "Sam", "Tomas", "Uma", "Victor", "Wanda", "Yusuf", "Zoe"),
)
LAST_NAMES = (
    *("Adeyemi", "Bauer", "Costa", "Dubois", "Eriksen", "Fischer", "Garcia", "Haddad"),
    *("Ito", "Jensen", "Kowalski", "Larsen", "Moreau", "Nguyen", "Okafor", "Patel"),
    *("Rossi", "Silva", "Tanaka", "Usman", "Varga", "Weber", "Yilmaz", "Zhang"),
)
POSITIONS = (
    *("Software Engineer", "Account Executive", "Product Manager", "Data Analyst"),
    *("Customer Success Manager", "Designer", "Recruiter", "DevOps Engineer"),
    *("Marketing Manager", "Research Scientist", "Accountant", "Support Engineer"),
)
DECISION_MAKERS = (
    *("Founder & CEO", "Chief Technology Officer", "Chief Operating Officer"),
    *("Chief Financial Officer", "VP of Sales", "VP of Engineering"),
    *("Head of Marketing", "Head of People"),
)
COMPANY_STEMS = (
    *("Northern", "Bright", "Copper", "Delta", "Ember", "Fern", "Granite", "Harbor"),
    *("Indigo", "Juniper", "Keystone", "Lumen", "Meadow", "Nova", "Orchard", "Pine"),
    *("Quartz", "River", "Summit", "Tidal"),
)
COMPANY_TRADES = (
    *("Robotics", "Analytics", "Logistics", "Software", "Energy", "Health", "Foods"),
    *("Media", "Systems", "Labs", "Capital", "Mobility", "Security", "Education"),
    *("Materials", "Networks", "Studios", "Partners", "Consulting", "Biotech"),
)
INDUSTRIES = (
    *("Software Development", "Robotics Engineering", "Financial Services"),
    *("Logistics and Supply Chain", "Biotechnology Research", "Advertising Services"),
    *("Renewable Energy", "Higher Education", "Food Production"),
)
PLACES = {
    "Berlin, Germany": "DE",
    "Lisbon, Portugal": "PT",
    "London, United Kingdom": "GB",
    "Madrid, Spain": "ES",
    "Nairobi, Kenya": "KE",
    "New York, United States": "US",
    "Paris, France": "FR",
    "San Francisco, United States": "US",
    "Sao Paulo, Brazil": "BR",
    "Singapore": "SG",
    "Tokyo, Japan": "JP",
    "Toronto, Canada": "CA",
}
SCHOOLS = (
    *("Harbor University", "Institute of Applied Sciences", "Northern Business School"),
    *("Technical University of Riverton", "College of Design", "Summit University"),
)
SKILLS = (
    *("Python", "Negotiation", "Project Management", "SQL", "Leadership", "Kubernetes"),
    *("Public Speaking", "Copywriting", "Machine Learning", "Accounting", "Figma"),
)
LANGUAGES = (
    "English",
    "German",
    "Spanish",
    "French",
    "Portuguese",
    "Hindi",
    "Japanese",
)
TOPICS = (
    *("hiring engineers", "a new release", "lessons from a hard quarter"),
    *("customer interviews", "remote teams", "open source", "a conference talk"),
)
WORKPLACES = {"onSite": "On-site", "remote": "Remote", "hybrid": "Hybrid"}
EMPLOYMENTS = {
    "fullTime": "Full-time",
    "partTime": "Part-time",
    "contract": "Contract",
    "internship": "Internship",
}
POST_KINDS = ("text", "images", "text", "video", "documents", "poll", "repost", "text")
DEGREES = ("1st", "2nd", "3rd+")

_TAGGED = re.compile(r"(.+)-x([a-z2-7]{8,})", re.DOTALL)
_TAGGED_JOB = re.compile(r"(?P<tagged>.+-(\d{1,18})-x[a-z2-7]{8,})-\2", re.DOTALL)
_MEMBER = re.compile(r"(?P<head>.+?)-at-(?P<company>.+)-(?P<number>\d{1,18})")
_POST = re.compile(
    r"(?:(?P<author>.+)_(?P<topic>[^_]*)-)?activity[-:](?P<id>\d{1,20})(?:-(?P<kind>[pc]))?"
)
_HASHED = "ACoAA"
_PERSON_URN = "urn:li:member:"
_COMPANY_URN = "urn:li:organization:"
# In bytes: at most 2,409 digits, and Python refuses to convert more than 4,300.
_LONGEST_NUMBERED = 1000


@attrs.frozen
class SeededRandom:
    """Random numbers that depend on the seed, the key and the question alone."""

    seed: int
    key: str

    def number(self, what: object, below: int) -> int:
        """Return a number from 0 to less than *below*."""
        # A digest, because the hash of a text differs from process to process.
        text = f"{self.seed}/{self.key}/{what}".encode()
        digest = hashlib.blake2b(text, digest_size=8).digest()
        return int.from_bytes(digest) % below

    def between(self, what: object, low: int, high: int) -> int:
        """Return a number from *low* to *high*."""
        return low + self.number(what, high - low + 1)

    def pick(self, what: object, options: Sequence[T]) -> T:
        """Return one of *options*."""
        return options[self.number(what, len(options))]

    def share(self, what: object) -> float:
        """Return a fraction, greater than 0 and less than 1."""
        return (self.number(what, 1 << 52) + 0.5) / (1 << 52)


@attrs.frozen
class Entity:
    """A person, company, post or job that a URL identifies."""

    key: str
    """Its part of the URL, on which all facts depend."""
    facts: Facts


def slugified(text: str) -> str:
    """Return *text* as a part of a URL."""
    return re.sub(r"[\W_]+", "-", text.lower()).strip("-")


def last_part(url: str) -> str:
    """Return the part of a URL that identifies an entity."""
    path = re.split(r"[?#]", url)[0]
    return unquote(path.rstrip("/").rpartition("/")[2]) or url


def tagged(slug: str, facts: Mapping[str, Any]) -> str:
    """Return *slug* with a tag that encodes *facts*."""
    if not facts:
        return slug
    text = json.dumps(facts, ensure_ascii=False, separators=(",", ":"))
    tag = base64.b32encode(text.encode()).decode().rstrip("=").lower()
    return f"{slug}-x{tag}"


def untagged(slug: str) -> tuple[str, Facts]:
    """Return a slug without its tag, and the facts of the tag."""
    found = _TAGGED.fullmatch(slug)
    if found is None:
        return slug, {}
    tag = found[2].upper()
    try:
        facts = json.loads(base64.b32decode(tag + "=" * (-len(tag) % 8)))
    except ValueError:
        return slug, {}
    return (found[1], facts) if isinstance(facts, dict) else (slug, {})


def moment(ms: int) -> str:
    """Return Unix milliseconds in ISO 8601."""
    when = datetime.fromtimestamp(ms / 1000, UTC)
    return when.isoformat(timespec="seconds").replace("+00:00", "Z")


def country_of(place: str) -> str:
    """Return the country code of a place in free form."""
    fits = (
        code
        for name, code in PLACES.items()
        if place in name or name.partition(",")[0] in place
    )
    return next(fits, "US")


class World:
    """All people, companies, posts and jobs of one seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def random(self, key: str) -> SeededRandom:
        """Return the random numbers that belong to *key*."""
        return SeededRandom(self.seed, key)

    # People

    def person(self, url: str) -> Entity:
        """Return the person of a public or hashed URL, or of a URN."""
        part = last_part(url)
        digits = part.removeprefix(_PERSON_URN)
        slug = _unhashed(part) if digits == part else _unnumbered(digits)
        base, given = untagged(slug)
        random = self.random(f"person/{slug}")
        member = _MEMBER.fullmatch(base)
        company = self.company(
            member["company"] if member else slugified(self._company_name(random))
        )
        first, last = _person_names(member["head"] if member else base, given, random)
        number = int(member["number"]) if member else 0
        decides = 1 <= number <= self.decision_maker_count(company)
        by_rank = DECISION_MAKERS[number - 1] if decides else random.pick(1, POSITIONS)
        position = given.get("position", by_rank)
        place = given.get("location") or random.pick("location", list(PLACES))
        topic = f" · {given['term']}" if "term" in given else ""
        industry = given.get("industry", company.facts["industry"])
        facts: Facts = {
            "name": f"{first} {last}",
            "public_url": f"{SITE}/in/{quote(slug, safe='')}",
            "hashed_url": f"{SITE}/in/{_hashed(slug)}",
            "headline": f"{position} at {company.facts['name']}{topic}",
            "location": place,
            "country_code": country_of(place),
            "position": position,
            "company_name": company.facts["name"],
            "company_hashed_url": company.facts["hashed_url"],
            "company_urn": company.facts["urn"],
            "about": f"{position} in {industry}.",
            "urn": f"{_PERSON_URN}{_numbered(slug)}",
            "avatar_url": f"https://media.licdn.com/dms/image/{random.number('a', 10**9)}",
            "viewer_state": {
                "connection_degree": given.get("degree", random.pick("d", DEGREES))
            },
            "schools": [given["school"]] if "school" in given else [],
            "previous_companies": (
                [given["previous_company"]] if "previous_company" in given else []
            ),
        }
        return Entity(slug, facts)

    def member(
        self, company: str, number: int, given: Mapping[str, Any], *, key: str = ""
    ) -> Entity:
        """Return person *number* of a company.

        Args:
            company: The company's slug.
            number: From 1 on; the first ones are the decision makers.
            given: The facts that are already decided.
            key: Separates the people of other lists from the company's employees.
        """
        random = self.random(f"{key}/{company}/{number}")
        first = given.get("first_name") or random.pick("first", FIRST_NAMES)
        last = given.get("last_name") or random.pick("last", LAST_NAMES)
        head = slugified(f"{first} {last}") or "person"
        slug = f"{head}-at-{company}-{number}"
        return self.person(tagged(slug, given))

    def employee_count(self, company: Entity) -> int:
        """Return the number of a company's listed employees."""
        return self.random(f"company/{company.key}").between("staff", 3, 60)

    def decision_maker_count(self, company: Entity) -> int:
        """Return the number of a company's decision makers."""
        return min(
            self.random(f"company/{company.key}").between("deciders", 2, 8),
            self.employee_count(company),
        )

    # Companies

    def company(self, url: str) -> Entity:
        """Return the company of a public or hashed URL, or of a URN."""
        slug = _unnumbered(last_part(url).removeprefix(_COMPANY_URN))
        base, given = untagged(slug)
        random = self.random(f"company/{slug}")
        name = given.get("name") or _company_title(base) or self._company_name(random)
        place = given.get("location") or random.pick("location", list(PLACES))
        industry = given.get("industry") or random.pick("industry", INDUSTRIES)
        low, high = given.get("size") or (60, 900)
        number = _numbered(slug)
        home = slugified(name) or "company"
        facts: Facts = {
            "name": name,
            "public_url": f"{SITE}/company/{quote(slug, safe='')}",
            "hashed_url": f"{SITE}/company/{number}",
            "description": f"{name} works in {industry}.",
            "location": place,
            "headquarters": country_of(place),
            "industry": industry,
            "specialties": ", ".join(random.pick(i, SKILLS) for i in range(3)),
            "website": f"https://{home}.example",
            "employees_count": random.between("employees", low, high),
            "year_founded": random.between("founded", 1950, 2025),
            "urn": f"{_COMPANY_URN}{number}",
            "logo_url": f"https://media.licdn.com/dms/image/{random.number('l', 10**9)}",
        }
        return Entity(slug, facts)

    def company_named(self, name: str, given: Mapping[str, Any] = NOTHING) -> Entity:
        """Return the company with exactly this name."""
        slug = slugified(name) or "company"
        known = {} if _company_title(slug) == name else {"name": name}
        return self.company(tagged(slug, {**known, **given}))

    def found_company(
        self,
        random: SeededRandom,
        index: int,
        term: str | None,
        given: Mapping[str, Any],
    ) -> Entity:
        """Return company *index* of a search; each index gives a different one."""
        stems, trades = len(COMPANY_STEMS), len(COMPANY_TRADES)
        place = index + random.number("first", stems * trades)
        stem = COMPANY_STEMS[place % stems]
        trade = COMPANY_TRADES[place // stems % trades]
        again = index // (stems * trades)
        words = [term, stem, trade] if term else [stem, trade]
        name = " ".join(words) + (f" {again + 1}" if again else "")
        return self.company_named(name, given)

    def _company_name(self, random: SeededRandom) -> str:
        return f"{random.pick('stem', COMPANY_STEMS)} {random.pick('trade', COMPANY_TRADES)}"

    # Posts

    def post(self, url: str) -> Entity:
        """Return the post of a URL or URN."""
        part = last_part(url)
        found = _POST.search(part)
        random = self.random(f"post/{found['id'] if found else part}")
        ms = NOW_MS - random.between("age", 1, 400) * DAY_MS
        number = int(found["id"]) if found else _activity(random, ms, None)
        if _EARLIEST_MS < number >> 22 <= NOW_MS:
            ms = number >> 22
        kind = POST_KINDS[number % len(POST_KINDS)]
        topic = found["topic"] if found else None
        text = (topic or slugified(random.pick("topic", TOPICS))).replace("-", " ")
        author = self._author(found, random)
        reposts = kind == "repost"
        facts: Facts = {
            "url": url if "://" in url else f"{SITE}/feed/update/{url}",
            "time": moment(ms),
            "ms": ms,
            "type": "repost" if reposts else "original",
            "text": f"Some thoughts on {text}.",
            "repost_text": f"Worth reading: {text}." if reposts else None,
            "images": _files("jpg") if kind == "images" else [],
            "has_video": kind == "video",
            "has_poll": kind == "poll",
            "activity_urn": f"urn:li:activity:{number}",
            "author": author,
            "reposter": self._reposter(random) if reposts else None,
            "hashtags": [text.partition(" ")[0]],
            "mentions": [],
            "external_links": [],
            "document_slides": _files("png") if kind == "documents" else [],
            "video_thumbnail": _files("jpg")[0] if kind == "video" else None,
            "viewer_state": {
                "reaction": random.pick("reaction", (None, None, "like")),
                "is_own": False,
            },
            "feed_context": f"{author['name']} posted",
        }
        return Entity(part, facts)

    def written(
        self,
        author: Entity,
        *,
        ms: int,
        random: SeededRandom,
        topic: str | None = None,
        kind: str | None = None,
    ) -> Entity:
        """Return the post that *author* wrote at a time in Unix milliseconds."""
        letter = "p" if "headline" in author.facts else "c"
        text = slugified(topic or random.pick(f"{ms}/topic", TOPICS))
        number = _activity(random, ms, kind)
        part = f"{author.key}_{text}-activity-{number}-{letter}"
        return self.post(f"{SITE}/posts/{quote(part, safe='')}")

    def _author(self, found: re.Match[str] | None, random: SeededRandom) -> Facts:
        if found is None or found["author"] is None:
            return actor(self.random_person(random, "author"))
        of = self.company if found["kind"] == "c" else self.person
        return actor(of(found["author"]))

    def _reposter(self, random: SeededRandom) -> Facts:
        return {**actor(self.random_person(random, "reposter")), "viewer_state": None}

    def random_person(self, random: SeededRandom, what: object) -> Entity:
        """Return a person of a random company."""
        company = slugified(self._company_name(random))
        number = random.between(what, 1000, 9999)
        return self.member(company, number, {}, key=random.key)

    # Jobs

    def job(self, url: str) -> Entity:
        """Return the job of a URL."""
        part = last_part(url)
        numbered = _TAGGED_JOB.fullmatch(part)
        base, given = untagged(numbered["tagged"] if numbered else part)
        random = self.random(f"job/{part}")
        found = _MEMBER.fullmatch(base)
        id_ = re.search("(?:^|-)([0-9]{1,18})$", base)
        number = id_[1] if id_ else str(random.between("id", 10**9, 10**10))
        head = found["head"].replace("-", " ").title() if found else None
        name = found["company"] if found else slugified(self._company_name(random))
        company = self.company(name)
        easy = given.get("easy_apply", random.number("easy", 2) == 0)
        workplace = given.get("workplace") or random.pick("workplace", list(WORKPLACES))
        employment = given.get("employment") or random.pick("type", list(EMPLOYMENTS))
        least = random.between("pay", 40, 120) * 1000.0
        facts: Facts = {
            "job_id": number,
            "job_url": f"{SITE}/jobs/view/{quote(part, safe='')}",
            "title": head or random.pick("title", POSITIONS),
            "company_name": company.facts["name"],
            "company_url": company.facts["public_url"],
            "location": given.get("location") or company.facts["location"],
            "workplace_type": WORKPLACES.get(workplace, workplace),
            "employment_type": EMPLOYMENTS.get(employment, employment),
            "salary": {
                "currency": "usd",
                "min_amount": least,
                "max_amount": least * 1.25,
                "period": "yearly",
            },
            "easy_apply": easy,
            "urn": f"urn:li:jobPosting:{number}",
            "posted_date": f"{random.between('posted', 1, 4)}w",
            "applicants_count": random.number("n", 10 if given.get("few") else 200),
            "description": f"{company.facts['name']} is hiring.",
            "apply_url": None if easy else company.facts["website"],
            "is_similar_match": False,
        }
        return Entity(part, facts)

    def found_job(
        self,
        random: SeededRandom,
        index: int,
        term: str | None,
        given: Mapping[str, Any],
    ) -> Entity:
        """Return job *index* of a search; each index gives a different one."""
        name = given.get("company") or self._company_name(
            self.random(f"{random.key}/{index}")
        )
        company = self.company_named(name)
        title = slugified(term or random.pick(f"{index}/title", POSITIONS)) or "job"
        number = random.between(index, 10**6, 10**7) * 1000 + index
        decided = {key: value for key, value in given.items() if key != "company"}
        part = tagged(f"{title}-at-{company.key}-{number}", decided)
        if decided:
            part += f"-{number}"  # the URL of a job ends with its id
        return self.job(f"{SITE}/jobs/view/{quote(part, safe='')}")


def actor(entity: Entity) -> Facts:
    """Return the facts of a person or company as the actor of an activity."""
    facts = entity.facts
    person = "headline" in facts
    return {
        "type": "person" if person else "company",
        "name": facts["name"],
        "urn": facts["urn"],
        "profile_url": facts["public_url"] if person else None,
        "headline": facts["headline"] if person else None,
        "company_url": None if person else facts["public_url"],
        "viewer_state": facts["viewer_state"] if person else None,
    }


def _person_names(head: str, given: Facts, random: SeededRandom) -> tuple[str, str]:
    words = [word.capitalize() for word in head.split("-") if word.isalpha()]
    if len(words) > 1:
        first, last = words[0], " ".join(words[1:])
    else:
        first, last = random.pick("first", FIRST_NAMES), random.pick("last", LAST_NAMES)
    return given.get("first_name", first), given.get("last_name", last)


def _company_title(slug: str) -> str:
    if not any(letter.isalpha() for letter in slug):
        return ""
    return " ".join(word.capitalize() for word in slug.split("-"))


def _hashed(slug: str) -> str:
    return _HASHED + base64.urlsafe_b64encode(slug.encode()).decode().rstrip("=")


def _unhashed(part: str) -> str:
    """Return the slug of a hashed part, and any other part unchanged."""
    code = part.removeprefix(_HASHED)
    if code == part:
        return part
    try:
        slug = base64.urlsafe_b64decode(code + "=" * (-len(code) % 4)).decode()
    except ValueError:
        return part
    # The decoder skips characters that are not of the alphabet.
    return slug if _hashed(slug) == part else part


def _numbered(slug: str) -> int:
    """Return the number of a company, which encodes its slug."""
    if slug.isascii() and slug.isdigit():
        return int(slug[:_LONGEST_NUMBERED])
    return int.from_bytes(slug.encode()[:_LONGEST_NUMBERED])


def _unnumbered(part: str) -> str:
    """Return the slug of a company's number, and any other part unchanged."""
    if not (part.isascii() and part.isdigit() and len(part) <= 3 * _LONGEST_NUMBERED):
        return part
    number = int(part)
    try:
        slug = number.to_bytes((number.bit_length() + 7) // 8).decode()
    except ValueError:
        return part
    return slug if re.fullmatch(r"[^\W_][\w-]{2,}", slug) else part


def _activity(random: SeededRandom, ms: int, kind: str | None) -> int:
    """Return the number of a post, which encodes its time, as on LinkedIn, and kind."""
    number = (ms << 22) | random.number(f"{ms}/activity", 1 << 22)
    if kind is None:
        return number
    return number - number % len(POST_KINDS) + POST_KINDS.index(kind)


def _files(ending: str) -> list[str]:
    return [f"https://media.licdn.com/dms/image/{n}.{ending}" for n in (1, 2)]
