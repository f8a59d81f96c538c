"""A request acts with its whole body, however it comes, or not at all."""

import json
from datetime import timedelta
from io import BytesIO

import pytest
from django.core.wsgi import get_wsgi_application

from config.frontdoor import front_door
from config.wholebody import OfLength, Unreadable, WholeBodies
from keystore.models import ApiKey
from keystore.services import issue_key
from tests.conftest import NOON
from tests.hotway.conftest import call, environ_of

pytestmark = pytest.mark.django_db(transaction=True)

WISH = json.dumps({"overlap_seconds": 60, "reason": "a leak"}).encode()
FORM = "application/x-www-form-urlencoded"
NOT = "not sent"
PARTS = b'--x\r\nContent-Disposition: form-data; name="token"\r\n\r\nsecret\r\n--x--\r\n'
# Codecs that are none for texts, one that reads anything as something else, forms of RFC 2231.
ODD_PARAMETERS = [
    "charset=base64",
    "charset=undefined",
    "charset=utf-16",
    "charset*=utf-8''a%00b",
    "a*=nope''b",
]
CHUNKED = {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked"}
HTTP_2 = {"CONTENT_LENGTH": "", "SERVER_PROTOCOL": "HTTP/2"}


class Dribble(BytesIO):
    """Hands on at most three bytes at a time."""

    def read(self, size=-1):
        return super().read(3 if size < 0 else min(size, 3))


@pytest.fixture
def key(journal, alice):
    return issue_key(project=journal, owner=alice, actor="system", at=NOON).key


@pytest.fixture
def rotate(backend_key, key):
    """Asks for a successor of alice's key with this body, as the server would hand it on."""
    application = WholeBodies(get_wsgi_application())

    def ask(body, **more):
        path = f"/api/v1/keys/{key.public_id}/rotate"
        asked = environ_of(path, method="POST", body=WISH, HTTP_X_API_KEY=backend_key)
        asked |= {"wsgi.input": BytesIO(body), **more}
        reply = call(application, {name: value for name, value in asked.items() if value != NOT})
        return reply, json.loads(reply.body)

    return ask


def told(answer):
    reply, problem = answer
    return reply.status[:3], problem["code"]


@pytest.mark.parametrize("came", [b"", WISH[:10], WISH[:-1]])
def test_a_body_that_was_cut_off_changes_nothing(rotate, came):
    assert told(rotate(came)) == ("400", "body_cut_off")
    assert ApiKey.objects.filter(consumer__isnull=False).count() == 1


@pytest.mark.parametrize("how", [CHUNKED, HTTP_2])
def test_json_without_a_length_is_read(rotate, key, how):
    reply, shown = rotate(WISH, **how)

    assert reply.status[:3] == "201", shown
    key.refresh_from_db()
    successor = ApiKey.objects.get(public_id=shown["id"])
    assert key.expires_at - successor.created_at == timedelta(seconds=60)


@pytest.mark.parametrize("how", [CHUNKED, HTTP_2])
@pytest.mark.parametrize(
    ("came", "refusal"),
    [
        (b"", ("411", "length_required")),
        (WISH[:10], ("400", "invalid_json")),
        (WISH[:-1], ("400", "invalid_json")),
    ],
)
def test_json_that_was_cut_off_without_a_length_changes_nothing(rotate, came, refusal, how):
    assert told(rotate(came, **how)) == refusal
    assert ApiKey.objects.filter(consumer__isnull=False).count() == 1


@pytest.mark.parametrize(("came", "status"), [(b"", "201"), (WISH, "415"), (WISH[:10], "415")])
def test_over_http_2_a_body_may_come_without_any_header(rotate, came, status):
    reply, shown = rotate(came, **HTTP_2, CONTENT_TYPE=NOT)

    assert reply.status[:3] == status, shown
    assert ApiKey.objects.filter(consumer__isnull=False).count() == (2 if status == "201" else 1)


def test_a_form_needs_a_length(rotate):
    answer = rotate(b"overlap_seconds=6", **CHUNKED, CONTENT_TYPE=FORM)

    assert told(answer) == ("415", "unsupported_media_type")
    assert ApiKey.objects.filter(consumer__isnull=False).count() == 1


@pytest.mark.parametrize("how", [{"CONTENT_LENGTH": "0"}, {"CONTENT_LENGTH": ""}])
def test_no_body_is_no_body(rotate, how):
    assert rotate(b"", **how)[0].status[:3] == "201"


@pytest.mark.parametrize("how", [{}, CHUNKED])
@pytest.mark.parametrize(("path", "status"), [("/admin/login/", 403), ("/dashboard/enter", 400)])
def test_a_form_that_was_cut_off_is_refused_and_no_fault_of_ours(path, status, how):
    asked = environ_of(path, method="POST", body=b"token=secret", CONTENT_TYPE=FORM)
    asked |= {"wsgi.input": BytesIO(b"token=sec"), **how}

    assert call(WholeBodies(get_wsgi_application()), asked).status.startswith(str(status))


@pytest.mark.parametrize("parameters", ODD_PARAMETERS)
@pytest.mark.parametrize("application", [WholeBodies, lambda inner: front_door(WholeBodies(inner))])
def test_the_query_is_read_the_same_whatever_the_type_of_the_body(
    application, parameters, backend_key, key
):
    kind = {"CONTENT_TYPE": f"application/json; {parameters}", "HTTP_X_API_KEY": backend_key}
    for path in ("/api/v1/keys", "/api/v1/entitlements"):
        asked = environ_of(path, query="user_id=alice", **kind)
        reply = call(application(get_wsgi_application()), asked)

        assert reply.status[:3] == "200", reply.body
        assert b'"alice"' in reply.body


def test_json_is_utf_8_whatever_the_type_says(rotate, key):
    reply, shown = rotate(WISH, CONTENT_TYPE="application/json; charset=utf-16")

    assert reply.status[:3] == "201", shown


@pytest.mark.parametrize("parameters", ODD_PARAMETERS)
@pytest.mark.parametrize(
    ("kind", "body"), [(FORM, b"token=secret"), ("multipart/form-data; boundary=x", PARTS)]
)
def test_a_form_in_another_charset_is_refused(kind, body, parameters):
    asked = environ_of("/dashboard/enter", method="POST", body=body)
    asked["CONTENT_TYPE"] = f"{kind}; {parameters}"

    assert call(WholeBodies(get_wsgi_application()), asked).status.startswith("400")


@pytest.mark.parametrize(
    "parameters", ['charset="UTF-8"; boundary="x"', "boundary=x ; charset=utf8;", "boundary=x"]
)
def test_a_form_may_say_that_it_is_utf_8(parameters):
    kind = f"multipart/form-data; {parameters}"
    asked = environ_of("/dashboard/enter", method="POST", body=PARTS, CONTENT_TYPE=kind)

    assert call(WholeBodies(get_wsgi_application()), asked).status.startswith("401")


def test_a_body_that_comes_in_pieces_is_whole():
    body = OfLength(Dribble(b"first\nsecond\n"), 13)

    assert [body.read(8), body.readline(), body.read(5), body.read()] == [
        b"first\nse",
        b"cond\n",
        b"",
        b"",
    ]


@pytest.mark.parametrize("read", [OfLength.read, OfLength.readline])
def test_neither_way_of_reading_takes_a_part_for_the_whole(read):
    with pytest.raises(Unreadable):
        read(OfLength(BytesIO(b"first"), 6))
