from __future__ import annotations

import gzip
import time
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.studio.web import HERE, open_page, project_of

from storyteller.studio.access import add_user
from storyteller.studio.app import create_app
from storyteller.studio.errors import LimitError, StudioError
from storyteller.studio.security import HEADERS, Attempts, hash_password, right_password
from storyteller.studio.settings import StudioSettings

TOKEN = "a-token-that-nobody-guesses"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "localhost:8321"}, 200),
        ({"host": "[::1]:8321"}, 200),
        ({"host": "127.0.0.1.:80"}, 200),
        ({"host": "127.1.2.3"}, 200),
        ({"host": "evil.example"}, 403),
        ({"host": "127.0.0.1.evil.example"}, 403),
        ({"host": "localhost.evil.example"}, 403),
        ({"host": "evil.example@127.0.0.1"}, 403),
        ({"host": "127.0.0.1/evil.example"}, 403),
        ({"host": "192.168.1.5"}, 403),
        ({"host": ""}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "none"}, 200),
    ],
)
def test_who_may_read(tmp_path: Path, headers: dict[str, str], status: int) -> None:
    with open_page(tmp_path) as client:
        answer = client.get("/api/projects", headers=headers)
    assert answer.status_code == status
    assert answer.headers["content-security-policy"] == HEADERS["content-security-policy"]
    if status == 403:
        assert answer.json()["error"]["code"] == "forbidden"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 201),
        ({"origin": HERE}, 201),
        ({"origin": "http://127.0.0.1:9999"}, 403),
        ({"origin": "https://127.0.0.1"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "same-origin", "origin": "http://localhost:5173"}, 201),
        ({"sec-fetch-site": "cross-site", "origin": HERE}, 403),
        ({"content-type": "text/plain"}, 422),
        ({"content-type": "application/x-www-form-urlencoded"}, 422),
    ],
)
def test_who_may_change(tmp_path: Path, headers: dict[str, str], status: int) -> None:
    with open_page(tmp_path) as client:
        sent = {"content-type": "application/json", **headers}
        answer = client.post("/api/projects", content='{"title": "x"}', headers=sent)
        assert answer.status_code == status
        assert len(client.get("/api/projects").json()) == (status == 201)


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/assets/..%2f..%2f..%2fetc%2fpasswd",
        "/assets/....//....//etc/passwd",
        "/..%5c..%5cetc%5cpasswd",
        "//etc/passwd",
        "/index.html/../../security.py",
        "/.git/config",
    ],
)
def test_no_path_leads_out_of_the_page(tmp_path: Path, path: str) -> None:
    with open_page(tmp_path) as client:
        answer = client.get(path)
    assert "root:" not in answer.text
    assert "import" not in answer.text
    assert answer.status_code in (200, 404)  # the page for an address inside it, or nothing


@pytest.mark.parametrize(
    ("path", "size", "status"),
    [
        ("/api/session", 5000, 413),
        ("/api/projects", (8 << 20) + 1, 413),
        ("/v1/completions", (8 << 20) + 1, 413),
        ("/api/import", (64 << 20) + 1, 413),
        ("/api/import", (8 << 20) + 1, 400),  # large enough for a book, and no JSON
    ],
)
def test_bodies_have_a_limit(tmp_path: Path, path: str, size: int, status: int) -> None:
    with open_page(tmp_path) as client:
        whole = client.post(path, content=b" " * size, headers={"content-type": "application/json"})
        assert whole.status_code == status

        def drip() -> Any:  # no Content-Length
            for _ in range(0, size, 1 << 20):
                yield b" " * min(size, 1 << 20)
            yield b" "

        dripped = client.post(path, content=drip(), headers={"content-type": "application/json"})
        assert dripped.status_code == status
    if status == 413:
        for answer in (whole, dripped):
            told = answer.json()["error"]
            assert "more than" in (told["message"])


