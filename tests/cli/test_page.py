"""The server's page, in Chromium: what a user of it sees and clicks."""

import json
import shutil

import pytest

import helpers
from program import serving

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
def page(once, server):
    if not CHROMIUM:
        pytest.skip("no chromium here: skipped what it shows")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        shown = browser.new_page()
        faults = []
        shown.on("pageerror", lambda error: faults.append(str(error)))
        shown.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        shown.goto(f"http://127.0.0.1:{server.port}/")
        yield shown
        assert not [fault for fault in faults if "favicon" not in fault and "404" not in fault], faults
        browser.close()


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
