"""Pictures of workflows and completions: complete or counted, bounded, harmless."""

from __future__ import annotations

import html
import json
import pathlib
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from typing import Any

import hostile_text
import pytest
from completion_strategies import completions
from hypothesis import given
from hypothesis import strategies as draws
from strategies import workflows

from linkedapi_async import custom, dump_workflow, st
from linkedapi_async._results.completion import Completion
from linkedapi_async._wire.read import read_completion
from linkedapi_async.draw import bundle, draw, to_html, to_mermaid
from linkedapi_async.draw._escape import mermaid, shortened, terminal_text, xml
from linkedapi_async.draw._tree import COUNTED, SummaryLine, build_tree
from linkedapi_async.errors import WorkflowError


DATA = pathlib.Path(__file__).parents[1] / "data"
URL = "https://www.linkedin.com/company/acme"

PAGE = st.open_person_page(basic_info=True).then(
    st.retrieve_person_posts(limit=5), st.send_message(text="Hello <b>you</b>\x1b[31m")
)
EMPLOYEES = st.retrieve_company_employees(limit=50, label="employees")
WORKFLOW = st.open_company_page(URL, basic_info=True).then(
    EMPLOYEES.then(st.do_for_people().then(PAGE)),
    st.retrieve_company_dms(limit=3),
)


def node(action_type: str, data: Any = None, **more: Any) -> dict[str, Any]:
    """Return the JSON of an outcome that succeeded."""
    return {"actionType": action_type, "success": True, "data": data, **more}


def failed(action_type: str, reason: str, message: str = "It is so.") -> dict[str, Any]:
    """Return the JSON of an outcome that failed."""
    error = {"type": reason, "message": message}
    return {"actionType": action_type, "success": False, "error": error}


def person(number: int) -> dict[str, Any]:
    """Return one of fifty employees, two of whom are not found."""
    if number in {3, 17}:
        return {"name": "Nobody", "then": failed("st.openPersonPage", "personNotFound")}
    posts = node("st.retrievePersonPosts", [{"url": "p"}, {"url": "q"}])
    below = [posts, node("st.sendMessage")]
    return {"then": node("st.openPersonPage", {"name": "Ada", "then": below})}


def company() -> Completion:
    """Return the completion of `WORKFLOW`."""
    employees = node("st.retrieveCompanyEmployees", [*map(person, range(50))])
    below = [
        employees | {"label": "employees"},
        failed("st.retrieveCompanyDMs", "retrievingNotAllowed", "Not <here>."),
    ]
    raw = node("st.openCompanyPage", {"name": "Acme & Sons", "then": below})
    return read_completion(raw, WORKFLOW, "wf_1")


