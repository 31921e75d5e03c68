"""The server's page, in Chromium: what a user of it sees and clicks."""

import gzip
import json
import shutil

import pytest

import helpers
from program import serving
from wire import request

CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def described(kindred, reviews, tmp_path_factory):
    """A dataset in which every item has a title that is to be shown as it is."""
    folder = tmp_path_factory.mktemp("described")
    kindred.ok("preprocess", "--input", reviews, "--output-dir", folder / "plain")
    with open(folder / "meta.jsonl", "w") as out:
        for item in helpers.read_dataset(folder / "plain").items:
            print(json.dumps({"parent_asin": item, "title": f"<b>{item}</b>", "price": 9.5}), file=out)
    kindred.ok("preprocess", "--input", reviews, "--items", folder / "meta.jsonl", "--output-dir", folder / "data")
    return folder / "data"


@pytest.fixture(scope="module")
def server(kindred, described, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    kindred.ok("train", "--data-dir", described, "--output-dir", folder, "--epochs", 10)
    with serving(kindred, folder / "log", "--data-dir", described, "--model-path", folder / "model.safetensors") as running:
        yield running


@pytest.fixture
def browser(once):
    if not CHROMIUM:
        pytest.skip("no chromium here: skipped what it shows")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser, server):
    """open_page(path): the server's page, which must not complain, nor ask anybody else."""
    faults, asked = [], []

    def show(path):
        shown = browser.new_page()
        shown.on("pageerror", lambda error: faults.append(str(error)))
        shown.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        shown.on("request", lambda request: asked.append(request.url))
        shown.goto(f"http://127.0.0.1:{server.port}{path}")
        return shown

    yield show
    assert not [fault for fault in faults if "favicon" not in fault and "404" not in fault], faults
    assert all(url.startswith((f"http://127.0.0.1:{server.port}/", "data:")) for url in asked), asked


@pytest.fixture
def page(open_page):
    return open_page("/")


def listed(page, section):
    page.wait_for_selector(f"#{section} li")
    return page.eval_on_selector_all(f"#{section} li button", "list => list.map(b => [b.dataset.item, b.firstChild.textContent])")


def test_a_user_is_typed_and_an_item_clicked(page, server, described):
    data = helpers.read_dataset(described)
    user = data.users[min(helpers.seen_items(data, "train"))]
    page.fill("#user", user)
    page.click("text=Recommend")
    want = server.recommend(user_id=user, top_k=12).json["recommendations"]
    assert listed(page, "list") == [[item, f"<b>{item}</b>"] for item in want]
    took = server.request("GET", f"/users/{user}").json["last_items"]
    assert [item for item, _ in listed(page, "history")] == [item["item_id"] for item in took]
    page.click("#list li:nth-child(3) button")
    near = server.request("GET", f"/items/{want[2]}/similar").json["similar"]
    assert [item for item, _ in listed(page, "near")] == near
    assert page.inner_text("#near h2") == f"Similar to <b>{want[2]}</b>"


def test_a_user_is_picked_and_a_new_one_gets_what_is_popular(page, server):
    page.wait_for_selector("#some option", state="attached")
    assert page.locator("#some option").count() == len(server.request("GET", "/users").json["users"]) > 10
    page.click("#any")
    assert len(listed(page, "list")) == 12 and page.input_value("#user")
    page.fill("#user", "nobody's \"id\"")
    page.press("#user", "Enter")
    page.wait_for_selector("text=Popular, for the user is new")
    assert page.inner_text("#history h2") == "Took nothing that is known"


def test_a_link_leads_to_a_user(page, server, described):
    data = helpers.read_dataset(described)
    user = data.users[min(helpers.seen_items(data, "train"))]
    page.goto(f"http://127.0.0.1:{server.port}/#{user}")
    page.reload()
    assert len(listed(page, "list")) == 12 and page.input_value("#user") == user


def test_it_needs_nothing_from_outside(server):
    reply = server.request("GET", "/")
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert reply.headers["content-security-policy"].startswith("default-src 'none'")
    assert not any(word in reply.body for word in (b"http:", b"https:", b"//", b"@import"))


def test_the_api_is_shown_and_tried(open_page, server):
    page = open_page("/docs")
    page.wait_for_selector(".opblock")
    document = server.request("GET", "/openapi.json").json
    shown = page.eval_on_selector_all(".opblock-summary-path", "list => list.map(e => e.dataset.path)")
    assert set(shown) == set(document["paths"])
    page.click("#operations-default-get_health .opblock-summary-control")
    page.click("#operations-default-get_health .try-out__btn")
    page.click("#operations-default-get_health .execute")
    page.wait_for_selector("#operations-default-get_health .live-responses-table")
    assert "healthy" in page.inner_text("#operations-default-get_health .live-responses-table")


# What is sent of pages, without a browser


def fetch(server, path, *headers):
    return server.request("GET", path, headers=headers)


@pytest.mark.parametrize("path", ["/", "/docs", "/docs/swagger-ui.css", "/docs/docs.js", "/docs/LICENSE"])
def test_pages_are_packed_for_who_takes_it(server, path):
    plain, packed = fetch(server, path), fetch(server, path, "Accept-Encoding: br, gzip;q=0.5")
    assert plain.status == packed.status == 200 and "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip" and gzip.decompress(packed.body) == plain.body
    assert "accept-encoding" in plain.headers["vary"].lower() and "default-src 'none'" in plain.headers["content-security-policy"]
    for refused in ("gzip;q=0", "gzip;q=0.000, deflate", "identity", "xgzip"):
        assert fetch(server, path, f"Accept-Encoding: {refused}").body == plain.body


def test_what_a_browser_has_is_not_sent_again(server):
    tag = fetch(server, "/docs/swagger-ui-bundle.js").headers["etag"]
    with server.connect() as connection:
        connection.send(request("GET", "/docs/swagger-ui-bundle.js", headers=[f'If-None-Match: "other", {tag}']))
        reply = connection.reply(has_body=False)
        assert reply.status == 304 and reply.headers["etag"] == tag and "content-length" not in reply.headers
        assert connection.request("GET", "/docs/docs.js", headers=[f"If-None-Match: {tag}"]).status == 200


@pytest.mark.parametrize("path", ["/docs/none.js", "/docs/index.html", "/docs/", "/docs/..%2findex.html"])
def test_there_are_no_other_files(server, path):
    assert fetch(server, path).status == 404
