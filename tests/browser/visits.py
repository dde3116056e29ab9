"""Visits of pages in a browser, and all that a page does there: requests, messages, dialogs."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

VIEWS: dict[str, dict[str, Any]] = {
    "light": {"viewport": {"width": 1280, "height": 800}},
    "dark": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark"},
    "phone": {
        "viewport": {"width": 390, "height": 844},
        "device_scale_factor": 2,
        "is_mobile": True,
        "has_touch": True,
    },
}
OVERFLOW = """() => {
  const width = document.documentElement.clientWidth;
  const wide = [...document.body.querySelectorAll('*')].filter(one =>
    one.getBoundingClientRect().right > width + 1 && !one.closest('.hidden, .skip')
    && !one.parentElement.closest('.scroll, pre, svg'));
  const names = wide.map(one => `${one.tagName}.${one.getAttribute('class')}`);
  return document.documentElement.scrollWidth > width ? ['the page', ...names] : [];
}"""
UNFOLD = "document.querySelectorAll('details').forEach(one => { one.open = true; })"


@dataclass
class Visit:
    """An open page, and what it did."""

    page: Any
    requests: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    def unfold(self) -> None:
        self.page.evaluate(UNFOLD)

    def overflow(self) -> list[str]:
        """Return what stands out of the page to the right, if the page can be moved that way."""
        return self.page.evaluate(OVERFLOW)


@dataclass
class Visits:
    """Opens pages, each in a browser profile of its own."""

    browser: Any
    contexts: list[Any] = field(default_factory=list)

    def __call__(self, path: Path, **settings: Any) -> Visit:
        """Open a page, with the settings of a Playwright context, and note what it does."""
        context = self.browser.new_context(**settings)
        self.contexts.append(context)
        context.set_default_timeout(20_000)
        visit = Visit(context.new_page())
        visit.page.on("request", lambda request: visit.requests.append(request.url))
        visit.page.on("console", lambda message: visit.messages.append(message.text))
        visit.page.on("pageerror", lambda error: visit.messages.append(str(error)))
        visit.page.on("dialog", lambda dialog: (visit.messages.append("dialog"), dialog.dismiss()))
        visit.page.goto(path.as_uri())
        return visit

    def close(self) -> None:
        for context in self.contexts:
            context.close()