GOLDEN: dict[str, Callable[[], str]] = {
    "draw_workflow.txt": lambda: draw(WORKFLOW),
    "draw_workflow_ascii.txt": lambda: draw((WORKFLOW, st.retrieve_ssi()), ascii=True),
    "draw_workflow.html": lambda: to_html(WORKFLOW),
    "draw_workflow.mmd": lambda: to_mermaid((WORKFLOW, st.retrieve_ssi())),
    "draw_completion.txt": lambda: draw(company()),
    "draw_completion.ansi": lambda: draw(company(), color=True),
    "draw_completion.html": lambda: to_html(company()),
    "draw_completion.mmd": lambda: company().to_mermaid(),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden(name: str) -> None:
    """The pictures of one workflow and of its completion are as they were approved."""
    expected = (DATA / name).read_text("utf-8")

    assert expected == GOLDEN[name]() + "\n"


def test_loops_are_summed_up() -> None:
    """What an action did in the turns of a loop is one line with counts and reasons."""
    text = draw(company())

    assert "st.openPersonPage: 48 of 50, 2 failed (personNotFound ×2)" in text
    assert "st.retrievePersonPosts: 48 of 48, 96 × Post" in text
    assert text.endswith(
        "149 outcomes, 3 failed (personNotFound ×2, retrievingNotAllowed ×1)"
    )


# Everything is there, or counted


def lines_of(top: SummaryLine) -> Iterator[SummaryLine]:
    """Visit all lines below *top*."""
    for line in top.children:
        yield line
        yield from lines_of(line)


def left_out(top: SummaryLine) -> int:
    """Return how many actions the hidden lines count."""
    notes = [line.note for line in lines_of(top) if line.state == "hidden"]
    found = [re.match(r"… ([\d,]+) more: ", note) for note in notes]
    return sum(int(match[1].replace(",", "")) for match in found if match)


def actions_in(workflow: Any) -> Iterator[Any]:
    """Visit all actions of a workflow."""
    for root in workflow if isinstance(workflow, tuple) else [workflow]:
        yield from root.walk()


@given(workflows)
def test_every_action_is_drawn(workflow: Any) -> None:
    """A small workflow is drawn whole: every type, label and parameter."""
    drawn = [*lines_of(build_tree(workflow, 200))]
    text = draw(workflow, width=10**6)

    expected = [(action.action_type, action.label) for action in actions_in(workflow)]
    assert expected == [(line.action_type, line.label) for line in drawn]
    for line in drawn:
        assert terminal_text(line.name) in text
        assert terminal_text(line.tag) in text
        assert all(terminal_text(parameter) in text for parameter in line.parameters)


@given(workflows, draws.integers(1, 9))
def test_what_is_left_out_is_counted(workflow: Any, limit: int) -> None:
    """However few actions may be drawn, those drawn and those counted are all."""
    top = build_tree(workflow, limit)
    drawn = [line for line in lines_of(top) if line.state != "hidden"]

    assert len(drawn) <= limit
    assert len([*actions_in(workflow)]) == len(drawn) + left_out(top)


@given(draws.data(), workflows, draws.integers(1, 200))
def test_every_outcome_is_counted(
    data: draws.DataObject, workflow: Any, limit: int
) -> None:
    """The outcomes drawn, those in loops and those left out, are all there are.

    If any failed, and all are drawn, some line tells so.
    """
    completion = read_completion(data.draw(completions(workflow, fail=True)), workflow)
    top = build_tree(completion, limit)
    drawn = 0
    for line in lines_of(top):
        turns = re.match(r"([\d,]+) of (\d+)", line.note)
        drawn += int(turns[2]) if turns else line.state != "hidden"

    assert len([*completion.walk()]) == drawn + left_out(top)
    states = {line.state for line in lines_of(top)}
    assert "hidden" in states or bool(completion.errors) == bool(states - {"succeeded"})


def test_a_mixed_loop_and_a_failed_one() -> None:
    """Where some turns failed the line is mixed, where all did it is failed."""
    turns = [
        {"then": [failed("xy.a", "no"), node("xy.b")]},
        {"then": [failed("xy.b", "?")]},
    ]
    completion = read_completion(node("xy.list", [*turns, {}]))
    a, b = build_tree(completion, 9).children[0].children

    assert ("failed", "0 of 1, 1 failed (no ×1)") == (a.state, a.note)
    assert ("mixed", "1 of 2, 1 failed (? ×1)") == (b.state, b.note)


def test_siblings_alike_stay_apart() -> None:
    """Two actions of one type in a loop are summed up one by one."""
    turn = {"then": [node("xy.a", label="x"), node("xy.a"), node("xy.a")]}
    (top,) = build_tree(read_completion(node("xy.list", [turn] * 4)), 9).children

    expected = [("x", "4 of 4"), (None, "4 of 4"), (None, "4 of 4")]
    assert expected == [(line.label, line.note) for line in top.children]


@pytest.mark.parametrize(
    ("data", "note"),
    [
        pytest.param({"name": "Acme"}, 'CompanyPage "Acme"', id="named"),
        pytest.param({"employeesCount": 3}, "CompanyPage", id="nameless"),
    ],
)
def test_notes(data: Any, note: str) -> None:
    """What one action brought is named in a few words."""
    (line,) = build_tree(read_completion(node("st.openCompanyPage", data)), 9).children

    assert note == line.note


@pytest.mark.parametrize(
    ("data", "note"),
    [
        pytest.param(None, "", id="nothing"),
        pytest.param({"a": [1]}, '{"a": [1]}', id="json"),
        pytest.param([1, 2], "2 × item", id="list"),
        pytest.param([], "0 × item", id="empty"),
    ],
)
def test_notes_of_unknown_actions(data: Any, note: str) -> None:
    """What an unknown action brought is shown as JSON, or counted."""
    (line,) = build_tree(read_completion(node("xy.a", data)), 9).children

    assert note == line.note


def test_many_kinds() -> None:
    """Of many reasons and types the three most frequent are named."""
    turns = [{"then": failed("xy.a", reason)} for reason in "aabbbccccde"]
    (top,) = build_tree(read_completion(node("xy.list", turns)), 9).children

    assert "0 of 11, 11 failed (c ×4, b ×3, a ×2, …)" == top.children[0].note


# Of any size


def chain(length: int) -> Any:
    """Return a workflow with *length* actions, one below the other."""
    made = custom("xy.last")
    for _ in range(length - 1):
        made = custom("xy.a").then(made)
    return made


def test_deep_workflows() -> None:
    """A workflow hundreds deep is drawn, down to where it can be read."""
    top = build_tree(chain(800), 200)
    text = draw(chain(800))

    assert 770 == left_out(top)
    assert "└─ … 770 more: xy.a ×769, xy.last ×1" in text
    assert len(text) < 5_000


def test_deep_completions() -> None:
    """A completion thousands deep is drawn, down to where it can be read."""
    raw = node("xy.last")
    for _ in range(4_999):
        raw = node("xy.a", {"then": raw})
    completion = read_completion(raw)

    assert "… 4,970 more: xy.a ×4,969, xy.last ×1" in draw(completion)
    assert "5,000 outcomes, none failed" in draw(completion)
    for picture in (draw, to_html, to_mermaid):
        assert len(picture(completion)) < 20_000


def test_wide_workflows() -> None:
    """Ten thousand actions side by side are drawn as fifty and a count."""
    wide = custom("xy.root").then(
        *(st.retrieve_ssi(label=str(n)) for n in range(10_000))
    )

    assert draw(wide).endswith("└─ … 9,950 more: st.retrieveSSI ×9,950")
    for picture in (draw, to_html, to_mermaid):
        assert len(picture(wide)) < 20_000


def test_wide_definitions() -> None:
    """Ten thousand roots are drawn as fifty and a count."""
    text = draw([{"actionType": "xy.a"}] * 10_000)

    assert "… 9,950 more: xy.a ×9,950" in text
    assert 51 == len(text.splitlines())


def test_levels_come_first() -> None:
    """A long branch does not hide what stands beside it."""
    many = custom("xy.b").then(*[custom("xy.c")] * 40)
    text = draw(custom("xy.root").then(many, custom("xy.d")), limit=5)

    assert "xy.d" in text
    assert "… 38 more: xy.c ×38" in text


def test_endless_workflows() -> None:
    """A tree in which one action stands a billion times is not counted to the end."""
    made = custom("xy.a")
    for _ in range(30):
        made = custom("xy.a").then(made, made)

    # Apart, because no failure of this test could ever show the whole workflow.
    text = draw(made, limit=3)

    assert f"… more than {COUNTED:,} more" in text


def test_long_values() -> None:
    """Long labels, values and messages show their beginning and their end."""
    long = "begin" + "x" * 10_000 + "end"
    action = {"actionType": f"xy.{long}", "label": long, "text": long, long: [long]}
    text = draw(action, width=10**6)

    assert 5 == text.count("end")
    assert 5 == text.count("begin")
    assert len(text) < 400


def test_many_parameters() -> None:
    """Of many parameters eight are shown."""
    text = draw({"actionType": "xy.a"} | {f"p{n}": n for n in range(20)})

    assert "p7=7 … 12 more parameters" in text
    assert "p8" not in text


def test_mermaid_has_a_limit() -> None:
    """A diagram has never more text than Mermaid takes."""
    greedy = {"actionType": "xy.a"} | {f"p{n}": '"' * 60 for n in range(8)}
    text = to_mermaid({"actionType": "xy.root", "then": [greedy] * 60})

    assert len(text) <= 50_000
    assert "more: xy.a" in text


def test_one_action_may_be_too_long_for_mermaid() -> None:
    """The limit of a diagram is never less than one action."""
    one = {"actionType": "xy.a"} | {'"' * 60 + str(n): '"' * 60 for n in range(8)}

    assert "n0[" in to_mermaid(one, limit=1)


# Whatever is drawn


@given(workflows)
def test_definitions_are_drawn_alike(workflow: Any) -> None:
    """A workflow, its JSON and the text of it make the same pictures."""
    definition = dump_workflow(workflow)
    for picture in (draw, to_html, to_mermaid):
        assert picture(workflow) == picture(definition)
        assert picture(workflow) == picture(json.dumps(definition).encode())


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        pytest.param({}, "(no actionType) ✎", id="empty"),
        pytest.param({"actionType": 5}, "(no actionType) ✎ actionType=5", id="type"),
        pytest.param(
            {"actionType": "st.openPost", "label": 5, "postUrl": None},
            "st.openPost label=5 postUrl=null",
            id="label",
        ),
        pytest.param(
            {"actionType": "st.retrieveSSI", "then": "no"},
            'st.retrieveSSI then="no"',
            id="then",
        ),
        pytest.param(
            {"actionType": "st.retrieveSSI", "then": [5]},
            "st.retrieveSSI then=[5]",
            id="thens",
        ),
        pytest.param(
            {"actionType": "st.retrieveSSI", "then": []}, "st.retrieveSSI", id="nothing"
        ),
        pytest.param(
            {"actionType": "st.retrieveSSI", "x": {(): 1}},
            "st.retrieveSSI x=(dict)",
            id="no JSON",
        ),
        pytest.param([], "(no actions)", id="no roots"),
        pytest.param('{"actionType":"st.\ud83d"}', r"st.\ud83d ✎", id="surrogate"),
    ],
)
def test_odd_definitions(definition: Any, expected: str) -> None:
    """A definition is drawn whether it is legal or not."""
    assert expected == draw(definition)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        pytest.param(
            5, "root: expected a workflow, a definition or a completion", id="number"
        ),
        pytest.param(
            [{}, None], r"root\[1\]: expected a workflow.*got None", id="inside"
        ),
        pytest.param("{", "root: not JSON", id="text"),
        pytest.param("5", "root: expected a workflow", id="JSON"),
    ],
)
def test_what_cannot_be_drawn(what: Any, words: str) -> None:
    """What is no workflow at all is refused, with its place."""
    with pytest.raises(WorkflowError, match=words):
        draw(what)


