"""The gallery's filters: in a real browser, every combination shows what it says and no more."""

import pytest
from visits import VIEWS

pytestmark = pytest.mark.browser
# For each combination of the filters: how many examples and answers are shown that should not be,
# or the other way round; and whether the tally's counter would count them.
COMBINATIONS = """() => {
  const inputs = name => [...document.querySelectorAll(`input[name=${name}]`)];
  const examples = [...document.querySelectorAll('.example')].map(one => ({
    one, task: one.classList[1], reasons: one.dataset.reason.split(' '),
    answers: [...one.querySelectorAll('.answer')].map(answer => ({
      answer, by: Number(answer.classList[1].slice(3)), mark: answer.dataset.mark})) }));
  const by = inputs('by'), key = input => input.id.split('-')[1];
  const counts = {combinations: 0, shown: 0, wrong: 0};
  for (const task of inputs('task')) for (const reason of inputs('reason'))
  for (const mark of inputs('mark')) for (let mask = 0; mask < 1 << by.length; mask++) {
    task.checked = reason.checked = mark.checked = true;
    by.forEach((input, i) => { input.checked = Boolean(mask >> i & 1); });
    counts.combinations++;
    for (const {one, answers, ...is} of examples) {
      const wanted = mask && ['all', is.task].includes(key(task))
        && ['all', ...is.reasons].includes(key(reason))
        && (key(mark) === 'all'
            || answers.some(a => a.mark === key(mark) && mask >> a.by & 1));
      const shown = one.checkVisibility();
      counts.shown += shown;
      counts.wrong += shown !== Boolean(wanted);
      if (shown) for (const {answer, by} of answers)
        counts.wrong += answer.checkVisibility() !== Boolean(mask >> by & 1);
    }
  }
  return counts;
}"""
SHOWN = """() => [...document.querySelectorAll('.example')]
  .filter(one => one.checkVisibility()).length"""


def test_every_combination_of_filters_shows_what_it_says(visits, plain):
    counts = visits(plain["gallery.html"]).page.evaluate(COMBINATIONS)
    assert counts["combinations"] == 4 * 5 * 4 * 2**3
    assert counts["shown"] > 0 and counts["wrong"] == 0


def test_filters_work_by_keyboard_and_are_taken_back(visits, plain):
    page = visits(plain["gallery.html"]).page
    every = page.evaluate(SHOWN)
    page.focus("#task-all")
    page.keyboard.press("ArrowRight")
    few = page.evaluate(SHOWN)
    assert 0 < few < every
    page.keyboard.press("Enter")
    # Sends nothing; the address keeps the filter.
    assert page.url == plain["gallery.html"].as_uri() + "#task=object"
    assert page.evaluate(SHOWN) == few
    page.emulate_media(media="print")
    assert page.evaluate(SHOWN) == every
    page.emulate_media(media="screen")
    page.get_by_role("button", name="Show all").press("Enter")
    assert page.evaluate(SHOWN) == every
    page.wait_for_function("location.hash === ''")


def test_filters_live_in_the_address_and_survive_a_reload(visits, plain):
    page = visits(plain["gallery.html"]).page
    page.check("#task-state")
    page.check("#mark-wrong")
    page.uncheck("#by-0")
    assert page.url.endswith("#task=state&mark=wrong&by=1,2")
    shown, address = page.evaluate(SHOWN), page.url
    page.reload()
    assert page.url == address and page.evaluate(SHOWN) == shown > 0
    other = visits(plain["gallery.html"]).page
    other.goto(address)
    assert other.is_checked("#mark-wrong") and not other.is_checked("#by-0")
    assert other.evaluate(SHOWN) == shown
    other.goto(address.partition("#")[0] + "#task=nonsense&by=7&evil=<script>")
    assert other.locator("script").count() == 1  # the page's own


def test_counts_follow_the_filters_and_match_what_is_shown(visits, plain):
    page = visits(plain["gallery.html"]).page
    page.check("#task-state")
    count = page.locator("label:has(#mark-wrong) small")
    expected = int(count.inner_text())
    page.check("#mark-wrong")
    assert page.evaluate(SHOWN) == expected
    page.check("#mark-all")
    for task in ("object", "grounding", "state"):
        count = page.locator(f"label:has(#task-{task}) small")
        page.check(f"#task-{task}")
        assert page.evaluate(SHOWN) == int(count.inner_text()) > 0


def test_it_says_when_nothing_matches_and_when_none_is_ticked(visits, plain):
    page = visits(plain["gallery.html"]).page
    empty, unticked = page.locator("#no-match"), page.locator(".unticked")
    assert not empty.is_visible() and not unticked.is_visible()
    page.check("#task-grounding")
    page.check("#mark-unreadable")
    assert page.evaluate(SHOWN) == 0 and empty.is_visible() and not unticked.is_visible()
    for number in range(3):
        page.uncheck(f"#by-{number}")
    assert page.evaluate(SHOWN) == 0 and unticked.is_visible() and not empty.is_visible()


def test_a_changed_filter_brings_the_top_of_the_list_into_view(visits, plain):
    page = visits(plain["gallery.html"], reduced_motion="reduce").page
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.evaluate("document.getElementById('task-object').click()")
    top = page.locator("#examples").bounding_box()["y"]
    assert 0 <= top < 400


def test_without_a_script_the_filters_work_and_say_that_none_is_ticked(visits, plain):
    page = visits(plain["gallery.html"], java_script_enabled=False).page
    page.check("#task-grounding")
    assert page.locator(".of-grounding .example").first.is_visible()
    assert not page.locator(".of-object .example").first.is_visible()
    for number in range(3):
        page.uncheck(f"#by-{number}")
    assert page.locator(".unticked").is_visible()
    assert not page.locator(".of-grounding .example").first.is_visible()


def test_on_a_phone_the_panel_sticks_to_the_top(visits, plain):
    page = visits(plain["gallery.html"], **VIEWS["phone"]).page
    assert not page.locator("#task-object").is_visible()
    page.evaluate("scrollTo(0, 3000)")
    page.check("#filters-open")
    panel = page.locator(".filters").bounding_box()
    assert -1 <= panel["y"] < 10 and panel["height"] < 500
    assert page.locator("#task-object").is_visible()


def test_one_answer_alone_keeps_the_width_of_a_column(visits, plain):
    page = visits(plain["gallery.html"]).page
    page.check("#task-object")
    width = page.locator(".answer.by-1").first.bounding_box()["width"]
    page.uncheck("#by-0")
    page.uncheck("#by-2")
    assert page.locator(".answer.by-1").first.bounding_box()["width"] == pytest.approx(width, abs=2)
