"""What others wrote is untrusted: in a real browser none of it runs, asks or breaks the page."""

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import hostile
import pytest
import whole_study
from visits import Visits

pytestmark = pytest.mark.browser
# All that is live is one text, after what would end the text before it: where it is cut, a tag that
# is not escaped shows whichever it is.
SAID = {"live": " ".join([hostile.LIVE["closing tags"], *hostile.LIVE.values()])}
SAID |= {name: hostile.LIVE[name] for name in ("script", "attribute")}
SAID |= hostile.LEAVING | hostile.ODD | hostile.LONG
# Which examples are shown depends on their ids: of those, which kinds of elements there are.
STRUCTURE = """() => {
  const kind = one =>
    one.tagName + ' ' + one.getAttributeNames().join(' ') + ' ' + one.getAttribute('role');
  const every = [...document.querySelectorAll('*')], examples = one => one.closest('.examples');
  return [every.filter(one => !examples(one)).map(kind),
          [...new Set(every.filter(examples).map(kind))]];
}"""
# The report's own words, by where their first two letters stand.
BACKWARDS = """own => {
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
  const range = document.createRange();
  while (walk.nextNode()) {
    const text = walk.currentNode, at = text.data.search(/[A-Za-z]{2}/);
    if (at < 0 || !own.includes(text.data) || !text.parentElement.checkVisibility()) continue;
    const [first, second] = [0, 1].map(i => {
      range.setStart(text, at + i); range.setEnd(text, at + i + 1);
      return range.getBoundingClientRect(); });
    if (first.top === second.top && second.left < first.left) found.push(text.data);
  }
  return found;
}"""
HEIGHT = "document.documentElement.scrollHeight"
TEXTS = """() => { const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = []; while (walk.nextNode()) found.push(walk.currentNode.data); return found; }"""


@pytest.fixture(scope="module")
def twins(chromium, plain):
    """Return the structure, the texts and the height of each page that says nothing odd."""
    visits = Visits(chromium)
    pages = {name: visits(path).page for name, path in plain.items()}
    asked = (STRUCTURE, TEXTS, HEIGHT)
    found = {name: [page.evaluate(one) for one in asked] for name, page in pages.items()}
    visits.close()
    return found


@pytest.fixture(scope="module")
def kinds(twins):
    """Return the kinds of elements in the examples of all pages that say nothing odd."""
    return {kind for (_, kinds), *_ in twins.values() for kind in kinds}


@pytest.fixture
def server():
    """Yield a server on this machine, and the list of what is asked of it."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args):
            pass

    served = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=served.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{served.server_port}", asked
    served.shutdown()


def did(visit, asked: list[str]) -> list[str]:
    """Return what a page ran or asked for."""
    visit.page.wait_for_timeout(150)
    ran = ["ran"] if visit.page.evaluate("window.ran !== undefined") else []
    return [*ran, *asked, *(one for one in visit.messages if one == "dialog")]


def bare(tmp_path, page: str, words: str):
    """Write a page down to its first heading, with words after it that nothing escapes."""
    path = tmp_path / "bare.html"
    head, end, _ = page.partition("</h1>")
    path.write_text(f"{head}{end}{words}", encoding="utf-8", errors="replace")
    return path


@pytest.mark.parametrize("name", hostile.LIVE)
def test_what_is_not_escaped_is_forbidden(visits, plain, server, tmp_path, name):
    url, asked = server
    words = hostile.LIVE[name].replace("URL", url)
    path = bare(tmp_path, plain["report.html"].read_text(encoding="utf-8"), words)
    assert did(visits(path), asked) == []
    assert did(visits(path, bypass_csp=True), asked) != []  # these words are no harmless ones


@pytest.mark.parametrize("name", SAID)
def test_what_is_not_forbidden_is_escaped(visits, twins, kinds, server, tmp_path, name):
    url, asked = server
    words = SAID[name].replace("URL", url)
    for path in whole_study.write(tmp_path / "study", words):
        (structure, _), texts, height = twins[path.name]
        visit = visits(path, bypass_csp=True)
        assert did(visit, asked) == []
        assert visit.page.url == path.as_uri()
        found, shown = visit.page.evaluate(STRUCTURE)
        assert found == structure and set(shown) <= kinds
        assert visit.page.evaluate(BACKWARDS, texts) == []
        assert visit.overflow() == []
        assert visit.page.evaluate(HEIGHT) < 4 * height


def test_the_policy_forbids_all_but_this_style_and_images_inside(plain):
    for path in plain.values():
        page = path.read_text(encoding="utf-8")
        policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
        given = dict(one.strip().split(" ", 1) for one in policy.replace("&#39;", "'").split(";"))
        style = given.pop("style-src")
        assert re.fullmatch("'sha256-[^' ]+'", style)
        script = given.pop("script-src", None)  # the gallery's own alone
        assert (script is not None) == (path.name == "gallery.html")
        assert script is None or re.fullmatch("'sha256-[^' ]+'", script)
        assert given == {
            "default-src": "'none'",
            "img-src": "data:",
            "base-uri": "'none'",
            "form-action": "'none'",
        }
        assert page.index("Content-Security-Policy") < page.index("<title")