def test_limit() -> None:
    """At least one action is drawn."""
    with pytest.raises(ValueError, match="limit must be at least 1"):
        draw(WORKFLOW, limit=0)


# Nothing hostile gets through

NASTY = read_completion(hostile_text.completion())
SGR = re.compile(r"\x1b\[\d+m")


def drawn_in_text(what: Any) -> None:
    """Check that *what* can do no harm to a terminal."""
    text = draw(what)
    bare = draw(what, ascii=True)

    assert set() == hostile_text.acting(text, allowed="\n")
    assert set() == hostile_text.acting(bare, allowed="\n")
    assert bare.isascii()
    assert text == SGR.sub("", draw(what, color=True))


def drawn_in_markup(what: Any) -> None:
    """Check that *what* is well-formed HTML with nothing active in it."""
    text = to_html(what)
    root = ET.fromstring(text)

    allowed = {"div", "ul", "li", "details", "summary", "span", "b"}
    assert {element.tag for element in root.iter()} <= allowed
    names = {name for element in root.iter() for name in element.attrib}
    assert names <= {"style", "open", "title"}
    assert "url(" not in "".join(e.get("style", "") for e in root.iter())
    assert set() == hostile_text.acting(text, allowed="")


STATEMENT = re.compile(
    r"flowchart TD"
    r'|  n\d+\["(?:[^"#;`<>{}|%\\\[\]]|#\d+;|<b>|</b>|<br/>)*"\]'
    r"|  n\d+ (?:-->|-\. then \.->) n\d+"
    r"|  classDef \w+ [\w#:, -]+"
    r"|  class n\d+(?:,n\d+)* \w+"
)


