"""Who may look and who may act: the rules against requests as browsers, programs and other web sites send them."""

from __future__ import annotations

import pytest

from stream_maas.dashboard.access import SESSION_S, Access, is_loopback, same_origin
from stream_maas.errors import SettingsError
from stream_maas.settings import DashboardConfig

VIEWER, OPERATOR = "viewer-token-0123456789-abcd", "operator-token-0123456789-abcd"
WITH_TOKENS = DashboardConfig(host="0.0.0.0", viewer_token=VIEWER, operator_token=OPERATOR)


def test_an_open_page_is_for_this_machine_only() -> None:
    for host in ("0.0.0.0", "10.0.0.1", "::", "page.example.org"):
        with pytest.raises(SettingsError, match=r"dashboard\.host"):
            Access(DashboardConfig(host=host))
    access = Access(DashboardConfig())
    for host in ("127.0.0.1:8088", "localhost:8088", "[::1]:8088", "localhost"):
        assert access.role({"Host": host}, None, 0) == "operator"
    for host in ("evil.example.org", "evil.example.org:8088", "127.0.0.1.example.org", ""):
        assert access.role({"Host": host}, None, 0) is None
    assert Access(DashboardConfig(local_role="viewer")).role({"Host": "localhost"}, None, 0) == "viewer"


def test_tokens_have_their_roles() -> None:
    access = Access(WITH_TOKENS)
    assert access.role({"Authorization": f"Bearer {VIEWER}"}, None, 0) == "viewer"
    assert access.role({"Authorization": f"bearer {OPERATOR}"}, None, 0) == "operator"
    for header in ("", "Bearer", "Bearer ", f"Basic {VIEWER}", f"Bearer {VIEWER}x", f"Bearer {VIEWER[:-1]}"):
        assert access.role({"Authorization": header, "Host": "localhost"}, None, 0) is None


def test_a_token_that_is_not_set_lets_nobody_in() -> None:
    access = Access(DashboardConfig(operator_token=OPERATOR))
    assert access.role({"Authorization": "Bearer "}, None, 0) is None
    assert access.sign_in("", 0) is None


def test_short_tokens_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"dashboard\.viewer_token") as caught:
        Access(DashboardConfig(viewer_token="secret"))
    assert "secret" not in str(caught.value)


def test_sessions_begin_and_end() -> None:
    access = Access(WITH_TOKENS)
    assert access.sign_in("wrong", 0) is None
    session = access.sign_in(VIEWER, 0)
    assert session is not None
    assert access.role({}, session, SESSION_S - 1) == "viewer"
    assert access.role({}, session, SESSION_S) is None
    access.sign_out(session)
    assert access.role({}, session, 1) is None
    assert access.role({}, "made-up", 1) is None


def test_only_the_page_itself_acts() -> None:
    assert same_origin({"Host": "page:8088", "Origin": "http://page:8088"})
    assert same_origin({"Host": "page:8088"})  # a program: no browser leaves Origin out of a POST
    for origin in ("http://evil.example.org", "null", "http://page", "http://page:8089"):
        assert not same_origin({"Host": "page:8088", "Origin": origin})


def test_loopback_names() -> None:
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost"))
    assert not any(is_loopback(host) for host in ("", "0.0.0.0", "10.0.0.1", "localhost.example.org"))
