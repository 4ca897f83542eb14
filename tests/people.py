"""People who log in to the tests' Label Studio: accounts made through its invitation, each with a token of its own."""

from __future__ import annotations

import re

import httpx

from pipeline.label_studio.connection import Connection, request


def sign_up(server: Connection, *names: str) -> dict[str, tuple[Connection, int]]:
    """name → (connection as that person, user id); made where missing."""
    invite = request(server, "GET", "/api/invite")["invite_url"]
    return {name: _person(server, str(invite), name) for name in names}


def _person(server: Connection, invite: str, name: str) -> tuple[Connection, int]:
    email, password = f"{name.lower()}@people.example.com", f"{name}-password-1"
    with httpx.Client(base_url=server.url, follow_redirects=True, timeout=60) as browser:
        known = {user["email"] for user in request(server, "GET", "/api/users/")}
        page = "/user/login/" if email in known else invite
        form = browser.get(page).text
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form)
        assert token, form[:500]
        fields = {"csrfmiddlewaretoken": token[1], "email": email, "password": password}
        browser.post(page, data=fields, headers={"Referer": server.url + page}).raise_for_status()
        own = browser.get("/api/current-user/token").json()["token"]
        who = browser.get("/api/current-user/whoami").json()["id"]
    return Connection(server.url, own), int(who)
