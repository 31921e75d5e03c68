"""A tracking server that keeps what it's told, and does wrong when asked to.

    with Fake() as server:
        server.spoil = lambda request: ...   before the answer: None, a status, or DROP
        server.runs                          {run_id: Run}, as MLflow would have them
        server.models, server.versions       {model_id: LoggedModel}, {name: [Version]}
        server.has_models = False            as before MLflow 3
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


class LoggedModel:
    def __init__(self, body):
        self.created, self.files, self.metrics, self.status, self.made_by = body, {}, {}, "LOGGED_MODEL_PENDING", []


class Version:
    def __init__(self, body):
        self.created, self.tags = body, {}


class Fake:
    def __init__(self):
        self.experiments, self.runs, self.requests = {}, {}, []
        self.models, self.versions, self.aliases = {}, {}, {}
        self.has_models = True
        self.spoil = lambda request: None
        self.delay_s = 0
        self.lock = threading.Lock()

    def __enter__(self):
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def serve(self):
                fake.serve(self)

            do_GET = do_POST = do_PUT = do_PATCH = serve

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
            body = json.loads(raw) if handler.command in ("POST", "PATCH") else raw
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
        text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        handler.send_response(status)
        if status == 503:
            handler.send_header("Retry-After", "1")
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text)

    def answer(self, request):
        url = urlparse(request.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        if "/mlflow-artifacts/" in url.path:
            owner, path = url.path.split("/artifacts/", 1)[1].split("/artifacts/", 1)
            files = (self.runs | self.models)[owner.split("/")[-1]].files
            if request.method == "GET":
                return (200, files[path]) if path in files else (404, {"error_code": "NOT_FOUND", "message": "no such file"})
            files[path] = request.body
            return 200, {}
        if url.path.startswith("logged-models") or url.path == "runs/outputs":
            return self.logged_models(request, url.path) if self.has_models else (404, {})
        if url.path == "registered-models/alias":
            return self.alias_set(request.body) if request.method == "POST" else self.alias_get(query)
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
        told = [{key: m[key] for key in ("key", "value", "timestamp", "step")} for m in body["metrics"]]
        run.metrics += [m for m in told if m not in run.metrics]
        for m in body["metrics"]:
            if "model_id" in m:
                self.models[m["model_id"]].metrics[m["key"]] = m
        run.params.update({p["key"]: p["value"] for p in body.get("params", ())})
        run.tags.update({t["key"]: t["value"] for t in body.get("tags", ())})
        return 200, {}

    def runs_log_inputs(self, body, _):
        self.runs[body["run_id"]].inputs += body["datasets"]
        return 200, {}

    def runs_update(self, body, _):
        run = self.runs[body["run_id"]]
        run.status, run.end_time = body["status"], body.get("end_time")
        return 200, {}

    # ---- models ----

    def described_model(self, model):
        it = self.models[model]
        where = f"mlflow-artifacts:/{it.created['experiment_id']}/models/{model}/artifacts"
        return {"info": {"model_id": model, "status": it.status, "artifact_uri": where}}

    def logged_models(self, request, path):
        body = request.body
        if path == "logged-models":
            model = f"m-{len(self.models):032x}"
            self.models[model] = LoggedModel(body)
            return 200, {"model": self.described_model(model)}
        if path == "logged-models/search":
            wanted = body["filter"].split("'")[3]
            found = [model for model, it in self.models.items() if {"key": "client.run_id", "value": wanted} in it.created["tags"]]
            return 200, {"models": [self.described_model(model) for model in found]}
        if path == "runs/outputs":
            (said,) = body["models"]
            if self.models[said["model_id"]].made_by:
                return 400, {"error_code": "BAD_REQUEST", "message": "(sqlite3.IntegrityError) UNIQUE constraint failed"}
            self.models[said["model_id"]].made_by = [body["run_id"], said["step"]]
            return 200, {}
        self.models[body["model_id"]].status = body["status"]
        return 200, {"model": self.described_model(body["model_id"])}

    def registered_models_create(self, body, _):
        if body["name"] in self.versions:
            return 400, {"error_code": "RESOURCE_ALREADY_EXISTS", "message": "it's there"}
        self.versions[body["name"]] = []
        return 200, {}

    def described_version(self, name, number):
        created = self.versions[name][number - 1].created
        return {"name": name, "version": str(number), "source": created["source"], "run_id": created["run_id"]}

    def model_versions_create(self, body, _):
        self.versions[body["name"]].append(Version(body))
        return 200, {"model_version": self.described_version(body["name"], len(self.versions[body["name"]]))}

    def model_versions_search(self, _, query):
        _, name, _, run, _ = query["filter"].split("'")
        found = [self.described_version(name, i + 1) for i, v in enumerate(self.versions[name]) if v.created["run_id"] == run]
        return 200, {"model_versions": found}

    def model_versions_get_download_uri(self, _, query):
        source = self.versions[query["name"]][int(query["version"]) - 1].created["source"]
        if source.startswith("models:/"):
            source = self.described_model(source.removeprefix("models:/"))["info"]["artifact_uri"]
        return 200, {"artifact_uri": source}

    def model_versions_set_tag(self, body, _):
        self.versions[body["name"]][int(body["version"]) - 1].tags[body["key"]] = body["value"]
        return 200, {}

    def alias_set(self, body):
        self.aliases[body["name"], body["alias"]] = body["version"]
        return 200, {}

    def alias_get(self, query):
        if query["name"] not in self.versions:
            return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such model"}
        version = self.aliases.get((query["name"], query["alias"]))
        if not version:
            return 400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "no such alias"}
        return 200, {"model_version": self.described_version(query["name"], int(version))}
