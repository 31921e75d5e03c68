"""BPR by implicit; usage: as in factors.py. An epoch is as many draws of a train row as there are: some come twice,
others not at all. Negatives are drawn in proportion to their popularity; one that the user has skips the draw."""

import numpy as np
from implicit.cpu.bpr import BayesianPersonalizedRanking
from scipy.sparse import csr_matrix

import factors


def fit(dataset, epochs, dim, threads, options):
    users, items = factors.read_rows(dataset, "train")
    rows = csr_matrix((np.ones(len(users), np.float32), (users, items)), shape=factors.sizes(dataset))
    model = BayesianPersonalizedRanking(factors=dim, iterations=epochs, num_threads=threads, random_state=1, **options)
    return lambda: model.fit(rows, show_progress=False), lambda: (model.user_factors, model.item_factors)


if __name__ == "__main__":
    factors.train_and_write(fit)