def test_a_token_opens_it(tmp_path: Path) -> None:
    with open_page(tmp_path, token=TOKEN) as client:
        stranger = client.get("/api/status").json()
        assert stranger | {"version": "", "model": None, "storage": None} == {
            "version": "", "accounts": False, "token": True, "signed_in": False, "user": None, "model": None, "storage": None
        }  # fmt: skip
        assert client.get("/").status_code == 200  # the page that asks for it
        for given in (
            {},
            {"authorization": f"Bearer {TOKEN}x"},
            {"authorization": TOKEN},
            {"cookie": f"storyteller={TOKEN}"},
        ):
            answer = client.get("/api/projects", headers=given)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert client.get(f"/api/projects?token={TOKEN}").status_code == 401
        assert client.get("/v1/models").json()["error"]["type"] == "authentication_error"
        assert client.get("/api/projects", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
        assert client.post("/api/session", json={"token": "wrong" * 9}).status_code == 401
        signed = client.post("/api/session", json={"token": TOKEN})
        cookie = signed.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert TOKEN not in cookie + signed.text
        assert client.get("/api/projects").status_code == 200
        assert client.get("/api/status").json()["signed_in"] is True
        client.delete("/api/session")
        assert client.get("/api/projects").status_code == 401


def test_guessing_is_slowed_down(tmp_path: Path) -> None:
    with open_page(tmp_path, token=TOKEN) as client:
        tries = [client.post("/api/session", json={"token": "guess"}).status_code for _ in range(7)]
        assert tries == [401] * 5 + [429] * 2
        right = client.post("/api/session", json={"token": TOKEN})
        assert right.status_code == 429
        assert int(right.headers["retry-after"]) > 0


def test_attempts_are_forgotten_in_time() -> None:
    now = [0.0]
    attempts = Attempts(2, 60, clock=lambda: now[0])
    for _ in range(2):
        attempts.fail("here")
    with pytest.raises(LimitError):
        attempts.check("here")
    attempts.check("elsewhere")
    now[0] = 61.0
    attempts.check("here")


def test_two_writers_see_nothing_of_each_other(tmp_path: Path) -> None:
    with open_page(tmp_path, accounts=True) as client:
        store = client.app.state.studio.store  # type: ignore[attr-defined]
        for name in ("Anna", "小舟"):
            add_user(store, name, "correct horse battery")
        assert client.get("/api/projects").status_code == 401
        wrong = client.post("/api/session", json={"name": "Anna", "password": "wrong wrong wrong"})
        nobody = client.post("/api/session", json={"name": "Nobody", "password": "wrong wrong wrong"})
        assert (wrong.status_code, wrong.json()) == (401, nobody.json())
        keys = [
            client.post(
                "/api/session", json={"name": name, "password": "correct horse battery", "bearer": True}
            ).json()["bearer"]
            for name in ("Anna", "小舟")
        ]
        client.cookies.clear()
        anna, other = ({"authorization": f"Bearer {key}"} for key in keys)
        made = client.post("/api/projects", json={"title": "Anna's"}, headers=anna).json()
        project, scene = made["id"], next(item["id"] for item in made["tree"] if item["kind"] == "scene")
        entry = client.post(f"/api/projects/{project}/entries", json={"name": "Mara"}, headers=anna).json()["id"]
        head = client.get(f"/api/scenes/{scene}", headers=anna).json()["head"]
        client.put("/api/settings", json={"theme": "dark"}, headers=anna)
        assert client.get("/api/projects", headers=other).json() == []
        assert client.get("/api/settings", headers=other).json() == {}
        splices = {"base": head, "splices": [{"start": 0, "remove": 0, "insert": "x"}]}
        for method, path, body in [
            ("GET", f"/api/projects/{project}", None),
            ("PATCH", f"/api/projects/{project}", {"title": "mine"}),
            ("DELETE", f"/api/projects/{project}", None),
            ("GET", f"/api/projects/{project}/export/md", None),
            ("GET", f"/api/projects/{project}/entries", None),
            ("PATCH", f"/api/entries/{entry}", {"name": "mine"}),
            ("GET", f"/api/projects/{project}/plan", None),
            ("GET", f"/api/projects/{project}/chat", None),
            ("POST", f"/api/projects/{project}/chat", {"text": "hello"}),
            ("GET", f"/api/scenes/{scene}", None),
            ("POST", f"/api/scenes/{scene}/splices", splices),
            ("POST", f"/api/scenes/{scene}/generate", {"mode": "continue"}),
            ("POST", f"/api/scenes/{scene}/context", {"mode": "continue"}),
            ("GET", f"/api/scenes/{scene}/history", None),
            ("PUT", f"/api/nodes/{head}/label", {"label": "mine"}),
            ("GET", f"/api/quality/{project}", None),
        ]:
            answer = client.request(method, path, json=body, headers=other)
            assert answer.status_code == 404, (method, path, answer.text)
        generated = client.post(f"/api/scenes/{scene}/generate", json={"mode": "continue"}, headers=anna).text
        generation = generated.partition('"generation":"')[2].partition('"')[0]
        for path in (f"/api/generations/{generation}", f"/api/generations/{generation}/events"):
            assert client.get(path, headers=anna).status_code == 200
            assert client.get(path, headers=other).status_code == 404
        backup = client.get("/api/backup", headers=other)
        assert client.post("/api/backup", content=backup.content, headers=other).status_code == 200
        assert client.get(f"/api/projects/{project}", headers=anna).status_code == 200  # untouched
        paths = client.post("/api/jobs", json={"paths": ["/etc"]}, headers=anna)
        assert paths.status_code == 403
        folder = client.post(f"/api/scenes/{scene}/generate", json={"mode": "continue", "model": "/etc"}, headers=anna)
        assert folder.status_code == 403
        assert client.delete("/api/session", headers=anna).status_code == 200
        assert client.get("/api/projects", headers=anna).status_code == 401
        assert client.get("/api/projects", headers=other).status_code == 200


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"host": "0.0.0.0"}, "--token new"),
        ({"host": "::"}, "--accounts"),
        ({"host": "my.host.example"}, "--token new"),
        ({"host": "0.0.0.0", "token": "short"}, "too easily guessed"),
        ({"token": "口令口令口令口令口令口令口令口令口令"}, "too easily guessed"),
    ],
)
def test_no_door_stands_open(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(StudioError, match=said):
        create_app(StudioSettings(**settings))


def test_open_doors_that_are_guarded() -> None:
    for settings in (
        {"host": "::1"},
        {"host": "localhost"},
        {"host": "0.0.0.0", "token": TOKEN},
        {"host": "::", "accounts": True},
    ):
        StudioSettings(**settings).check()


def test_a_name_on_the_network(tmp_path: Path) -> None:
    with open_page(tmp_path, host="0.0.0.0", token=TOKEN, hosts=("Studio.example",)) as client:
        key = {"authorization": f"Bearer {TOKEN}"}
        known = {host: client.get("/api/projects", headers=key | {"host": host}).status_code for host in (
            "studio.example", "192.168.1.5:8321", "evil.example")}  # fmt: skip
        assert known == {"studio.example": 200, "192.168.1.5:8321": 200, "evil.example": 403}


def test_passwords_are_hashed_with_salt() -> None:
    first, second = hash_password("鹽 and salt"), hash_password("鹽 and salt")
    assert first != second
    assert "salt" not in first
    assert right_password("鹽 and salt", first)
    assert not right_password("salt", first)
    begun = time.perf_counter()
    assert not right_password("salt", None)
    assert time.perf_counter() - begun > 0.01  # as slow for a name that nobody has


def test_accounts_need_a_name_and_a_password(tmp_path: Path) -> None:
    with open_page(tmp_path, accounts=True) as client:
        store = client.app.state.studio.store  # type: ignore[attr-defined]
        add_user(store, "Anna", "correct horse battery")
        for name, password, said in [
            ("anna", "correct horse", "already"),
            ("Bo", "short", "too short"),
            (" ", "x" * 12, "1 to 60"),
        ]:
            with pytest.raises(StudioError, match=said):
                add_user(store, name, password)


def test_a_scripted_title_stays_text(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    with open_page(tmp_path) as client:
        project, _ = project_of(client, title=evil)
        answer = client.get(f"/api/projects/{project}")
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.json()["title"] == evil
        named = client.get(f"/api/projects/{project}/export/md").headers["content-disposition"]
        assert "<" not in named


def test_answers_are_compressed_and_streams_are_not_held_back(tmp_path: Path) -> None:
    with open_page(tmp_path) as client:
        answer = client.get("/api/openapi.json", headers={"accept-encoding": "gzip"})
        assert answer.headers["content-encoding"] == "gzip"
        assert len(answer.content) > 5 * len(gzip.compress(answer.content))
        assert isinstance(client, TestClient)


def test_nobody_is_told_what_happens_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTAPI_OTEL_AUTO_CONFIGURE", "true")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    with open_page(tmp_path) as client:
        assert client.get("/api/status").status_code == 200
        telemetry = client.app._telemetry  # type: ignore[attr-defined]
        switches = [value for value in telemetry.values() if isinstance(value, bool)]
        assert switches
        assert not any(switches)
