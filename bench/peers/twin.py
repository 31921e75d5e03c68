"""The server of the Python pipeline, as its users know it: FastAPI and uvicorn, pydantic, scores by numpy.

usage: uvicorn twin:app, with MODEL and NAMES in the environment: model.safetensors and catalog.safetensors
"""

import os
import sys
from pathlib import Path

import numpy as np
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src/cmd/package"))
from kindred_pyfunc import read, read_ids  # noqa: E402

app = FastAPI()
_, model = read(os.environ["MODEL"])
_, names = read(os.environ["NAMES"])
users, items = np.array(model["user_embedding.weight"]), np.array(model["item_embedding.weight"])
user_index = {name: u for u, name in enumerate(read_ids(names["user_offsets"], names["user_bytes"]))}
item_ids = read_ids(names["item_offsets"], names["item_bytes"])


class Request(BaseModel):
    user_id: str
    top_k: int = Field(10, ge=1, le=1000)


@app.get("/health")
def health():
    return {"status": "healthy", "model_loaded": True}


@app.post("/recommend")
def recommend(request: Request):
    user = user_index.get(request.user_id)
    if user is None:
        raise HTTPException(404, f"User '{request.user_id}' not found")
    scores = items @ users[user]
    scores[names["seen_items"][names["seen_offsets"][user]:names["seen_offsets"][user + 1]]] = -np.inf
    best = np.argpartition(-scores, request.top_k)[:request.top_k]
    best = best[np.argsort(-scores[best])]
    return {"user_id": request.user_id, "recommendations": [item_ids[i] for i in best], "scores": [float(scores[i]) for i in best]}
