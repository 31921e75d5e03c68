"""What `kindred evaluate` measures, in numpy, of any vectors.

usage: rank.py DATASET VECTORS

VECTORS: a peer's factors.npz, or a model.safetensors of kindred's mf. Prints JSON: recall_at_20 and ndcg_at_20, means
over the users with train and test rows. All items are ranked but those that the user has in train or val.
"""

import json
import sys
from pathlib import Path

import numpy as np

import factors

K, BLOCK = 20, 256
DISCOUNTS = 1 / np.log2(np.arange(K) + 2)
TENSORS = ("user_embedding.weight", "item_embedding.weight")


def read_safetensors(path):
    """Users' and items' vectors, of length 1 where scores are cosines; the format: 8 bytes of the header's length, the
    header in JSON, the numbers."""
    data = Path(path).read_bytes()
    begin = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:begin])
    cosine = json.loads(header["__metadata__"]["options"])["similarity"] == "cosine"
    for name in TENSORS:
        first, end = header[name]["data_offsets"]
        rows = np.frombuffer(data[begin + first:begin + end], "<f4").reshape(header[name]["shape"])
        yield rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30) if cosine else rows


def read_vectors(path):
    if path.endswith(".safetensors"):
        return tuple(read_safetensors(path))
    vectors = np.load(path)
    return vectors["users"], vectors["items"]


def by_user(rows, n_users):
    """The items of each user, a list of arrays."""
    users, items = rows
    return np.split(items, np.cumsum(np.bincount(users, minlength=n_users))[:-1])


def best(scores):
    """The K best of each row, best first."""
    top = np.argpartition(-scores, K, axis=1)[:, :K]
    return np.take_along_axis(top, np.argsort(-np.take_along_axis(scores, top, 1), axis=1, kind="stable"), 1)


def measure(listed, wanted):
    """(recall, NDCG) of a list of K items."""
    hits = np.isin(listed, wanted)
    return hits.sum() / len(wanted), (hits @ DISCOUNTS) / DISCOUNTS[:len(wanted)].sum()


def main(dataset, path):
    users, items = read_vectors(path)
    train, val, test = (by_user(factors.read_rows(dataset, part), len(users)) for part in ("train", "val", "test"))
    known = [u for u in range(len(users)) if len(train[u]) and len(test[u])]
    found = []
    for begin in range(0, len(known), BLOCK):
        block = known[begin:begin + BLOCK]
        scores = users[block] @ items.T
        for row, u in enumerate(block):
            scores[row, train[u]] = scores[row, val[u]] = -np.inf
        found += [measure(listed, test[u]) for listed, u in zip(best(scores), block)]
    recall, ndcg = np.mean(found, axis=0)
    print(json.dumps({"recall_at_20": recall, "ndcg_at_20": ndcg, "users": len(known)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
