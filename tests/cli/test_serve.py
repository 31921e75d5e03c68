"""serve: answers as promised, whatever the client does."""

import http.client
import json
import signal
import socket
import time

import pytest

import helpers
from program import serving
from wire import request

CHUNKED = "Transfer-Encoding: chunked"


@pytest.fixture(scope="module")
def data(dataset):
    return helpers.read_dataset(dataset)


@pytest.fixture(scope="module")
def user(data):
    """A user whom the model knows."""
    return data.users[min(helpers.seen_items(data, "train"))]


@pytest.fixture(scope="module")
def recommended(kindred, dataset, model, tmp_path_factory):
    """user_id -> (items, scores): what `recommend` gives."""
    path = tmp_path_factory.mktemp("recommended") / "out.jsonl"
    kindred.ok("recommend", "--model-path", model, "--data-dir", dataset, "--output", path, "--top-k", 30)
    lists = {}
    for record in map(json.loads, path.read_text().splitlines()):
        items, scores = lists.setdefault(record["user_id"], ([], []))
        items.append(record["item_id"])
        scores.append(record["score"])
    return lists


# Answers


def test_health_tells_what_is_served(kindred, server, data):
    reply = server.request("GET", "/health")
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    want = {"status": "healthy", "model_loaded": True, "model": "mf", "users": len(data.users),
            "items": len(data.items)}
    assert {name: reply.json[name] for name in want} == want
    assert reply.json["version"] in kindred.ok("--version")


def test_an_answer_is_what_recommend_gives(server, data, recommended):
    for user in sorted(helpers.seen_items(data, "train"))[::10]:
        user_id = data.users[user]
        items, scores = recommended[user_id]
        reply = server.recommend(user_id=user_id, top_k=30)
        assert reply.status == 200
        assert (reply.json["user_id"], reply.json["model"]) == (user_id, "mf")
        assert reply.json["recommendations"] == items
        assert reply.json["scores"] == pytest.approx(scores, rel=1e-6)


def test_ten_items_are_given_unless_another_number_is_asked_for(server, user):
    ten = server.recommend(user_id=user).json["recommendations"]
    assert len(ten) == 10
    for k in (1, 5):
        assert server.recommend(user_id=user, top_k=k).json["recommendations"] == ten[:k]


def test_where_there_are_fewer_items_all_are_given(server, data, user):
    seen = helpers.seen_items(data, "train", "val")[data.users.index(user)]
    unseen = server.recommend(user_id=user, top_k=1000).json["recommendations"]
    assert sorted(unseen) == sorted(set(data.items) - {data.items[item] for item in seen})


def test_seen_items_come_too_if_asked_for(server, data, model, user):
    reply = server.recommend(user_id=user, top_k=40, exclude_seen=False).json
    items = [data.items.index(item) for item in reply["recommendations"]]
    helpers.assert_is_top_k(items, reply["scores"], helpers.scores(model)[data.users.index(user)], 40)


@pytest.mark.parametrize("user_id", ["A1", "", "é日😀", "a\"b\\c/d\n\t\u0001", "x" * 3000, "%s%n", "'; --"])
def test_an_unknown_user_is_not_found(server, user_id):
    reply = server.recommend(user_id=user_id)
    assert reply.status in ((404, 422) if user_id == "" else (404,))
    assert reply.status == 422 or reply.json == {"detail": f"User '{user_id}' not found"}


def test_an_id_may_be_written_with_escapes(server, user):
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in user)
    reply = server.request("POST", "/recommend", body=f'{{"user_id": "{escaped}"}}'.encode())
    assert (reply.status, reply.json["user_id"]) == (200, user)


# Bodies at fault


@pytest.mark.parametrize("body", [b"{", b"hello", b'{"user_id": "a",}', b'{"user_id": "a"} x', b"{'user_id': 1}",
                                  b'{"user_id": "a\n"}', b"[" * 50_000])
def test_a_body_that_is_not_json_is_said_so(server, body):
    reply = server.request("POST", "/recommend", body=body)
    assert reply.status == 422
    (fault,) = reply.json["detail"]
    assert (fault["type"], fault["msg"], fault["input"]) == ("json_invalid", "JSON decode error", {})
    assert fault["loc"][0] == "body" and isinstance(fault["loc"][1], int)
    assert fault["ctx"]["error"]


def test_a_body_that_is_not_even_text_is_said_so(server):
    reply = server.request("POST", "/recommend", body=b'{"user_id": "\xff"}')
    assert (reply.status, reply.json) == (400, {"detail": "There was an error parsing the body"})


def test_a_missing_user_id_is_said_so(server):
    reply = server.recommend(top_k=5)
    assert reply.status == 422
    assert reply.json == {"detail": [
        {"type": "missing", "loc": ["body", "user_id"], "msg": "Field required", "input": {"top_k": 5}}]}


