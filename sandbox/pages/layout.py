"""What all pages share: escaping, the frame with its banner, redirects and refusals."""

from __future__ import annotations

import html
from collections.abc import Iterable
from datetime import UTC, datetime

from sandbox.pages.style import CSS
from sandbox.registry import PageAnswer

BANNER = "Sandbox — this is not Stripe, no money moves"
HEADERS = {
    # No form-action: browsers would hold it against the redirect to the shop's success_url.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
GOOD = {"active", "paid", "succeeded", "complete", "trialing", "delivered", "won"}
BAD = {"past_due", "unpaid", "failed", "uncollectible", "incomplete_expired", "waiting", "lost"}


class Html(str):
    """Text that may be sent as it is."""

    __slots__ = ()


def render(template: str, /, **values: object) -> Html:
    """Fill the {names}; whatever is not Html yet is escaped."""
    safe = {
        name: value if isinstance(value, Html) else Html(html.escape(str(value)))
        for name, value in values.items()
    }
    return Html(template.format(**safe))


def join(parts: Iterable[Html]) -> Html:
    return Html("".join(parts))


def document(title: str, body: Html, *, narrow: bool = False, status: int = 200) -> PageAnswer:
    text = render(
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<link rel="icon" href="data:,">'
        "<title>{title} · Sandbox</title><style>{css}</style></head><body>"
        '<div class="banner" role="note">{banner}</div>'
        '<main class="{width}">{body}</main></body></html>',
        title=title,
        css=Html(CSS),
        banner=BANNER,
        width="narrow" if narrow else "",
        body=body,
    )
    return PageAnswer(str(text), status=status, headers=dict(HEADERS))


def redirect(url: str) -> PageAnswer:
    """303: the browser fetches the next page with GET, so a reload does not post again."""
    return PageAnswer("", status=303, headers={**HEADERS, "Location": url})


def message(title: str, words: str, *, link: Html | None = None, status: int = 200) -> PageAnswer:
    body = render(
        '<div class="card"><h1>{title}</h1><p>{words}</p>{link}</div>',
        title=title,
        words=words,
        link=link or Html(),
    )
    return document(title, body, narrow=True, status=status)


def not_found(what: str) -> PageAnswer:
    words = f"The sandbox knows no such {what}. It forgets everything when it is restarted."
    return message(f"No such {what}", words, status=404)


def anchor(url: str, words: str, *, css: str = "") -> Html:
    """Only web addresses become links: a javascript: address stays text."""
    if not url.startswith(("http://", "https://", "/")):
        return render("{words}", words=words)
    return render('<a class="{css}" href="{url}">{words}</a>', css=css, url=url, words=words)


def note(words: str | None, kind: str = "bad") -> Html:
    if not words:
        return Html()
    return render('<div class="note {kind}" role="alert">{words}</div>', kind=kind, words=words)


def chip(word: str) -> Html:
    kind = "good" if word in GOOD else "bad" if word in BAD else ""
    return render('<span class="chip {kind}">{word}</span>', kind=kind, word=word.replace("_", " "))


def day(at: int | None) -> str:
    if not at:
        return "—"
    then = datetime.fromtimestamp(at, UTC)
    return f"{then.day} {then:%b %Y}"


def minute(at: int) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}"
