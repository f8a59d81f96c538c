"""The admin's look: everything of Unfold that is not a ModelAdmin."""

UNFOLD = {
    "SITE_TITLE": "Latchkey",
    "SITE_HEADER": "Latchkey",
    "SITE_SYMBOL": "key",
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
}
