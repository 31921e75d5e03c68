"""BPR by Cornac; usage: as in factors.py. An epoch is as many draws of a train row as there are: some come twice,
others not at all. Negatives are drawn evenly; one that the user has skips the draw."""

import numpy as np
from cornac.data import Dataset
from cornac.models import BPR

import factors


def fit(dataset, epochs, dim, threads, options):
    users, items = factors.read_rows(dataset, "train")
    n_users, n_items = factors.sizes(dataset)
    rows = Dataset(n_users, n_items, dict(enumerate(range(n_users))), dict(enumerate(range(n_items))),
                   (users, items, np.ones(len(users), np.float32)))
    rows.matrix  # made here, and kept: the fit is timed without it
    model = BPR(k=dim, max_iter=epochs, num_threads=threads, **options)  # a seed would mean one thread
    return lambda: model.fit(rows), lambda: factors.with_bias(model.u_factors, model.i_factors, model.i_biases)


if __name__ == "__main__":
    factors.train_and_write(fit)
