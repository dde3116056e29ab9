"""How the report's pages look: on any width, dark, in print, still where motion is unwanted."""

import pytest
from PIL import Image, ImageStat
from pypdf import PdfReader
from visits import VIEWS

pytestmark = pytest.mark.browser
A4 = {"width": 688, "height": 1017}  # CSS pixels inside of the margins
CUT_OFF = """() => [...document.querySelectorAll('.scroll, pre, svg, td, th')]
  .filter(one => one.checkVisibility() && !one.closest('.hidden')
    && (one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).overflowX !== 'visible'
        || one.getBoundingClientRect().right > innerWidth + 1))
  .map(one => one.outerHTML.slice(0, 100))"""


@pytest.mark.parametrize("study", ["plain", "odd"])
def test_nothing_stands_out_of_the_page(visits, request, study):
    for path in request.getfixturevalue(study).values():
        visit = visits(path)
        for unfold in (False, True):
            if unfold:
                visit.unfold()
            for width in (320, 390, 768, 1280):
                visit.page.set_viewport_size({"width": width, "height": 800})
                assert visit.overflow() == [], f"{path.name}, {width} wide, {unfold=}"


def test_nothing_is_asked_for_and_nothing_complains(visits, plain):
    for path in plain.values():
        visit = visits(path)
        visit.page.wait_for_timeout(200)
        assert [url for url in visit.requests if not url.startswith("data:")] == [path.as_uri()]
        assert visit.messages == []


def test_dark_is_dark_and_paper_is_white(visits, plain):
    ground = "getComputedStyle(document.body).backgroundColor"
    page = visits(plain["report.html"], color_scheme="dark").page
    dark = page.evaluate(ground)
    page.emulate_media(media="print")
    paper = page.evaluate(ground)
    page.emulate_media(media="screen", color_scheme="light")
    assert dark == "rgb(20, 22, 26)" and paper == "rgb(255, 255, 255)"
    assert page.evaluate(ground) not in (dark, paper)


def test_nothing_moves_where_motion_is_unwanted(visits, plain):
    behaviour = "getComputedStyle(document.documentElement).scrollBehavior"
    moving = "document.getAnimations().length"
    page = visits(plain["report.html"], reduced_motion="reduce").page
    assert page.evaluate(behaviour) == "auto" and page.evaluate(moving) == 0
    page.emulate_media(reduced_motion="no-preference")
    assert page.evaluate(behaviour) == "smooth"


def test_paper_holds_the_results_and_cuts_nothing_off(visits, plain, pictures):
    page = visits(plain["report.html"], viewport=A4).page
    target = pictures / "report.pdf"
    page.pdf(path=target, prefer_css_page_size=True, tagged=True, outline=True)
    pages = PdfReader(target).pages
    text = " ".join(" ".join(one.extract_text() for one in pages).split())
    assert 3 <= len(pages) <= 20
    assert "Test results in percent" in text and "45.0" in text and "42.0–48.0" in text
    assert "These numbers as a table" not in text  # folded: its figure is there
    assert float(pages[0].mediabox.width) == pytest.approx(595, abs=1)  # A4
    page.emulate_media(media="print")
    assert page.evaluate(CUT_OFF) == []


def test_pictures_are_taken_to_look_at(visits, plain, odd, pictures):
    light = {}
    for study, pages in {"": plain, "odd-": odd}.items():
        for path in pages.values():
            wide, narrow = (visits(path, **VIEWS[view]).page for view in ("light", "phone"))
            for view, page in {"light": wide, "phone": narrow, "dark": wide}.items():
                page.emulate_media(color_scheme="dark" if view == "dark" else "light")
                target = pictures / f"{study}{path.stem}-{view}.png"
                page.screenshot(path=target, full_page=study == "")
                with Image.open(target) as image:
                    light[target.stem] = ImageStat.Stat(image.convert("L")).mean[0]
    assert light["report-light"] > 200 > 80 > light["report-dark"]


def test_the_report_is_at_most_ten_screens_long(visits, plain):
    page = visits(plain["report.html"], viewport={"width": 1440, "height": 900}).page
    assert page.evaluate("document.documentElement.scrollHeight") <= 10 * 900


@pytest.mark.parametrize("view", VIEWS)
def test_the_navigation_stays_in_sight(visits, plain, view):
    page = visits(plain["report.html"], **VIEWS[view], reduced_motion="reduce").page
    page.evaluate("scrollTo(0, 2500)")
    link = page.locator("nav a").first.bounding_box()
    assert 0 <= link["y"] < 80
    page.locator("nav a", has_text="Run").click()
    heading = page.locator("#run h2").bounding_box()
    assert heading["y"] > link["y"] + link["height"]  # not beneath the navigation


def test_a_table_that_scrolls_says_so(visits, plain):
    page = visits(plain["report.html"], **VIEWS["phone"]).page
    table = page.locator(".scroll:has(.results)").first
    assert table.evaluate("one => one.scrollWidth > one.clientWidth")
    edges = table.evaluate("one => getComputedStyle(one).backgroundAttachment.split(', ')")
    assert edges.count("local") == 2 and edges.count("scroll") >= 2  # covers, and shadows
    table.screenshot(path=(target := plain["report.html"].with_name("table.png")))
    with Image.open(target) as image:
        near = [image.crop((x, 60, x + 2, 90)).convert("L") for x in (image.width - 6, 300)]
        edge, middle = (ImageStat.Stat(part).mean[0] for part in near)
    assert edge < middle - 5  # a shadow


def test_words_stand_to_the_left_and_numbers_to_the_right(visits, plain):
    visit = visits(plain["report.html"])
    visit.unfold()
    cells = "[...document.querySelectorAll('.data td')].map(one => [one.innerText.trim(), "
    aligned = visit.page.evaluate(cells + "getComputedStyle(one).textAlign])")
    assert {side for text, side in aligned if text[:1].isalpha()} == {"left"}
    assert ("40", "right") in map(tuple, aligned)
