"""Pages for people load everything from here, and every answer says what browsers may do with it."""

import re
from urllib.parse import urljoin

import httpx
import pytest

from tests.end_to_end.members import Brand
from tests.serving import Server

USUAL = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_page_loads_nothing_from_elsewhere(server: Server, path: str) -> None:
    """So it works offline, and nobody else's script sees the key that is typed in; inline scripts do not run."""
    with httpx.Client(base_url=server.url) as http:
        page = http.get(path)
        assert page.headers["content-type"].startswith("text/html")
        assert "<main" in page.text
        assert "<h1>" in page.text
        assert "//" not in page.text.replace("<!doctype html>", ""), "no address has a host"
        assert not re.search(r"<script>|<script (?!src)| on\w+=", page.text)
        for address in re.findall(r'(?:src|href)="([^"#]+)"', page.text):
            if not address.startswith("data:"):
                assert http.get(urljoin(path, address), follow_redirects=True).status_code == 200, address
        policy = dict(part.strip().partition(" ")[::2] for part in page.headers["content-security-policy"].split(";"))
        assert (policy["default-src"], policy["script-src"], policy["connect-src"]) == ("'none'", "'self'", "'self'")
        assert (policy["frame-ancestors"], policy["base-uri"]) == ("'none'", "'none'")


def test_the_description_of_every_call_is_swagger_uis(server: Server) -> None:
    """Its own files, of types that browsers take with nosniff; its validator elsewhere is not asked."""
    with httpx.Client(base_url=server.url) as http:
        script = http.get("/docs/swagger-ui-bundle.js")
        assert script.headers["content-type"].startswith("text/javascript")
        assert "SwaggerUIBundle" in script.text
        assert http.get("/docs/swagger-ui.css").headers["content-type"].startswith("text/css")
        start = http.get("/docs/start.js")
        assert 'url: "openapi.json"' in start.text
        assert "validatorUrl: null" in start.text
        for stranger in ("redoc.standalone.js", "..%2f__init__.py", "..%2fcore.py", "nothing.js"):
            assert http.get(f"/docs/{stranger}").status_code == 404
        assert http.get("/redoc").headers["location"] == "docs"


@pytest.mark.parametrize("path", ["/", "/docs", "/docs/start.js", "/console/", "/openapi.json", "/healthz", "/readyz"])
def test_a_page_answers_head_and_names_its_methods(server: Server, path: str) -> None:
    """Probes ask by HEAD for what GET answers, without the body."""
    with httpx.Client(base_url=server.url, timeout=60) as http:
        got, headed = http.get(path), http.head(path)
        assert (headed.status_code, headed.content) == (got.status_code, b"")
        assert headed.headers.get("content-type") == got.headers.get("content-type")
        refused = http.put(path)
    assert refused.status_code == 405
    assert "GET" in refused.headers["allow"]
    if path != "/console/":
        assert refused.json()["error"]["message"] == "There is no PUT at this address, only GET."


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/docs", 200),
        ("GET", "/docs/start.js", 200),
        ("GET", "/docs/swagger-ui.css", 200),
        ("GET", "/openapi.json", 200),
        ("GET", "/healthz", 200),
        ("GET", "/readyz", 200),
        ("GET", "/metrics", 200),
        ("GET", "/customers/credits", 200),
        ("GET", "/nowhere", 404),
        ("GET", "/customers/credits?page=0", 422),
        ("DELETE", "/customers/credits", 405),
        ("POST", "/customers/membership-types", 413),
    ],
)
def test_every_answer_has_the_usual_headers(brand: Brand, method: str, path: str, status: int) -> None:
    """Pages, data and errors, those of the edge too; data is kept by nobody on the way."""
    content = b"x" * 10_000_000 if status == 413 else None
    answer = brand.http.request(method, path, content=content)
    assert answer.status_code == status
    assert {name: answer.headers[name] for name in USUAL} == USUAL
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    if "docs/" not in path:
        assert answer.headers["cache-control"] == "no-store"
    if not path.startswith("/docs") and path != "/":
        assert answer.headers["content-security-policy"].startswith("default-src 'none'; frame-ancestors")


def test_a_stranger_has_them_too(server: Server) -> None:
    """401 is an answer."""
    with httpx.Client(base_url=server.url) as http:
        assert http.get("/customers/credits").headers["x-content-type-options"] == "nosniff"
