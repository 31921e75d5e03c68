"""A tracking server that keeps what it's told, and does wrong when asked to.

    with Fake() as server:
        server.spoil = lambda request: ...   before the answer: None, a status, or DROP
        server.runs                          {run_id: Run}, as MLflow would have them
"""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qs, urlparse

DROP = "the answer gets lost"
API = "/api/2.0/mlflow/"


class Request(NamedTuple):
    method: str
    path: str  # what follows API, or all of it
    body: object  # of JSON, else bytes
    headers: dict
    count: int  # of requests to this path, this one too


class Run:
    def __init__(self, body):
        self.created = body
        self.metrics, self.params, self.tags, self.files, self.inputs = [], {}, {}, {}, []
        self.tags.update({tag["key"]: tag["value"] for tag in body.get("tags", ())})
        self.status, self.end_time = "RUNNING", None

    def history(self, key):
        return [(m["step"], m["value"]) for m in self.metrics if m["key"] == key]


class Fake:
    def __init__(self):
        self.experiments, self.runs, self.requests = {}, {}, []
        self.spoil = lambda request: None
        self.delay_s = 0
        self.lock = threading.Lock()

    def __enter__(self):
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def serve(self):
                fake.serve(self)

            do_GET = do_POST = do_PUT = serve

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.uri = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()

    def count(self, path):
        return sum(request.path.startswith(path) for request in self.requests)

    def serve(self, handler):
        raw = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        path = handler.path.removeprefix(API)
        time.sleep(self.delay_s)
        with self.lock:
            body = json.loads(raw) if handler.command == "POST" else raw
            request = Request(handler.command, path, body, dict(handler.headers),
                              1 + sum(r.path == path for r in self.requests))
            self.requests.append(request)
            wrong = self.spoil(request)
            if wrong and wrong != DROP:
                status, answer = wrong, {"error_code": "SPOILT", "message": "as the test wants it"}
            else:
                status, answer = self.answer(request)
        if wrong == DROP:
            handler.close_connection = True
            handler.connection.close()
            return
        text = json.dumps(answer).encode()
        handler.send_response(status)
        if status == 503:
            handler.send_header("Retry-After", "1")
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text)

    def answer(self, request):
        url = urlparse(request.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        if request.method == "PUT":
            run, path = url.path.split("/artifacts/", 1)[1].split("/artifacts/", 1)
            self.runs[run.split("/")[-1]].files[path] = request.body
            return 200, {}
        return getattr(self, url.path.replace("/", "_").replace("-", "_"))(request.body, query)

    def experiments_get_by_name(self, _, query):
        name = query["experiment_name"]
        if name not in self.experiments:
            return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no"}
        return 200, {"experiment": {"experiment_id": self.experiments[name], "name": name,
                                    "lifecycle_stage": "active"}}

    def experiments_create(self, body, _):
        self.experiments[body["name"]] = str(len(self.experiments) + 1)
        return 200, {"experiment_id": self.experiments[body["name"]]}

    def described(self, run):
        experiment = self.runs[run].created["experiment_id"]
        return {"info": {"run_id": run, "experiment_id": experiment,
                         "artifact_uri": f"mlflow-artifacts:/{experiment}/{run}/artifacts"}}

    def runs_create(self, body, _):
        run = f"{len(self.runs):032x}"
        self.runs[run] = Run(body)
        return 200, {"run": self.described(run)}

    def runs_get(self, _, query):
        if query["run_id"] not in self.runs:
            return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such run"}
        return 200, {"run": self.described(query["run_id"])}

    def runs_search(self, body, _):
        wanted = body["filter"].split("'")[1]
        found = [run for run, it in self.runs.items() if it.tags.get("client.run_id") == wanted]
        return 200, {"runs": [self.described(run) for run in found]}

    def runs_log_batch(self, body, _):
        run = self.runs[body["run_id"]]
        run.metrics += [m for m in body["metrics"] if m not in run.metrics]
        run.params.update({p["key"]: p["value"] for p in body["params"]})
        run.tags.update({t["key"]: t["value"] for t in body["tags"]})
        return 200, {}

    def runs_log_inputs(self, body, _):
        self.runs[body["run_id"]].inputs += body["datasets"]
        return 200, {}

    def runs_update(self, body, _):
        run = self.runs[body["run_id"]]
        run.status, run.end_time = body["status"], body.get("end_time")
        return 200, {}
