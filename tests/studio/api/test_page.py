from __future__ import annotations

import gzip
from html.parser import HTMLParser
from pathlib import Path

import brotli  # type: ignore[import-untyped]
import pytest
from starlette.testclient import TestClient
from tests.studio.web import HERE, open_page

from storyteller.studio.built import BuiltPage


@pytest.fixture
def built(tmp_path: Path) -> TestClient:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html><title>Studio</title>")
    (tmp_path / "icon.svg").write_text("<svg/>")
    (tmp_path / "assets" / "index-Ab12_cd9.js").write_text("export default 1;\n" * 200)
    (tmp_path / "secret.py").write_text("no = 1")
    return TestClient(BuiltPage(tmp_path), base_url=HERE)


def test_hashed_files_are_kept_and_the_page_is_not(built: TestClient) -> None:
    script = built.get("/assets/index-Ab12_cd9.js")
    assert script.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert script.headers["content-type"].startswith("text/javascript")
    page = built.get("/")
    assert page.headers["cache-control"] == "no-cache"
    again = built.get("/", headers={"if-none-match": page.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert built.get("/projects/12").text == page.text  # an address inside the page
    assert built.get("/missing.js").status_code == 404
    assert built.get("/secret.py").status_code == 404
    assert built.post("/").status_code == 405
    assert built.head("/").status_code == 200


@pytest.mark.parametrize(
    ("accepted", "encoding"), [("gzip, br", "br"), ("gzip", "gzip"), ("br;q=0, gzip", "gzip"), ("", None)]
)
def test_files_are_packed_once(built: TestClient, accepted: str, encoding: str | None) -> None:
    with built.stream("GET", "/assets/index-Ab12_cd9.js", headers={"accept-encoding": accepted}) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers.get("content-encoding") == encoding
    content = {"br": brotli.decompress, "gzip": gzip.decompress, None: bytes}[encoding](raw)
    assert content == b"export default 1;\n" * 200
    assert encoding is None or len(raw) < 200


def test_a_new_build_is_seen(built: TestClient, tmp_path: Path) -> None:
    before = built.get("/").text
    (tmp_path / "index.html").write_text("<!doctype html><title>New</title>")
    assert built.get("/").text != before


def test_without_a_page_it_says_how_to_make_one(tmp_path: Path) -> None:
    client = TestClient(BuiltPage(tmp_path), base_url=HERE)
    assert "make page" in client.get("/").text
    assert "构建" in client.get("/").text
    assert client.get("/assets/index-Ab12_cd9.js").status_code == 404


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.wrong += [tag] if tag in ("script", "style", "iframe") else []
        for name, value in attrs:
            if name in ("src", "href"):
                self.found.append(value or "")
            if name == "style" or name.startswith("on"):
                self.wrong.append(name)


def test_the_description_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    with open_page(tmp_path) as client:
        answer = client.get("/api/docs")
        links = _Links()
        links.feed(answer.text)
        assert links.wrong == []
        assert set(links.found) == {"/api/docs.css", "/api/openapi.json"}
        assert client.get("/api/docs.css").headers["content-type"].startswith("text/css")
        for path in client.get("/api/openapi.json").json()["paths"]:
            assert path in answer.text
