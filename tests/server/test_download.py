"""Which URLs are fetched, and which never."""

import socket
from urllib.error import URLError

import pytest
from numserve.server import download
from numserve.server.download import Downloads, canonical


@pytest.mark.parametrize(
    ("url", "read"),
    [
        ("HTTPS://Models.Example.ORG:443/A.mar#x", "https://models.example.org/A.mar"),
        ("http://h:80/a?b=c", "http://h/a?b=c"),
        ("http://h:81/a", "http://h:81/a"),
        ("http://[::1]:80/a", "http://[::1]/a"),
        ("file:///a/b.mar", "file:///a/b.mar"),
        ("http://good@evil/a", None),
        ("http://good:80@evil/a", None),
        ("http://good\\@evil/a", None),
        ("http://good\\.evil/a", None),
        ("http://good/a b", None),
        ("http://good/a\r\nHost: evil", None),
        ("http:///a", None),
        ("http://h:x/a", None),
        ("http://[::1/a", None),
    ],
)
def test_a_url_is_matched_as_it_will_be_read(url, read):
    assert canonical(url) == read


@pytest.mark.parametrize(
    ("pattern", "url", "allowed"),
    [
        ("https://models\\.org/.*", "https://models.org/m.mar", True),
        ("https://models\\.org/.*", "HTTPS://MODELS.org:443/m.mar", True),
        ("https://models\\.org/.*", "https://models.org.evil/m.mar", False),
        ("https://models\\.org/.*", "https://models.org@evil/m.mar", False),
        ("https://models\\.org/.*", "https://evil/?https://models.org/m.mar", False),
        ("https://models\\.org/.*", "https://evil#https://models.org/", False),
        ("https://models\\.org/.*", "http://models.org/m.mar", False),
        ("http(s)?://.*", "http://evil/#", True),
    ],
)
def test_a_pattern_matches_the_whole_url(pattern, url, allowed):
    assert Downloads([pattern]).allows(url) is allowed


@pytest.mark.parametrize("peer", ["169.254.169.254", "fe80::1%lo", "::ffff:169.254.169.254", "0.0.0.0", "224.0.0.1"])
@pytest.mark.parametrize("kind", [download._Checked, download._CheckedTls])
def test_where_a_machine_keeps_its_own_services_nothing_is_asked(monkeypatch, peer, kind):
    asked = []
    own = socket.getaddrinfo

    def look_up(host, *more, **named):
        asked.append(host)
        return own("127.0.0.1", *more, **named) + [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (peer, 80))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("somebody is asked"))
    with pytest.raises(URLError, match="a machine's own services"):
        kind("allowed.example.org", timeout=1).connect()
    assert asked == ["allowed.example.org"]


def test_of_a_names_addresses_the_first_that_answers_is_taken(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        nobody = gone.getsockname()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        places = [nobody, listening.getsockname()]
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place) for place in places]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        connection = download._Checked("allowed.example.org", timeout=30)
        connection.connect()
        assert connection.sock.getpeername() == listening.getsockname()
        connection.close()
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found[:1])
        with pytest.raises(ConnectionRefusedError):
            connection.connect()


def test_a_redirection_to_a_file_is_not_followed():
    redirects = download._Redirects(lambda url: True)
    with pytest.raises(URLError, match="leads on to file:///etc/passwd"), open("/dev/null", "rb") as answer:
        redirects.redirect_request(None, answer, 302, "", None, "file:///etc/passwd")
