"""BPR by LIBMF; usage: as in factors.py. An epoch is each train row once. Negatives are drawn evenly from a block of
the items, whether the user has them or not; the steps are AdaGrad's. Its L1 penalties are 0.04 unless told."""

import numpy as np
from libmf import mf

import factors


def filled(vectors, n):
    """The vectors, and zeros for those after the last that train has: LIBMF doesn't know of them."""
    return np.pad(vectors, ((0, n - len(vectors)), (0, 0)))


def fit(dataset, epochs, dim, threads, options):
    users, items = factors.read_rows(dataset, "train")
    n_users, n_items = factors.sizes(dataset)
    rows = np.column_stack([users, items, np.ones(len(users))]).astype(np.float32)
    model = mf.MF(fun=mf.P_ROW_BPR_MFOC, k=dim, nr_iters=epochs, nr_threads=threads, quiet=True, **options)
    return (lambda: model.fit(rows),
            lambda: (filled(model.p_factors(), n_users), filled(model.q_factors(), n_items)))


if __name__ == "__main__":
    factors.train_and_write(fit)