def drawn_in_mermaid(what: Any) -> None:
    """Check that a diagram of *what* consists of the statements that it should."""
    text = to_mermaid(what)
    labels = [line for line in text.splitlines() if '["' in line]

    assert all(STATEMENT.fullmatch(line) for line in text.splitlines())
    assert not any("style" in line or "classDef" in line for line in labels)
    assert set() == hostile_text.acting(text, allowed="\n")


CHECKS = [drawn_in_text, drawn_in_markup, drawn_in_mermaid]


@pytest.mark.parametrize("check", CHECKS)
def test_nasty_profile(check: Callable[[Any], None]) -> None:
    """A profile made to do harm does none, wherever it is drawn."""
    check(NASTY)


@given(workflows)
def test_any_workflow_is_harmless(workflow: Any) -> None:
    """Whatever a workflow holds, nothing of it acts on any medium."""
    for check in CHECKS:
        check(workflow)


TEXTS = draws.text() | draws.sampled_from(
    [
        *(
            '"]; n0 --> n1',
            "style a:#b;",
            "classDef",
            "%%{init: {}}%%",
            "#60;",
            "ﬂ°60¶ß",
        ),
        *("<img src=x onerror=alert(1)>", "</b>", "`x`", "\x1b[31m", "\ufffe\uffff"),
        *("\ud800", "\u202e", "\x85", "\n", "]]>", "&amp;", "'\""),
    ]
)