@pytest.mark.parametrize("body, places", [
    ({"user_id": 5}, ["user_id"]),
    ({"user_id": None}, ["user_id"]),
    ({"user_id": "a", "top_k": 0}, ["top_k"]),
    ({"user_id": "a", "top_k": 1001}, ["top_k"]),
    ({"user_id": "a", "top_k": -1}, ["top_k"]),
    ({"user_id": "a", "top_k": 2.5}, ["top_k"]),
    ({"user_id": "a", "top_k": [5]}, ["top_k"]),
    ({"user_id": "a", "exclude_seen": "perhaps"}, ["exclude_seen"]),
    ({}, ["user_id"]),
    ({"top_k": 0}, ["user_id", "top_k"]),
    ({"user_id": [], "top_k": "many", "exclude_seen": {}}, ["user_id", "top_k", "exclude_seen"]),
])
def test_all_fields_at_fault_are_named(server, body, places):
    reply = server.recommend(**body)
    assert reply.status == 422
    assert [fault["loc"] for fault in reply.json["detail"]] == [["body", place] for place in places]
    for fault in reply.json["detail"]:
        assert fault["type"] and fault["msg"] and "input" in fault


@pytest.mark.parametrize("body", [b"", b"[]", b'"a"', b"5", b"null"])
def test_a_body_that_is_no_object_is_a_fault_of_the_body(server, body):
    reply = server.request("POST", "/recommend", body=body)
    assert reply.status == 422
    assert [fault["loc"][0] for fault in reply.json["detail"]] == ["body"]


@pytest.mark.parametrize("top_k", [10**12, 10**30, 1e300])
def test_a_number_beyond_all_bounds_is_a_fault(server, user, top_k):
    assert server.recommend(user_id=user, top_k=top_k).status == 422


def test_an_id_does_not_end_at_a_zero_byte(server, user):
    assert server.recommend(user_id=f"{user}\0x").status in (404, 422)


# Routes and methods


@pytest.mark.parametrize("method, path", [("GET", "//"), ("GET", "/nonesuch"), ("POST", "/recommend/x"),
                                          ("GET", "/health%00"), ("GET", "/../health"), ("GET", "//")])
def test_an_unknown_path_is_not_found(server, method, path):
    reply = server.request(method, path)
    assert (reply.status, reply.json) == (404, {"detail": "Not Found"})


@pytest.mark.parametrize("method, path, allowed", [
    ("POST", "/health", "GET"), ("DELETE", "/health", "GET"), ("GET", "/recommend", "POST"),
    ("PUT", "/recommend", "POST")])
def test_another_method_is_not_allowed(server, method, path, allowed):
    reply = server.request(method, path)
    assert (reply.status, reply.json) == (405, {"detail": "Method Not Allowed"})
    assert allowed in reply.headers["allow"].split(", ")


def test_head_gets_no_body(server):
    with server.connect() as connection:
        assert connection.request("HEAD", "/health").status in (200, 405)
        assert connection.request("GET", "/health").json["status"] == "healthy"


def test_a_query_does_no_harm(server):
    assert server.request("GET", "/health?a=b&c").status == 200


# Connections


def test_the_standard_client_is_understood(server, user):
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    body, headers = json.dumps({"user_id": user}), {"Content-Type": "application/json"}
    for _ in range(3):
        client.request("POST", "/recommend", body, headers)
        assert len(json.load(client.getresponse())["recommendations"]) == 10
    client.close()


def test_one_connection_serves_many_requests(server, user):
    with server.connect() as connection:
        for _ in range(20):
            assert connection.request("GET", "/health").status == 200
            assert connection.request("POST", "/recommend", json={"user_id": user}).status == 200
            assert connection.request("POST", "/recommend", json={"user_id": "nobody"}).status == 404


def test_requests_sent_at_once_are_answered_in_order(server, user):
    with server.connect() as connection:
        connection.send(request("POST", "/recommend", json={"user_id": user, "top_k": 3})
                        + request("GET", "/nonesuch") + request("GET", "/health"))
        assert len(connection.reply().json["recommendations"]) == 3
        assert connection.reply().status == 404
        assert connection.reply().json["status"] == "healthy"


def test_a_body_may_come_in_chunks(server, user):
    body = json.dumps({"user_id": user, "top_k": 4}).encode()
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:3], body[3:])) + b"0\r\n\r\n"
    with server.connect() as connection:
        connection.send(request("POST", "/recommend", headers=[CHUNKED]) + chunks)
        assert len(connection.reply().json["recommendations"]) == 4
        assert connection.request("GET", "/health").status == 200


def test_bytes_may_come_one_by_one(server, user):
    with server.connect() as connection:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in request("POST", "/recommend", json={"user_id": user, "top_k": 2}):
            connection.send(bytes([byte]))
        assert len(connection.reply().json["recommendations"]) == 2


def test_a_client_that_wants_to_close_is_closed(server):
    with server.connect() as connection:
        assert connection.request("GET", "/health", headers=["Connection: close"]).status == 200
        assert connection.is_closed()


def test_http_1_0_is_answered_and_closed(server):
    with server.connect() as connection:
        connection.send(b"GET /health HTTP/1.0\r\n\r\n")
        assert connection.reply().status == 200
        assert connection.is_closed()


