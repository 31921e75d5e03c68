"""The API of the Python pipeline that came before, as FastAPI tells and checks it.

usage: original.py document | serve | client FOLDER PORT USER
"""

import json
import sys


def app():
    from fastapi import FastAPI, HTTPException
    from pydantic import BaseModel, Field

    class RecommendRequest(BaseModel):
        user_id: str
        top_k: int = Field(10, ge=1, le=1000)

    class RecommendResponse(BaseModel):
        user_id: str
        recommendations: list[str]

    class HealthResponse(BaseModel):
        status: str
        model_loaded: bool

    api = FastAPI(title="Recommendation API")

    @api.get("/health", response_model=HealthResponse)
    def health():
        return {"status": "healthy", "model_loaded": True}

    @api.post("/recommend", response_model=RecommendResponse)
    def recommend(request: RecommendRequest):
        raise HTTPException(404, f"User '{request.user_id}' not found")

    return api


def use_client(folder, port, user):
    """What the client that was generated from the document in `folder` makes of a server."""
    sys.path.insert(0, folder)
    from made import Client
    from made.api.default import health_health_get, recommend_recommend_post
    from made.models import HTTPValidationError, RecommendRequest

    with Client(base_url=f"http://127.0.0.1:{port}") as client:
        health = health_health_get.sync(client=client)
        found = recommend_recommend_post.sync(client=client, body=RecommendRequest(user_id=user, top_k=5))
        default = recommend_recommend_post.sync(client=client, body=RecommendRequest(user_id=user))
        missing = recommend_recommend_post.sync_detailed(client=client, body=RecommendRequest(user_id="nobody"))
        refused = recommend_recommend_post.sync(client=client, body=RecommendRequest(user_id=user, top_k=0))
        assert isinstance(refused, HTTPValidationError), refused
    print(json.dumps({"health": health.to_dict(), "found": found.to_dict(), "default": default.to_dict(), "missing": missing.status_code,
                      "refused": refused.to_dict()}))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["document"]:
            print(json.dumps(app().openapi()))
        case ["serve"]:
            import uvicorn

            uvicorn.run(app(), host="127.0.0.1", port=0, log_level="info", access_log=False)
        case ["client", *arguments]:
            use_client(*arguments)
