"""The customer's pages in German: complete, chosen by the customer, and nobody else's."""

import ast
import gettext
import re
from pathlib import Path

import pytest
from django.test import Client
from django.utils.translation import override

from billing.ownpages.wording import day, money, number
from tests.billing.ownpages.test_pages import invoice_of, subscription_of
from tests.conftest import NOON

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "locale/de/LC_MESSAGES"
IN_TEMPLATES = re.compile(r"{% translate (?:\"([^\"]+)\"|'([^']+)')")
BLOCKS = re.compile(r"{% blocktranslate[^%]*%}(.*?){% endblocktranslate %}", re.S)


def compiled():
    with (FOLDER / "django.mo").open("rb") as file:
        return gettext.GNUTranslations(file)._catalog


def templates():
    return [ROOT / "templates/billing/dashboard.html", *(ROOT / "templates/billing/own").glob("*")]


def texts_of_templates():
    for template in templates():
        text = template.read_text()
        yield from (one or other for one, other in IN_TEMPLATES.findall(text))
        yield from (re.sub(r"{{ (\w+) }}", r"%(\1)s", block) for block in BLOCKS.findall(text))


def texts_of_code():
    for path in [ROOT / "billing/dashboard.py", *(ROOT / "billing/ownpages").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            called = node.func if isinstance(node, ast.Call) else None
            if isinstance(called, ast.Name) and called.id in ("_", "gettext_noop"):
                yield from (one.value for one in node.args if isinstance(one, ast.Constant))


def test_every_text_of_the_pages_has_its_german():
    wanted = {*texts_of_templates(), *texts_of_code()}
    assert len(wanted) > 80

    assert {text for text in wanted if not compiled().get(text)} == set()


def test_the_compiled_file_is_that_of_the_source():
    source = (FOLDER / "django.po").read_text()
    pairs = re.findall(r'^msgid "(.+)"\nmsgstr "(.+)"$', source, re.M)
    plurals = re.findall(r'^msgid "(.+)"\nmsgid_plural ".+"\nmsgstr\[0\] "(.+)"\n', source, re.M)

    found = compiled()
    assert {text: found[text] for text, _ in pairs} == dict(pairs)
    assert {text: found[text, 0] for text, _ in plurals} == dict(plurals)
    assert len(pairs) + 2 * len(plurals) == len(found) - 1  # and the header


def test_days_numbers_and_money_are_written_as_in_the_language():
    with override("de"):
        assert day(NOON) == "1. März 2026"
        assert (money(149900, "eur"), money(500, "jpy")) == ("1.499,00 EUR", "500 JPY")
        assert (number(10000), number("0.50")) == ("10.000", "0,5")
    assert (day(NOON), money(149900, "eur"), number(10000)) == (
        "1 March 2026",
        "1,499.00 EUR",
        "10,000",
    )


@pytest.mark.django_db
def test_a_customer_reads_german_when_the_browser_asks_for_it(alices, alice, pro):
    subscription_of(alice, pro)
    invoice_of(alice)

    page = alices.get("/dashboard", HTTP_ACCEPT_LANGUAGE="de-CH,de;q=0.9").content.decode()

    for part in ('<html lang="de">', "Ihr Tarif", "Verlängert sich am 1. April 2026",
                 "14,99 USD pro Monat", "1.499,00 USD", "Bezahlt"):  # fmt: skip
        assert part in page


@pytest.mark.django_db
def test_a_chosen_language_is_remembered(alices):
    alices.get("/dashboard", {"lang": "de"})
    assert "Ihr Tarif" in alices.get("/dashboard", HTTP_ACCEPT_LANGUAGE="en").content.decode()

    alices.get("/dashboard", {"lang": "en"})
    assert "Your plan" in alices.get("/dashboard", HTTP_ACCEPT_LANGUAGE="de").content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize("odd", ["fr", "../de", "x" * 3000, "\u0661"])
def test_a_language_that_there_is_not_is_passed_over(odd):
    answer = Client().get("/dashboard", {"lang": odd})

    assert (answer.status_code, "lang" in answer.cookies) == (403, False)
    assert "Your visit has ended." in answer.content.decode()


@pytest.mark.django_db
def test_acts_answer_in_german(alices):
    answer = alices.post("/dashboard/buy/price_none", HTTP_ACCEPT_LANGUAGE="de")

    assert "So etwas gibt es hier nicht." in answer.content.decode()
