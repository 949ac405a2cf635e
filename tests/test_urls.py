"""LinkedIn URLs: canonical forms, aliases, and what a target certainly is not."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterator
from typing import Any, get_args
from urllib.parse import quote

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as some

from linkedapi_async import results
from linkedapi_async.urls import (
    Aliases,
    TargetKind,
    aliases_in,
    check_target,
    normalize_url,
    same_target,
    target_kind,
)


SITE = "https://www.linkedin.com"
HASH = "ACoAAB1vKx8BQm3Tz9-LrYw_pDc5NfGhJk2sEuA"
SALES_HASH = "ACwAAB1vKx8BZx7Qy4MnRtWvXaSdFgHjKlPoIuY"
POST = "7461747346638207121"
COMMENT = "7461750000000000001"
REPLY = "7461759999999999999"
THREAD = "2-ZmFrZS10aHJlYWQtb2YtYS10ZXN0XzAxMA=="

# 20 targets: what they are, their canonical form, and 200 spellings.
TARGETS: list[tuple[TargetKind, str, str]] = [
    (
        "person",
        f"{SITE}/in/ada-lovelace",
        """
        https://www.linkedin.com/in/ada-lovelace
        https://www.linkedin.com/in/ada-lovelace/
        http://www.linkedin.com/in/ada-lovelace
        HTTPS://WWW.LINKEDIN.COM/in/ada-lovelace
        https://linkedin.com/in/ada-lovelace
        linkedin.com/in/ada-lovelace
        www.linkedin.com/in/ada-lovelace/
        //www.linkedin.com/in/ada-lovelace
        https://de.linkedin.com/in/ada-lovelace
        https://uk.linkedin.com/in/ada-lovelace?trk=people-guest
        https://m.linkedin.com/in/ada-lovelace
        https://touch.linkedin.com/in/ada-lovelace
        m.linkedin.com/in/ada-lovelace
        https://www.linkedin.com/in/Ada-Lovelace
        https://www.linkedin.com/IN/ADA-LOVELACE/
        https://www.linkedin.com/in/ada-lovelace/de
        https://www.linkedin.com/in/ada-lovelace/en/
        https://www.linkedin.com/in/ada-lovelace/?locale=de_DE
        https://www.linkedin.com/in/ada-lovelace/?originalSubdomain=uk
        https://www.linkedin.com/in/ada-lovelace?miniProfileUrn=urn%3Ali%3Afs_miniProfile%3AACoAAB1
        https://www.linkedin.com/in/ada-lovelace#experience
        https://www.linkedin.com/in/ada-lovelace/details/experience/
        https://www.linkedin.com/in/ada-lovelace/recent-activity/all/
        https://www.linkedin.com/in/ada-lovelace/overlay/contact-info/?x=1#y
        https://www.linkedin.com/comm/in/ada-lovelace?midToken=AQ
        https://www.linkedin.com/mwlite/in/ada-lovelace
        https://www.linkedin.com//in//ada-lovelace
        https://www.linkedin.com./in/ada-lovelace
        https://www.linkedin.com:443/in/ada-lovelace
        http://www.linkedin.com:80/in/ada-lovelace
        https://www.linkedin.com/in/%61da%2Dlovelace
        https://www.linkedin.com/company/../in/./ada-lovelace
        """,
    ),
    (
        "person",
        f"{SITE}/in/ada",
        """
        https://www.linkedin.com/in/ada
        https://www.linkedin.com/in/ada?lovelace
        https://www.linkedin.com/in/ada#-lovelace
        https://www.linkedin.com/in/ada/lovelace
        https://fr.linkedin.com/in/ada/fr
        https://www.linkedin.com/in/ADA
        linkedin.com/in/ada/
        https://www.linkedin.com/in/ada/.
        https://www.linkedin.com/in/%41%44%41
        """,
    ),
    (
        "person",
        f"{SITE}/in/ada-lovelace-1",
        """
        https://www.linkedin.com/in/ada-lovelace-1
        https://www.linkedin.com/in/ada-lovelace-1/
        linkedin.com/in/Ada-Lovelace-1
        https://www.linkedin.com/in/ada-lovelace-1/ada-lovelace
        https://www.linkedin.com/in/ada-lovelace/../ada-lovelace-1
        https://www.linkedin.com/in/ada-lovelace/%2E%2e/ada-lovelace-1
        https://nl.linkedin.com/in/ada-lovelace-1?trk=x
        """,
    ),
    (
        "person",
        f"{SITE}/in/josé-ñandú",
        """
        https://www.linkedin.com/in/josé-ñandú
        https://www.linkedin.com/in/JOSÉ-ÑANDÚ
        https://www.linkedin.com/in/jos%C3%A9-%C3%B1and%C3%BA
        https://www.linkedin.com/in/jos%c3%a9-%c3%b1and%c3%ba/
        https://www.linkedin.com/in/Jos%C3%89-%C3%91and%C3%BA
        https://www.linkedin.com/in/jose\u0301-n\u0303andu\u0301
        https://www.linkedin.com/in/jose%CC%81-n%CC%83andu%CC%81
        linkedin.com/in/josé-%C3%B1andú
        https://es.linkedin.com/in/jos%C3%A9-%C3%B1and%C3%BA/es?trk=x
        https://www.linkedin.com/in/josé-ñandú/details/skills/
        """,
    ),
    (
        "person",
        f"{SITE}/in/jose-nandu",
        """
        https://www.linkedin.com/in/jose-nandu
        https://www.linkedin.com/in/Jose-Nandu/
        es.linkedin.com/in/jose-nandu
        https://www.linkedin.com/in/jose%2Dnandu
        https://www.linkedin.com/in/jose-nandu/es
        """,
    ),
    (
        "person",
        f"{SITE}/in/مهر%E2%80%8Cبخش",
        """
        https://www.linkedin.com/in/مهر\u200cبخش
        https://www.linkedin.com/in/مهر%E2%80%8Cبخش/
        https://www.linkedin.com/in/%D9%85%D9%87%D8%B1%E2%80%8C%D8%A8%D8%AE%D8%B4
        linkedin.com/in/مهر\u200cبخش?trk=x
        """,
    ),
    (
        "person",
        f"{SITE}/in/{HASH}",
        f"""
        https://www.linkedin.com/in/{HASH}
        https://www.linkedin.com/in/{HASH}/
        http://linkedin.com/IN/{HASH}
        linkedin.com/in/{HASH}?miniProfileUrn=urn%3Ali%3Afs_miniProfile%3A{HASH}
        https://de.linkedin.com/in/{HASH}/de
        https://www.linkedin.com/in/{HASH}/details/experience/#x
        https://www.linkedin.com/comm/in/{HASH}
        {HASH}
        urn:li:fsd_profile:{HASH}
        urn:li:fs_profile:{HASH}
        urn:li:fs_miniProfile:{HASH}
        URN:LI:FSD_PROFILE:{HASH}
        urn%3Ali%3Afsd_profile%3A{HASH}
        """,
    ),
    (
        "person",
        f"{SITE}/in/{HASH.lower()}",
        f"""
        https://www.linkedin.com/in/{HASH.lower()}
        https://www.linkedin.com/in/{HASH.upper()}
        linkedin.com/in/{HASH.lower()}/
        """,
    ),
    (
        "person",
        "urn:li:member:123456789",
        """
        urn:li:member:123456789
        urn%3Ali%3Amember%3A123456789
        URN:li:Member:123456789
        urn:LI:member:123456789
        """,
    ),
    (
        "nvPerson",
        f"{SITE}/sales/lead/{SALES_HASH}",
        f"""
        https://www.linkedin.com/sales/lead/{SALES_HASH}
        https://www.linkedin.com/sales/lead/{SALES_HASH},NAME_SEARCH,a1Bc
        https://www.linkedin.com/sales/lead/{SALES_HASH},NAME_SEARCH,x?_ntb=abc%3D
        https://www.linkedin.com/sales/lead/{SALES_HASH}%2CNAME_SEARCH%2Cx
        https://www.linkedin.com/sales/people/{SALES_HASH},NAME_SEARCH,a1Bc
        https://www.linkedin.com/sales/people/{SALES_HASH}/
        linkedin.com/Sales/Lead/{SALES_HASH},name
        http://www.linkedin.com/sales/lead/{SALES_HASH}#notes
        urn:li:fs_salesProfile:({SALES_HASH},NAME_SEARCH,a1Bc)
        urn:li:fs_salesProfile:{SALES_HASH}
        """,
    ),
    (
        "nvCompany",
        f"{SITE}/sales/company/1035",
        """
        https://www.linkedin.com/sales/company/1035
        https://www.linkedin.com/sales/company/1035/
        https://www.linkedin.com/sales/company/1035/people
        https://www.linkedin.com/sales/company/1035?_ntb=x
        linkedin.com/sales/company/1035#x
        urn:li:fs_salesCompany:1035
        """,
    ),
    (
        "company",
        f"{SITE}/company/acme-gmbh",
        """
        https://www.linkedin.com/company/acme-gmbh
        https://www.linkedin.com/company/acme-gmbh/
        http://linkedin.com/company/Acme-GmbH
        linkedin.com/company/acme-gmbh
        https://de.linkedin.com/company/acme-gmbh
        https://www.linkedin.com/company/acme-gmbh/about/
        https://www.linkedin.com/company/acme-gmbh/people/?keywords=x
        https://www.linkedin.com/company/acme-gmbh/posts/?feedView=all
        https://www.linkedin.com/company/acme-gmbh/jobs#x
        https://www.linkedin.com/company/acme-gmbh?trk=ppro_cprof
        https://www.linkedin.com/comm/company/acme-gmbh
        https://m.linkedin.com/Company/acme-gmbh
        """,
    ),
    (
        "company",
        f"{SITE}/company/h&m",
        """
        https://www.linkedin.com/company/h&m
        https://www.linkedin.com/company/h%26m/
        https://www.linkedin.com/company/H&M?trk=x&a=b
        linkedin.com/company/h%26M/about
        """,
    ),
    (
        "company",
        f"{SITE}/company/1035",
        """
        https://www.linkedin.com/company/1035
        https://www.linkedin.com/company/1035/
        linkedin.com/company/1035/about?x=1
        https://fr.linkedin.com/company/1035
        urn:li:organization:1035
        urn:li:company:1035
        urn:li:fsd_company:1035
        urn:li:fs_miniCompany:1035
        urn:li:fs_normalized_company:1035
        urn%3Ali%3Aorganization%3A1035
        """,
    ),
    (
        "company",
        f"{SITE}/school/acme-gmbh",
        """
        https://www.linkedin.com/school/acme-gmbh
        https://www.linkedin.com/school/acme-gmbh/people/
        linkedin.com/school/Acme-GmbH/?x=1
        https://de.linkedin.com/school/acme-gmbh#x
        """,
    ),
    (
        "company",
        f"{SITE}/showcase/acme-gmbh",
        """
        https://www.linkedin.com/showcase/acme-gmbh
        https://www.linkedin.com/showcase/acme-gmbh/about/
        linkedin.com/showcase/acme-gmbh/
        https://de.linkedin.com/Showcase/ACME-GmbH?x=1
        """,
    ),
    (
        "post",
        f"{SITE}/feed/update/urn:li:activity:{POST}",
        f"""
        https://www.linkedin.com/feed/update/urn:li:activity:{POST}
        https://www.linkedin.com/feed/update/urn:li:activity:{POST}/
        https://www.linkedin.com/feed/update/urn%3Ali%3Aactivity%3A{POST}
        linkedin.com/feed/update/urn:li:activity:{POST}?utm_source=share
        https://www.linkedin.com/embed/feed/update/urn:li:activity:{POST}
        https://www.linkedin.com/comm/feed/update/urn:li:activity:{POST}?midToken=x
        https://www.linkedin.com/Feed/Update/URN:LI:ACTIVITY:{POST}
        https://www.linkedin.com/posts/ada-lovelace_engines-activity-{POST}-AbCd
        https://www.linkedin.com/posts/ada-lovelace_engines-activity-{POST}-A-_d
        https://www.linkedin.com/posts/ada_activity-12-engines-activity-{POST}-AbCd
        https://www.linkedin.com/posts/ada-lovelace_engines-activity-{POST}-AbCd?rcm=x
        https://www.linkedin.com/posts/ada-lovelace_engines-activity-{POST}
        https://www.linkedin.com/posts/activity-{POST}-AbCd
        https://www.linkedin.com/posts/jos%C3%A9_ol%C3%A9-activity-{POST}-AbCd/
        https://de.linkedin.com/posts/Ada_Engines-Activity-{POST}-AbCd
        m.linkedin.com/posts/x-activity-{POST}
        urn:li:activity:{POST}
        urn%3Ali%3Aactivity%3A{POST}
        URN:LI:ACTIVITY:{POST}
        """,
    ),
    (
        "post",
        f"{SITE}/feed/update/urn:li:ugcPost:{POST}",
        f"""
        https://www.linkedin.com/feed/update/urn:li:ugcPost:{POST}
        https://www.linkedin.com/feed/update/urn:li:ugcpost:{POST}/?x=1
        https://www.linkedin.com/posts/ada_engines-ugcPost-{POST}-AbCd
        linkedin.com/posts/ada_engines-ugcPost-{POST}-AbCd?utm_medium=member_ios
        https://fr.linkedin.com/posts/ada_engines-ugcPost-{POST}-AbCd/
        urn:li:ugcPost:{POST}
        urn%3Ali%3AugcPost%3A{POST}
        """,
    ),
    (
        "post",
        f"{SITE}/feed/update/urn:li:share:{POST}",
        f"""
        https://www.linkedin.com/feed/update/urn:li:share:{POST}
        https://www.linkedin.com/embed/feed/update/urn:li:share:{POST}?collapsed=1
        https://www.linkedin.com/posts/ada_engines-share-{POST}-AbCd
        www.linkedin.com/feed/update/urn:li:share:{POST}/
        urn:li:share:{POST}
        """,
    ),
    (
        "comment",
        f"{SITE}/feed/update/urn:li:activity:{POST}?dashCommentUrn=urn:li:fsd_comment:({COMMENT},urn:li:activity:{POST})",
        f"""
        https://www.linkedin.com/feed/update/urn:li:activity:{POST}?dashCommentUrn=urn:li:fsd_comment:({COMMENT},urn:li:activity:{POST})
        https://www.linkedin.com/feed/update/urn:li:activity:{POST}/?dashCommentUrn=urn%3Ali%3Afsd_comment%3A%28{COMMENT}%2Curn%3Ali%3Aactivity%3A{POST}%29
        https://www.linkedin.com/feed/update/urn:li:activity:{POST}?commentUrn=urn%3Ali%3Acomment%3A%28activity%3A{POST}%2C{COMMENT}%29
        linkedin.com/feed/update/urn:li:activity:{POST}?commentUrn=urn:li:comment:(urn:li:activity:{POST},{COMMENT})&x=1
        https://www.linkedin.com/posts/ada_x-activity-{POST}-AbCd?commentUrn=urn%3Ali%3Acomment%3A(activity%3A{POST}%2C{COMMENT})
        urn:li:comment:(activity:{POST},{COMMENT})
        urn:li:comment:(urn:li:activity:{POST},{COMMENT})
        urn:li:fsd_comment:({COMMENT},urn:li:activity:{POST})
        """,
    ),
    (
        "comment",
        f"{SITE}/feed/update/urn:li:activity:{POST}?dashCommentUrn=urn:li:fsd_comment:({REPLY},urn:li:activity:{POST})",
        f"""
        https://www.linkedin.com/feed/update/urn:li:activity:{POST}?commentUrn=urn%3Ali%3Acomment%3A%28activity%3A{POST}%2C{COMMENT}%29&replyUrn=urn%3Ali%3Acomment%3A%28activity%3A{POST}%2C{REPLY}%29
        https://www.linkedin.com/feed/update/urn:li:activity:{POST}?dashCommentUrn=urn%3Ali%3Afsd_comment%3A%28{COMMENT}%2Curn%3Ali%3Aactivity%3A{POST}%29&dashReplyUrn=urn%3Ali%3Afsd_comment%3A%28{REPLY}%2Curn%3Ali%3Aactivity%3A{POST}%29
        urn:li:fsd_comment:({REPLY},urn:li:activity:{POST})
        urn:li:comment:(activity:{POST},{REPLY})
        """,
    ),
    (
        "job",
        f"{SITE}/jobs/view/4012345678",
        """
        https://www.linkedin.com/jobs/view/4012345678
        https://www.linkedin.com/jobs/view/4012345678/
        https://www.linkedin.com/jobs/view/engineer-at-acme-4012345678
        https://de.linkedin.com/jobs/view/ing%C3%A9nieur-at-acme-4012345678?trk=x
        https://www.linkedin.com/jobs/view/engineer-24-7-at-acme-4012345678/
        linkedin.com/Jobs/View/4012345678#apply
        https://www.linkedin.com/comm/jobs/view/4012345678/?trackingId=x
        urn:li:jobPosting:4012345678
        urn:li:fsd_jobPosting:4012345678
        urn:li:fs_normalized_jobPosting:4012345678
        """,
    ),
    (
        "newsletter",
        f"{SITE}/newsletters/6812345678901234567",
        """
        https://www.linkedin.com/newsletters/engines-6812345678901234567
        https://www.linkedin.com/newsletters/6812345678901234567/
        linkedin.com/newsletters/Engines-Weekly-6812345678901234567?x=1
        """,
    ),
    (
        "thread",
        THREAD,
        f"""
        {THREAD}
        https://www.linkedin.com/messaging/thread/{THREAD}/
        https://www.linkedin.com/messaging/thread/{quote(THREAD)}
        linkedin.com/Messaging/Thread/{THREAD}?x=1
        https://www.linkedin.com/sales/inbox/{THREAD}
        urn:li:fsd_conversation:{THREAD}
        urn:li:messagingThread:{THREAD}
        urn:li:msg_conversation:(urn:li:fsd_profile:{HASH},{THREAD})
        """,
    ),
]
SPELLINGS = [
    pytest.param(kind, canonical, spelling, id=spelling)
    for kind, canonical, block in TARGETS
    for spelling in block.split()
]

# Forms that are not known, and text that is no URL: what may be done to them is little.
ODD = [
    ("", ""),
    ("Ada Lovelace", "Ada Lovelace"),
    ("\ufeff Ada Lovelace\u200b\n", "Ada Lovelace"),
    ("Ada@Example.com", "Ada@Example.com"),
    ("HTTPS://Example.COM/In/Ada?Q#F", "https://example.com/In/Ada?Q#F"),
    ("//Example.COM/A", "//example.com/A"),
    ("http://", "http://"),
    ("http://[", "http://["),
    ("linkedin.com", SITE),
    ("https://www.linkedin.com/?x=1", f"{SITE}?x=1"),
    ("de.linkedin.com/Groups/12/?q=A#B", f"{SITE}/Groups/12?q=A#B"),
    ("linkedin.com/in/ada,", f"{SITE}/in/ada,"),
    ("linkedin.com/in/ME/", f"{SITE}/in/ME"),
    ("linkedin.com/in/ada%20b", f"{SITE}/in/ada%20b"),
    ("linkedin.com/in/ad%E9", f"{SITE}/in/ad%E9"),
    ("linkedin.com/in/ad%C3", f"{SITE}/in/ad%C3"),
    ("linkedin.com/in/a%2fb", f"{SITE}/in/a%2Fb"),
    ("linkedin.com/in/a%252fb", f"{SITE}/in/a%252fb"),
    ("linkedin.com/in/50%", f"{SITE}/in/50%25"),
    ("linkedin.com/in/a\ud800", f"{SITE}/in/a\ufffd"),
    ("linkedin.com/in/a\u200d/", f"{SITE}/in/a%E2%80%8D"),
    ("linkedin.com/company/Unavailable", f"{SITE}/company/Unavailable"),
    ("linkedin.com/posts/Ada_Engines", f"{SITE}/posts/Ada_Engines"),
    ("linkedin.com/feed/update/urn:li:groupPost:1-2", f"{SITE}/feed/update/urn:li:groupPost:1-2"),
    (f"linkedin.com/feed/update/urn:li:activity:{POST}?commentUrn=x", f"{SITE}/feed/update/urn:li:activity:{POST}?commentUrn=x"),
    ("linkedin.com/jobs/search?currentJobId=1 &\u200b#", f"{SITE}/jobs/search?currentJobId=1%20&%E2%80%8B"),
    ("https://business.linkedin.com/A/?b", "https://business.linkedin.com/A?b"),
    ("https://www.linkedin.cn/in/Ada", "https://www.linkedin.cn/in/Ada"),
    ("http://www.lnkd.in/AbCd/", "https://lnkd.in/AbCd"),
    ("urn:li:fsd_profile:ada", "urn:li:fsd_profile:ada"),
    ("URN:LI:unKnown:(A%20,b)%0A", "urn:li:unKnown:(A%20,b)%0A"),
    ("urn:li:comment:(article:1,2)", "urn:li:comment:(article:1,2)"),
    ("urn:li:", "urn:li:"),
]  # fmt: skip

# Letters, digits and hyphens, which public names are made of, in several scripts.
PUBLIC_NAMES = some.text(
    some.sampled_from("abzABZ019-éÉßẞ\u017f\u0131İiKκς\u03c3ΣжЖ田Å\u0301\u0307\u200c"),
    min_size=1,
).filter(
    lambda name: (
        unicodedata.category(name[0])[0] != "M"
        and name.strip("\u200c") == name
        and name.lower() != "me"
    )
)
HOSTS = ["www.linkedin.com", "linkedin.com", "m.linkedin.com", "ch.linkedin.com"]
SCHEMES = ["https://", "http://", "HTTPS://", "//", ""]
ENDS = ["", "/", "/de", "/details/experience/", "?trk=x", "/?locale=de_DE", "#x", "/.."]
NORMAL_FORMS: list[Any] = ["NFC", "NFD"]
# What URLs are made of, in any order.
SOUP = some.lists(
    some.sampled_from(
        [
            *(
                *HOSTS,
                *SCHEMES,
                *ENDS,
                "lnkd.in",
                "business.linkedin.com",
                "example.com",
            ),
            *("/in/", "/company/", "/posts/", "/feed/update/", "/jobs/view/", "/comm"),
            *(
                "/sales/lead/",
                "/messaging/thread/",
                "/newsletters/",
                "urn:li:",
                "URN%3ali",
            ),
            *("activity:", "ugcPost-", "fsd_profile:", "comment:(", "me", HASH, THREAD),
            *(
                ":",
                "(",
                ")",
                ",",
                "%",
                "%2F",
                "%25",
                "%C3",
                "%A9",
                "%CC%81",
                "%0A",
                "%2e",
            ),
            *(
                "\\",
                "..",
                "é",
                "e\u0301",
                "\u2000",
                "\u037e",
                "\u212a",
                "İ",
                "ΑΣ",
                "\u200c",
            ),
            *(
                "\u200b",
                "\xa0",
                "\n",
                "\ud800",
                "\udca9",
                "&dashCommentUrn=",
                POST,
                "{}",
            ),
        ]
    ),
    max_size=12,
).map("".join)
ANYTHING = SOUP | some.text(some.characters())
KINDS: tuple[TargetKind, ...] = get_args(TargetKind)


def key(name: str) -> str:
    """Return what public names are equal by."""
    composed = unicodedata.normalize("NFC", name)
    return unicodedata.normalize("NFC", composed.lower())


@some.composite
def spellings(draw: some.DrawFn, name: str) -> str:
    """Return URLs of the person whose public name is *name*."""
    name = unicodedata.normalize(draw(some.sampled_from(NORMAL_FORMS)), name)
    if draw(some.booleans()):
        name = quote(name)
    start = draw(some.sampled_from(SCHEMES)) + draw(some.sampled_from(HOSTS))
    end = draw(some.sampled_from([end for end in ENDS if end != "/.."]))
    return f"{start}/in/{name}{end}"


def test_two_hundred_spellings() -> None:
    """The list has twenty targets and two hundred spellings, each once."""
    given_spellings = [str(case.values[2]) for case in SPELLINGS]

    assert len({canonical for _, canonical, _ in TARGETS}) == len(TARGETS) >= 20
    assert len(set(given_spellings)) == len(given_spellings) >= 200


@pytest.mark.parametrize(("kind", "canonical", "spelling"), SPELLINGS)
def test_one_form_each(kind: TargetKind, canonical: str, spelling: str) -> None:
    """All spellings of a target have one canonical form, which keeps as it is."""
    assert canonical == normalize_url(spelling)
    assert canonical == normalize_url(canonical)


@pytest.mark.parametrize(("kind", "canonical", "spelling"), SPELLINGS)
def test_right_spellings(kind: TargetKind, canonical: str, spelling: str) -> None:
    """No spelling of a target is refused where such a target is expected.

    Only the id of a conversation is expected alone.
    """
    problem = check_target(kind, spelling)

    assert (kind == "thread" and spelling != THREAD) == (problem is not None)
    assert problem is None or not problem.certain


@pytest.mark.parametrize(("text", "canonical"), ODD)
def test_odd_forms(text: str, canonical: str) -> None:
    """Where a form is not known, only what certainly makes no difference changes."""
    assert canonical == normalize_url(text)


@given(ANYTHING)
@example("https://www.linkedin.com/x? #")
@example("//\u200c")
@example("linkedin.com/in/%C3\udca9")
@example("urn:li:x:%E2%80%8C")
def test_idempotent(text: str) -> None:
    """Any text has a canonical form, which is its own canonical form."""
    canonical = normalize_url(text)

    assert canonical == normalize_url(canonical)


@given(PUBLIC_NAMES, PUBLIC_NAMES, some.data())
@example("groß", "gross", None)
@example("stra\u017fse", "strasse", None)
@example("\u0131d", "id", None)
@example("jose\u0301", "jose", None)
@example("josé", "JOSE\u0301", None)
def test_public_names_stay_apart(a: str, b: str, data: some.DataObject | None) -> None:
    """Two persons have one canonical form only if their public names are equal."""
    first, second = (
        data.draw(spellings(name)) if data else f"{SITE}/in/{name}" for name in (a, b)
    )

    assert (key(a) == key(b)) == same_target(first, second)
    assert same_target(first, f"{SITE}/in/{a}")


@given(PUBLIC_NAMES, some.data())
def test_pages_stay_apart(name: str, data: some.DataObject) -> None:
    """A person, a company, a school and a showcase of one name are four targets."""
    pages = [
        f"{SITE}/{page}/{name}" for page in ("in", "company", "school", "showcase")
    ]

    assert 4 == len(set(map(normalize_url, pages)))


def test_targets_stay_apart() -> None:
    """No two targets of the list are the same."""
    names = [normalize_url(block.split()[-1]) for _, _, block in TARGETS]

    assert not [pair for pair in itertools.combinations(names, 2) if same_target(*pair)]


@pytest.mark.parametrize(
    "comment",
    [
        f"{SITE}/posts/ada_x-activity-{POST}-AbCd?commentUrn=urn:li:comment:(activity:{POST},1)",
        f"{SITE}/feed/update/urn:li:activity:{POST}/?dashCommentUrn=urn:li:fsd_comment:(1,urn:li:ugcPost:2)",
    ],
)
def test_comment_as_post(comment: str) -> None:
    """The URL of a comment names the post where a post is meant."""
    post = f"{SITE}/feed/update/urn:li:activity:{POST}"

    assert post != normalize_url(comment)
    assert post == normalize_url(comment, "post")
    assert post == normalize_url(post, "post")


PUBLIC = f"{SITE}/in/ada-lovelace"
HASHED = f"{SITE}/in/{HASH}"
MEMBER = "urn:li:member:123456789"
OTHER = f"{SITE}/in/{HASH[:-1]}B"


def test_connected_names() -> None:
    """Names that one result holds are of one target, in any spelling."""
    aliases = Aliases()
    aliases.connect("linkedin.com/in/Ada-Lovelace/", f"{HASHED}?x=1")
    aliases.connect(MEMBER, f"urn:li:fsd_profile:{HASH}")

    assert same_target(f"{PUBLIC}/de", "URN:LI:member:123456789", aliases)
    assert not same_target(PUBLIC, MEMBER)
    assert not same_target(PUBLIC, OTHER, aliases)
    assert {PUBLIC, HASHED, MEMBER} == aliases.names(HASHED)
    assert [PUBLIC] * 3 == [aliases.canonical(n) for n in (PUBLIC, HASHED, MEMBER)]


def test_unknown_names() -> None:
    """A name that was never connected stands for itself."""
    aliases = Aliases()
    aliases.connect(PUBLIC)

    assert {PUBLIC} == aliases.names(f"{PUBLIC}/")
    assert HASHED == aliases.canonical(f"urn:li:fsd_profile:{HASH}")


def test_other_kinds_are_not_connected() -> None:
    """A person and a company are two targets, also in one result."""
    aliases = Aliases()
    aliases.connect(HASHED, f"{SITE}/company/acme", PUBLIC, "urn:li:organization:1035")

    assert same_target(HASHED, PUBLIC, aliases)
    assert same_target(f"{SITE}/company/1035", f"{SITE}/company/acme", aliases)
    assert not same_target(HASHED, f"{SITE}/company/acme", aliases)


def test_products_are_connected() -> None:
    """A person in Sales Navigator is the person of the standard product."""
    aliases = Aliases()
    aliases.connect(f"{SITE}/sales/lead/{SALES_HASH},NAME_SEARCH,x", PUBLIC, HASHED)

    assert same_target(f"{SITE}/sales/people/{SALES_HASH}", HASHED, aliases)


@pytest.mark.parametrize(
    "name", [f"{SITE}/in/me", f"{SITE}/in/unavailable", "https://lnkd.in/x", "Ada", ""]
)
def test_names_of_nothing_certain_are_not_connected(name: str) -> None:
    """What names another target tomorrow, or for another account, is left out."""
    aliases = Aliases()
    aliases.connect(name, PUBLIC, HASHED)

    assert same_target(HASHED, PUBLIC, aliases)
    assert not same_target(name, PUBLIC, aliases)


@pytest.mark.parametrize(("old", "new"), [("ada-byron", "ada-king"), ("1815", "1835")])
def test_renamed_person(old: str, new: str) -> None:
    """Two public names of one id are one person, who changed the name."""
    aliases = Aliases()
    aliases.connect(f"{SITE}/in/{old}", HASHED)
    aliases.connect(f"{SITE}/in/{new}", HASHED)

    assert same_target(f"{SITE}/in/{old}", f"{SITE}/in/{new}", aliases)


def test_public_name_taken_over() -> None:
    """A public name belongs to the person who had it last; two ids stay two persons."""
    aliases = Aliases()
    aliases.connect(PUBLIC, HASHED, MEMBER)
    aliases.connect(PUBLIC, OTHER)

    assert same_target(HASHED, MEMBER, aliases)
    assert same_target(PUBLIC, OTHER, aliases)
    assert not same_target(PUBLIC, HASHED, aliases)


def test_contradictory_ids() -> None:
    """Names whose ids contradict each other connect nothing."""
    aliases = Aliases()
    aliases.connect(HASHED, MEMBER)
    aliases.connect(OTHER, MEMBER)
    aliases.connect(OTHER, HASHED, PUBLIC)
    aliases.connect(f"{SITE}/in/a", HASHED)
    aliases.connect(f"{SITE}/in/b", OTHER)
    aliases.connect(f"{SITE}/in/a", f"{SITE}/in/b")

    assert {HASHED, MEMBER, f"{SITE}/in/a"} == aliases.names(MEMBER)
    assert {OTHER, f"{SITE}/in/b"} == aliases.names(OTHER)
    assert {PUBLIC} == aliases.names(PUBLIC)


NAMES = [
    *(f"{SITE}/in/{name}" for name in ("ada", "grace", "mary", "12", "34")),
    *(f"urn:li:fsd_profile:{HASH[:-1]}{end}" for end in "ABC"),
    *(f"urn:li:member:{number}" for number in (1, 2, 3)),
    *("urn:li:person:AbC", f"{SITE}/company/acme", "urn:li:organization:7"),
]


@given(some.lists(some.lists(some.sampled_from(NAMES), max_size=4), max_size=12))
def test_aliases_are_groups(connected: list[list[str]]) -> None:
    """Whatever is connected, each name is of one target, and no target has two ids."""
    aliases = Aliases()
    for names in connected:
        aliases.connect(*names)
    groups = {aliases.names(name) for name in NAMES}

    assert sum(map(len, groups)) == len(NAMES)
    for group in groups:
        assert {group} == {aliases.names(name) for name in group}
        assert {aliases.canonical(name) for name in group} < {*group, None}
        for start in (f"{SITE}/in/ACo", "urn:li:member:", f"{SITE}/company/7"):
            assert 1 >= sum(name.startswith(start) for name in group)


def test_aliases_in_a_completion() -> None:
    """All objects of a completion are searched, at any depth, for several names."""
    person = {
        "name": "Ada",
        "publicUrl": f"{PUBLIC}/",
        "hashedUrl": HASHED,
        "urn": MEMBER,
        "companyHashedUrl": f"{SITE}/company/1035",
        "then": [
            {"data": [{"postUrl": f"{SITE}/posts/ada_x-share-{POST}-AbCd"}]},
            {
                "data": [
                    {"url": f"{SITE}/posts/x", "activityUrn": f"urn:li:activity:{POST}"}
                ]
            },
            {"data": [{"jobUrl": f"{SITE}/jobs/view/1", "urn": "urn:li:jobPosting:1"}]},
        ],
    }
    completion = [{"actionType": "st.openPersonPage", "data": person}, None, 5, "x"]

    assert [
        (PUBLIC, HASHED, MEMBER),
        (f"{SITE}/posts/x", f"{SITE}/feed/update/urn:li:activity:{POST}"),
    ] == list(aliases_in(completion))


def test_aliases_in_a_message() -> None:
    """The person of a message is one person; what is missing is left out."""
    message = {
        "threadId": THREAD,
        "personUrn": None,
        "personHashedUrl": HASHED,
        "personPublicUrl": PUBLIC,
        "personUrl": HASHED,
    }

    assert [(HASHED, PUBLIC)] == list(aliases_in(message))


def test_aliases_in_a_job() -> None:
    """The URN of a job is not that of the company, which is in the same object."""
    job = {
        "jobUrl": f"{SITE}/jobs/view/1",
        "urn": "urn:li:jobPosting:2",
        "companyUrl": f"{SITE}/company/acme",
    }
    names = [f"{SITE}/jobs/view/1", f"{SITE}/jobs/view/2"]

    assert [tuple(names)] == [tuple(sorted(found)) for found in aliases_in(job)]


def test_deep_data() -> None:
    """Data of any depth is searched."""
    data: object = {"publicUrl": PUBLIC, "urn": MEMBER}
    for _ in range(10_000):
        data = {"then": [data]}

    assert [(PUBLIC, MEMBER)] == list(aliases_in(data))


def name_fields() -> Iterator[str]:
    """Return the JSON names of the fields of results that hold a URL or a URN."""
    for cls in vars(results).values():
        if isinstance(cls, type) and attrs.has(cls):
            for name in (field.name for field in attrs.fields(cls)):
                first, *rest = name.split("_")
                if {first, *rest} & {"url", "urn"}:
                    yield first + "".join(map(str.capitalize, rest))


def test_name_fields_of_results() -> None:
    """Every URL and URN of a result is searched, but for those of something else."""
    elsewhere = {"avatarUrl", "logoUrl", "applyUrl", "searchUrl"}
    single = {"commenterUrl", "newsletterUrl", "schoolHashedUrl"}
    others = {name: "hashedUrl" if name == "urn" else "urn" for name in name_fields()}
    left_out = {
        name
        for name, other in others.items()
        if not list(aliases_in({name: PUBLIC, other: MEMBER}))
    }

    assert elsewhere | single == left_out
    assert len(others) > 20


WRONG: list[tuple[TargetKind, str, str]] = [
    ("person", "", "must be the URL of a person, such as https://www.linkedin.com/in/ada, got ''"),
    ("person", "Ada Lovelace", "got 'Ada Lovelace'"),
    ("person", "ada-lovelace", "got 'ada-lovelace'"),
    ("person", "ada@example.com", "got 'ada@example.com'"),
    ("person", "ada@linkedin.com", "got 'ada@linkedin.com'"),
    ("person", "javascript:alert(1)", "got 'javascript:alert(1)'"),
    ("person", "mailto:ada@example.com", "got 'mailto:ada@example.com'"),
    ("person", "ftp://www.linkedin.com/in/ada", "got 'ftp://www.linkedin.com/in/ada'"),
    ("person", "https://example.com/in/ada", "got 'https://example.com/in/ada'"),
    ("person", "https://linkedin.com.example.com/in/ada", "must be the URL of a person"),
    ("person", "https://www.linkedin.com:8080/in/ada", "must be the URL of a person"),
    ("person", "https://notlinkedin.com/in/ada", "must be the URL of a person"),
    ("person", "https://www.linkedin.com@example.com/in/ada", "must be the URL of a person"),
    ("person", "https://www.l\u0131nkedin.com/in/ada", "must be the URL of a person"),
    ("person", "https://www.linkedin.com/in/", "got 'https://www.linkedin.com/in/'"),
    ("person", "https://www.linkedin.com", "got 'https://www.linkedin.com'"),
    ("person", "https://www.linkedin.com/feed/", "must be the URL of a person"),
    ("person", f"{SITE}/company/acme", f"got a company: '{SITE}/company/acme'"),
    ("person", f"{SITE}/school/acme", "got a company:"),
    ("person", "urn:li:organization:1035", "got a company: 'urn:li:organization:1035'"),
    ("person", f"{SITE}/sales/company/1035", "got a company in Sales Navigator:"),
    ("person", f"{SITE}/posts/ada_x-activity-{POST}-AbCd", "got a post:"),
    ("person", f"{SITE}/jobs/view/1", "got a job:"),
    ("person", THREAD, "got a conversation:"),
    ("person", "1035", "got '1035'"),
    ("company", f"{SITE}/in/ada", "must be the URL of a company, such as https://www.linkedin.com/company/acme, got a person:"),
    ("company", HASH, "got a person:"),
    ("company", "Acme GmbH", "got 'Acme GmbH'"),
    ("post", f"{SITE}/in/ada", "must be the URL of a post, such as"),
    ("comment", f"urn:li:activity:{POST}", "must be the URL of a comment, with dashCommentUrn"),
    ("job", f"{SITE}/company/acme/jobs", "must be the URL of a job, such as"),
    ("newsletter", f"{SITE}/in/ada", "must be the URL of a newsletter, such as"),
    ("nvPerson", f"{SITE}/company/1035", "must be the hashed URL of a person, such as"),
    ("nvPerson", f"{SITE}/sales/company/1035", "got a company in Sales Navigator:"),
    ("nvCompany", f"{SITE}/sales/lead/{SALES_HASH}", "must be the numeric URL of a company, such as"),
    ("thread", "Ada Lovelace", "must be the id of a conversation, such as"),
    ("thread", "ada@example.com", "must be the id of a conversation, such as"),
    ("thread", f"{SITE}/in/ada", "got a person:"),
    ("thread", "https://example.com/x", "must be the id of a conversation, such as"),
    ("person", f"{SITE}/in/ada lovelace", "must have no white space or invisible characters in it, got"),
    ("person", f"{SITE}/in/ada\u200blovelace", r"in it, got 'https://www.linkedin.com/in/ada\u200blovelace'"),
    ("person", f"{SITE}/in/ada?x=\ud83d", r"in it, got 'https://www.linkedin.com/in/ada?x=\ud83d'"),
    ("person", f"{SITE}/{'x' * 300} ", "x'…"),
]  # fmt: skip
MARGINS = [
    " ",
    "\n",
    "\r\n",
    "\t",
    "\xa0",
    "\u200b",
    "\u200d",
    "\u2060",
    "\ufeff",
    "\u3000",
]
DOUBTFUL: list[tuple[TargetKind, str, str]] = [
    ("person", "https://lnkd.in/AbCd", "is a short link: 'https://lnkd.in/AbCd'; expected the URL of a person, such as https://www.linkedin.com/in/ada; it is sent as it is"),
    ("thread", "https://lnkd.in/AbCd", "is a short link"),
    ("person", f"{SITE}/sales/lead/{SALES_HASH},NAME_SEARCH,x", "is a Sales Navigator URL"),
    ("company", f"{SITE}/sales/company/1035", "is a Sales Navigator URL"),
    ("person", f"{SITE}/pub/ada-lovelace/1/2/3", "is of no known form"),
    ("person", f"{SITE}/profile/view?id=1", "is of no known form"),
    ("person", f"{SITE}/in/ada)", "is of no known form"),
    ("person", f"{SITE}/in/ada%E2%80%8B", "is of no known form"),
    ("person", f"{SITE}/in/me", "is of no known form"),
    ("person", "https://business.linkedin.com/ada", "is of no known form"),
    ("person", "https://www.linkedin.cn/in/ada", "is of no known form"),
    ("person", "urn:li:somethingNew:1", "is of no known form"),
    ("post", f"{SITE}/pulse/engines-ada-lovelace", "is of no known form"),
    ("post", f"{SITE}/feed/?highlightedUpdateUrn=urn%3Ali%3Aactivity%3A{POST}", "is of no known form"),
    ("post", f"urn:li:comment:(activity:{POST},1)", "is the URL of a comment"),
    ("job", f"{SITE}/jobs/search/?currentJobId=1", "is of no known form"),
    ("company", "1035", "is a number: '1035'"),
    ("nvCompany", "1035", "is a number: '1035'"),
    ("nvCompany", f"{SITE}/company/acme", "is a public URL"),
    ("nvPerson", f"{SITE}/in/ada", "is a public URL"),
    ("thread", f"{SITE}/messaging/thread/{THREAD}/", "is more than an id"),
]  # fmt: skip
RIGHT: list[tuple[TargetKind, str]] = [
    ("nvPerson", HASHED),
    ("nvPerson", f"{SITE}/in/SInQBmjJ015eLr8OeJoj0mrkxx7Jiuy0"),
    ("nvPerson", f"{SITE}/sales/lead/{SALES_HASH},NAME_SEARCH,x"),
    ("nvPerson", f"urn:li:fsd_profile:{HASH}"),
    ("nvPerson", MEMBER),
    ("nvPerson", "urn:li:person:abc"),
    ("nvCompany", f"{SITE}/company/1035"),
    ("nvCompany", f"{SITE}/sales/company/1035"),
    ("nvCompany", "urn:li:organization:1035"),
    ("post", f"{SITE}/posts/post1"),
    ("thread", "t1"),
    ("thread", "6712345678901234567"),
    ("person", f"{SITE}/in/مهر\u200cبخش"),
    ("person", "{{url}}"),
    ("person", "https://www.linkedin.com/in/{{ public name }} "),
]


@pytest.mark.parametrize(("kind", "value", "reason"), WRONG)
def test_certainly_wrong(kind: TargetKind, value: str, reason: str) -> None:
    """Certain nonsense is an error that says what was expected."""
    problem = check_target(kind, value)

    assert problem is not None
    assert problem.certain
    assert problem.reason.startswith("must ")
    assert reason in problem.reason


@pytest.mark.parametrize("margin", MARGINS, ids=ascii)
@pytest.mark.parametrize("kind", KINDS)
def test_margins(kind: TargetKind, margin: str) -> None:
    """Nothing invisible may be around a target; the canonical form is without it."""
    canonical = next(canonical for found, canonical, _ in TARGETS if found == kind)
    for value in (margin + canonical, canonical + margin):
        problem = check_target(kind, value)

        assert problem is not None
        assert problem.certain
        assert repr(value) in problem.reason
        assert canonical == normalize_url(value)


def test_all_that_is_not_seen() -> None:
    """Everything that Unicode calls a space or a control is a margin."""
    categories = {"Zs", "Zl", "Zp", "Cc"}
    unseen = [
        c for c in map(chr, range(0x110000)) if unicodedata.category(c) in categories
    ]

    assert [] == [c for c in unseen if normalize_url(f"{c}ada{c}") != "ada"]


@pytest.mark.parametrize(("kind", "value", "reason"), DOUBTFUL)
def test_doubtful(kind: TargetKind, value: str, reason: str) -> None:
    """What might be right gets a warning, which says what was expected."""
    problem = check_target(kind, value)

    assert problem is not None
    assert not problem.certain
    assert problem.reason.startswith(reason)
    assert "; expected " in problem.reason
    assert problem.reason.endswith("; it is sent as it is")


@pytest.mark.parametrize(("kind", "value"), RIGHT)
def test_right(kind: TargetKind, value: str) -> None:
    """What is right, and what is to be filled, gets neither error nor warning."""
    assert check_target(kind, value) is None


@given(some.sampled_from(KINDS), ANYTHING)
def test_any_text_is_judged(kind: TargetKind, text: str) -> None:
    """Any text gets a verdict; what is not seen is an error wherever it is."""
    problem = check_target(kind, text)
    unseen = any(c in "\u200b\xa0\n\ud800" for c in text)

    assert not unseen or (problem is not None and problem.certain)


@given(some.sampled_from(KINDS), some.sampled_from(TARGETS))
def test_other_targets_are_not_right(
    kind: TargetKind, target: tuple[TargetKind, str, str]
) -> None:
    """A target of another kind gets an error, or a warning where it may serve."""
    problem = check_target(kind, target[1])
    same = kind == target[0] or {kind, target[0]} in (
        {"person", "nvPerson"},
        {"company", "nvCompany"},
    )
    may_serve = same or (kind, target[0]) == ("post", "comment")

    assert may_serve == (problem is None or not problem.certain)
    assert same or problem is not None


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (PUBLIC, "person"),
        (MEMBER, "person"),
        ("https://www.linkedin.com/sales/lead/ACwAAB1,x", "nvPerson"),
        ("https://www.linkedin.com/feed/", None),
        ("https://lnkd.in/x", None),
        ("Ada", None),
    ],
)
def test_kinds_of_targets(name: str, kind: str | None) -> None:
    """A URL or URN of a known form says what it names; other text says nothing."""
    assert kind == target_kind(name)