@pytest.mark.parametrize("check", CHECKS)
@given(one=TEXTS, two=TEXTS)
def test_any_text_is_harmless(check: Callable[[Any], None], one: str, two: str) -> None:
    """Whatever text stands in any place, nothing of it acts on the medium."""
    action = {"actionType": one, "label": two, two: one, "then": {one: [two]}}
    check(action)
    raw = failed(one, two, one) | {"label": two, "then": node(two, {"a": one})}
    check(read_completion(raw))


@given(TEXTS)
def test_escapes_can_be_read_back(text: str) -> None:
    """What is escaped for a medium means what a terminal would show."""
    shown = terminal_text(text)
    in_xml = xml(text)
    plain = mermaid(text)

    assert "x" + html.unescape(in_xml) == "x" + "".join(
        ET.fromstring(f"<a>{in_xml}</a>").itertext()
    )
    assert shown.translate({0xFFFE: r"\ufffe", 0xFFFF: r"\uffff"}) == html.unescape(
        in_xml
    )
    read = re.sub(r"#(\d+);", lambda found: chr(int(found[1])), plain)
    assert shown.replace("ﬂ", r"\ufb02").replace("¶", r"\xb6") == read


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("x" * 60, "x" * 60, id="fits"),
        pytest.param("a" * 41 + "b" * 20, "a" * 39 + "…" + "b" * 20, id="long"),
    ],
)
def test_shortened(text: str, expected: str) -> None:
    """A text that is too long keeps its beginning and its end."""
    assert expected == shortened(text)


def test_width() -> None:
    """A line that is too long is broken between its parts, under its own branch."""
    action = st.search_people(term="founders", limit=100, label="people")
    text = draw(st.open_company_page(URL).then(EMPLOYEES, EMPLOYEES), width=40)

    assert 'st.searchPeople "people" term="founders"\n   limit=100' == draw(
        action, width=45
    )
    assert '├─ st.retrieveCompanyEmployees\n│     "employees" limit=50' in text
    assert '└─ st.retrieveCompanyEmployees\n      "employees" limit=50' in text


# Where it is shown


@pytest.mark.parametrize("what", [WORKFLOW, company()], ids=["workflow", "completion"])
def test_notebooks(what: Any) -> None:
    """Notebooks get a workflow or a completion as text, as HTML and as a diagram."""
    expected = {
        "text/plain": draw(what),
        "text/html": to_html(what),
        "text/vnd.mermaid": to_mermaid(what),
    }

    assert expected == what._repr_mimebundle_()
    assert expected["text/html"] == what._repr_html_()
    assert expected["text/vnd.mermaid"] == what.to_mermaid()


def test_notebooks_may_choose() -> None:
    """A notebook that wants some forms only gets those."""
    expected = {"text/html": to_html(WORKFLOW)}

    assert expected == bundle(WORKFLOW, include=["text/html", "image/png"])
    assert expected == bundle(WORKFLOW, exclude=["text/plain", "text/vnd.mermaid"])
    assert {} == WORKFLOW._repr_mimebundle_(["text/html"], ["text/html"])


def test_import_time() -> None:
    """Who draws nothing does not pay for pictures."""
    program = (
        "import sys, linkedapi_async; print('linkedapi_async.draw' in sys.modules)"
    )
    told = subprocess.check_output([sys.executable, "-c", program], text=True)

    assert "False" == told.strip()


if __name__ == "__main__":
    for file, picture in GOLDEN.items():
        (DATA / file).write_bytes((picture() + "\n").encode())
