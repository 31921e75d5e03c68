"""The best 20 items of every user by the vectors of a trained model, without those the user has: by three programs.

usage: topk.py PROGRAM DATASET MODEL THREADS RUNS        PROGRAM: implicit, torch or numpy

MODEL: a model.safetensors of kindred's mf, without cosine. Prints JSON: `seconds` of each of RUNS runs after a
warm-up, reading apart, and recall_at_20 of the last.
"""

import json
import sys
import time

import numpy as np
from scipy.sparse import csr_matrix

import factors
import rank

BLOCK = 1024


def by_implicit(users, items, taken, threads):
    from implicit.cpu.als import AlternatingLeastSquares

    model = AlternatingLeastSquares(factors=users.shape[1], num_threads=threads)
    model.user_factors, model.item_factors = users, items
    everybody = np.arange(len(users))
    return lambda: model.recommend(everybody, taken, N=rank.K, filter_already_liked_items=True)[0]


def in_blocks(users, taken, best):
    """best(users' vectors, (row, item) of what they have) of BLOCK users at a time."""
    found = []
    for begin in range(0, len(users), BLOCK):
        some = taken[begin:begin + BLOCK]
        rows = np.repeat(np.arange(some.shape[0]), np.diff(some.indptr))
        found.append(best(users[begin:begin + BLOCK], rows, some.indices))
    return np.concatenate(found)


def by_torch(users, items, taken, threads):
    import torch

    torch.set_num_threads(threads)
    items = torch.from_numpy(np.array(items))

    def best(block, rows, columns):
        scores = torch.from_numpy(np.array(block)) @ items.T
        scores[torch.from_numpy(rows), torch.from_numpy(columns.astype(np.int64))] = -torch.inf
        return torch.topk(scores, rank.K).indices.numpy()

    return lambda: in_blocks(users, taken, best)


def by_numpy(users, items, taken, _):
    def best(block, rows, columns):
        scores = block @ items.T
        scores[rows, columns] = -np.inf
        return rank.best(scores)

    return lambda: in_blocks(users, taken, best)


PROGRAMS = {"implicit": by_implicit, "torch": by_torch, "numpy": by_numpy}


def main(program, dataset, path, threads, runs):
    users, items = rank.read_vectors(path)
    sizes = len(users), len(items)
    rows = [factors.read_rows(dataset, part) for part in ("train", "val")]
    pairs = tuple(np.concatenate(ids) for ids in zip(*rows))
    taken = csr_matrix((np.ones(len(pairs[0]), np.float32), pairs), shape=sizes)
    test = rank.by_user(factors.read_rows(dataset, "test"), sizes[0])
    find = PROGRAMS[program](users, items, taken, int(threads))
    seconds = []
    for _ in range(1 + int(runs)):
        start = time.perf_counter()
        lists = find()
        seconds.append(time.perf_counter() - start)
    recall = np.mean([rank.measure(lists[u], test[u])[0] for u in range(sizes[0]) if len(test[u])])
    print(json.dumps({"seconds": seconds[1:], "recall_at_20": recall}))


if __name__ == "__main__":
    main(*sys.argv[1:])
