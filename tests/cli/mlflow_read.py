"""What MLflow's own client sees of all runs, as JSON. usage: PYTHON_WITH_MLFLOW mlflow_read.py URI"""

import json
import sys

import mlflow

client = mlflow.MlflowClient(sys.argv[1])
runs = []
for experiment in client.search_experiments():
    for run in client.search_runs([experiment.experiment_id]):
        keys = run.data.metrics
        runs.append({
            "experiment": experiment.name,
            "name": run.info.run_name,
            "status": run.info.status,
            "times": [run.info.start_time, run.info.end_time],
            "params": run.data.params,
            "tags": run.data.tags,
            "metrics": {key: [[m.step, m.value] for m in client.get_metric_history(run.info.run_id, key)] for key in keys},
            "files": {file.path: file.file_size for file in client.list_artifacts(run.info.run_id)},
            "inputs": [[i.dataset.name, i.dataset.digest, {tag.key: tag.value for tag in i.tags}]
                       for i in run.inputs.dataset_inputs],
        })
json.dump(runs, sys.stdout)
