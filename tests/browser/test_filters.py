"""The gallery's filters: in a real browser, every combination shows what it says and no more."""

import pytest

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
      const wanted = ['all', is.task].includes(key(task))
        && ['all', ...is.reasons].includes(key(reason))
        && (key(mark) === 'all'
            || answers.some(a => a.mark === key(mark) && mask >> a.by & 1));
      const shown = one.checkVisibility();
      counts.shown += shown;
      counts.wrong += shown !== wanted;
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
    page.keyboard.press("Enter")  # sends nothing
    assert page.url == plain["gallery.html"].as_uri() and page.evaluate(SHOWN) == few
    page.emulate_media(media="print")
    assert page.evaluate(SHOWN) == every
    page.emulate_media(media="screen")
    page.get_by_role("button", name="Show all").press("Enter")
    assert page.evaluate(SHOWN) == every
