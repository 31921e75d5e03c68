"""What MLflow's own client sees of a registered model, and what it recommends, as JSON.
usage: PYTHON_WITH_MLFLOW mlflow_models.py URI NAME ALIAS USER..."""

import json
import sys

import mlflow

uri, name, alias, *users = sys.argv[1:]
mlflow.set_tracking_uri(uri)
client = mlflow.MlflowClient()
version = client.get_model_version_by_alias(name, alias)
logged = client.search_logged_models([e.experiment_id for e in client.search_experiments()])
model = mlflow.pyfunc.load_model(f"models:/{name}@{alias}")
json.dump({
    "versions": sorted(int(v.version) for v in client.search_model_versions(f"name = '{name}'")),
    "aliases": {key: int(value) for key, value in client.get_registered_model(name).aliases.items()},
    "tags": version.tags,
    "run": version.run_id,
    "outputs": {run.info.run_id: [[o.model_id, o.step] for o in run.outputs.model_outputs]
                for e in client.search_experiments() for run in client.search_runs([e.experiment_id])},
    "models": {m.model_id: {"status": str(m.status), "run": m.source_run_id,
                            "metrics": [[x.key, x.value, x.step, x.dataset_name] for x in m.metrics or ()]} for m in logged},
    "predicted": model.predict(users, params={"top_k": 5}),
    "with seen": model.predict(users[:1], params={"exclude_seen": False})[0],
}, sys.stdout)
