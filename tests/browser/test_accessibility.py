"""What axe, a keyboard and a screen reader find in the report's pages."""

from itertools import pairwise

import pytest
from visits import VIEWS

pytestmark = pytest.mark.browser
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
# What the width can change for words that are odd, and a dark page for any.
BY_WIDTH = ("color-contrast", "scrollable-region-focusable", "target-size")
BY_COLOUR = ("color-contrast", "link-in-text-block")
HEADINGS = """() => [...document.querySelectorAll('h1, h2, h3, h4, h5, h6')]
  .filter(one => one.checkVisibility()).map(one => Number(one.tagName[1]))"""
# What scrolls in any view or can be activated, and can be seen.
STOPS = """() => [...document.querySelectorAll('*')].filter(one => one.checkVisibility()
  && (one.matches('a[href], summary, button, input:not([type=radio]), :checked, select, [tabindex]')
  || (/auto|scroll/.test(getComputedStyle(one).overflow + getComputedStyle(one).overflowX)
      && (one.scrollWidth > one.clientWidth || one.scrollHeight > one.clientHeight))))
  .map((one, i) => (one.dataset.stop = i, i))"""
FOCUSED = """() => {
  const one = document.activeElement, style = getComputedStyle(one);
  const box = one.getBoundingClientRect();
  return one === document.body ? null : {
    stop: Number(one.dataset.stop), name: one.outerHTML.slice(0, 80),
    ring: parseFloat(style.outlineWidth) >= 2 && style.outlineStyle !== 'none',
    seen: box.width > 0 && box.bottom > 0 && box.top < innerHeight && box.right > 0 };
}"""


def found(page, rules=RULES) -> list[str]:
    """Return what axe finds, as one text for each element."""
    from axe_playwright_python.sync_playwright import Axe

    options = {"runOnly": list(rules), "resultTypes": ["violations"]}
    violations = Axe().run(page, options=options).response["violations"]
    return [f"{one['id']}: {node['html'][:200]}" for one in violations for node in one["nodes"]]


# A page of odd words has the elements of a plain one, as test_safety.py sees, and so its colours.
@pytest.mark.parametrize(
    ("study", "views"),
    [
        ("plain", {"light": RULES, "dark": BY_COLOUR, "phone": RULES}),
        ("odd", {"light": RULES, "phone": BY_WIDTH}),
    ],
)
def test_axe_finds_nothing(visits, request, study, views):
    for path in request.getfixturevalue(study).values():
        for view, rules in views.items():
            visit = visits(path, **VIEWS[view])
            visit.unfold()
            assert found(visit.page, rules) == [], f"{path.name}, {view}"


def test_axe_finds_what_is_wrong(visits, plain):
    page = visits(plain["report.html"]).page
    page.evaluate("document.querySelector('nav').style.fontSize = '6px'")
    page.evaluate("document.querySelector('nav').style.lineHeight = '1'")
    page.evaluate("document.querySelector('.brand').style.color = '#ddd'")
    page.evaluate("document.querySelector('main').outerHTML = '<div>no main</div>'")
    rules = {one.partition(":")[0] for one in found(page)}
    assert {"color-contrast", "landmark-one-main"} <= rules


def test_headings_go_down_one_level_at_a_time(visits, plain):
    for page in plain.values():
        levels = visits(page).page.evaluate(HEADINGS)
        assert levels[0] == 1 and levels.count(1) == 1
        assert all(b - a <= 1 for a, b in pairwise(levels)), page.name


def test_the_keyboard_reaches_everything_and_shows_where_it_is(visits, plain):
    for path in plain.values():
        for view in ("light", "phone"):
            visit = visits(path, **VIEWS[view], reduced_motion="reduce")
            visit.unfold()
            stops, reached = set(visit.page.evaluate(STOPS)), set()
            assert stops
            for _ in range(len(stops) + 5):
                visit.page.keyboard.press("Tab")
                if (focus := visit.page.evaluate(FOCUSED)) is None:
                    break
                assert focus["ring"] and focus["seen"], focus["name"]
                reached.add(focus["stop"])
            assert stops - reached == set(), path.name


def test_the_first_tab_skips_to_the_results(visits, plain):
    page = visits(plain["report.html"], reduced_motion="reduce").page
    page.keyboard.press("Tab")
    skip = page.locator(":focus")
    assert skip.inner_text() == "Skip to the results"
    assert skip.bounding_box()["x"] >= 0
    page.keyboard.press("Enter")
    top = page.locator("#results").bounding_box()["y"]
    assert page.url.endswith("#results") and -1 <= top < 100