def test_slow_and_idle_clients_do_not_hold_up_others(server, user):
    whole = request("POST", "/recommend", json={"user_id": user})
    with server.connect() as slow:
        slow.send(whole[:-5])
        idle = [server.connect() for _ in range(50)]
        assert server.recommend(user_id=user).status == 200
        for connection in idle:
            connection.close()
        slow.send(whole[-5:])
        assert slow.reply().status == 200


@pytest.mark.parametrize("sent", [0, 1, 20, -1])
def test_a_client_that_leaves_early_does_no_harm(server, user, sent):
    for _ in range(10):
        with server.connect() as connection:
            connection.send(request("POST", "/recommend", json={"user_id": user})[:sent])
    assert server.request("GET", "/health").status == 200


def test_clients_that_do_not_read_their_answers_do_no_harm(server, user):
    with server.connect() as connection:
        connection.socket.settimeout(1)
        try:
            connection.send(request("POST", "/recommend", json={"user_id": user, "top_k": 100}) * 2000)
        except TimeoutError:
            pass  # the server stopped reading: it may
        assert server.request("GET", "/health").status == 200


# Requests that no proper client sends


@pytest.mark.parametrize("head", [
    "Content-Length: 2\r\nTransfer-Encoding: chunked", "Content-Length: 2\r\nContent-Length: 3",
    "Content-Length: -2", "Content-Length: two", "Content-Length: 99999999999999999999", "Content-Length : 2",
    "Transfer-Encoding: gzip", "X: a\x00b", "no colon"])
def test_a_head_that_can_be_read_two_ways_is_refused_and_closed(server, head):
    with server.connect() as connection:
        connection.send(request("POST", "/recommend", headers=[head]) + b"{}" + request("GET", "/health"))
        assert connection.reply().status in (400, 413, 501)
        assert connection.is_closed()
    assert server.request("GET", "/health").status == 200


def test_both_a_length_and_chunks_are_a_bad_request(server):
    """The first of the heads above; a proxy before us might see another request in it."""
    reply = server.request("POST", "/recommend", body=b"{}", headers=[CHUNKED])
    assert reply.status == 400


@pytest.mark.parametrize("sent", [b"hello\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 50,
                                  b"GET /health HTTP/9.9\r\n\r\n", b"G@T /health HTTP/1.1\r\n\r\n",
                                  b"GET /hea lth HTTP/1.1\r\n\r\n"])
def test_what_is_not_http_is_refused_and_closed(server, sent):
    with server.connect() as connection:
        connection.send(sent)
        assert connection.reply().status in (400, 505)
        assert connection.is_closed()


def test_a_chunk_of_no_size_is_a_bad_request(server):
    with server.connect() as connection:
        connection.send(request("POST", "/recommend", headers=[CHUNKED]) + b"xyz\r\n{}\r\n0\r\n\r\n")
        assert connection.reply().status == 400
        assert connection.is_closed()


@pytest.mark.parametrize("head", [["X: " + "x" * 200_000], ["X: x"] * 20_000], ids=["a long field", "many fields"])
def test_a_huge_head_is_refused(server, head):
    assert server.request("GET", "/health", headers=head).status == 431


def test_a_huge_path_is_refused(server):
    assert server.request("GET", "/" + "x" * 200_000).status in (414, 431)


def test_a_body_that_would_be_too_large_is_refused_before_it_comes(server):
    reply = server.request("POST", "/recommend", headers=["Content-Length: 1000000000"])
    assert reply.status == 413


def test_chunks_that_grow_too_large_are_refused(server):
    chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    with server.connect() as connection:
        connection.send(request("POST", "/recommend", headers=[CHUNKED]))
        for _ in range(32):
            connection.send(chunk)
        assert connection.reply().status == 413


# Start and stop


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_in_peace_though_a_client_is_connected(kindred, dataset, model, tmp_path, signum):
    with serving(kindred, tmp_path / "log", "--data-dir", dataset, "--model-path", model) as server:
        with server.connect() as connection:
            assert connection.request("GET", "/health").status == 200
            start = time.monotonic()
            assert server.stop(signum) == 0
            assert time.monotonic() - start < 20
            assert connection.is_closed()


def test_answers_that_were_begun_are_finished_before_it_stops(kindred, dataset, model, tmp_path, user):
    with serving(kindred, tmp_path / "log", "--data-dir", dataset, "--model-path", model) as server:
        with server.connect() as connection:
            connection.send(request("POST", "/recommend", json={"user_id": user, "top_k": 100}) * 20)
            assert connection.reply().status == 200
            assert server.stop() == 0
            while not connection.is_closed():
                assert connection.reply().status == 200


def test_a_port_that_is_taken_is_named(kindred, server, dataset, model):
    line = kindred.fails(1, "serve", "--data-dir", dataset, "--model-path", model, "--port", server.port)
    assert str(server.port) in line


def test_a_host_that_is_no_address_is_named(kindred, dataset, model):
    line = kindred.fails(1, "serve", "--data-dir", dataset, "--model-path", model, "--port", 0,
                         "--host", "999.1.1.1")
    assert "999.1.1.1" in line
