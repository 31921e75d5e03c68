"""BPR matrix factorisation by torch's DistributedDataParallel on gloo, as such scripts are meant: each process learns
from its own part of the positives, through DDP's forward, so that gradients are averaged and weights stay the same.

usage: torchrun --nproc_per_node=N train_ddp.py DATASET OUTPUT EPOCHS STEPS

STEPS of batches of 2,048 a process are timed (0: whole epochs). Rank 0 writes {"samples_per_s", "same"} to OUTPUT.
"""

import json
import sys
import time

import numpy as np
import pyarrow.parquet as pq
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

DIM, BATCH = 64, 2048


class Factors(torch.nn.Module):
    def __init__(self, n_users, n_items):
        super().__init__()
        self.users = torch.nn.Embedding(n_users, DIM)
        self.items = torch.nn.Embedding(n_items, DIM)
        for table in (self.users, self.items):
            torch.nn.init.normal_(table.weight, std=0.1)

    def forward(self, user, taken, other):
        u = self.users(user)
        return -torch.nn.functional.logsigmoid((u * (self.items(taken) - self.items(other))).sum(1)).mean()


def main(dataset, output, epochs, steps):
    dist.init_process_group("gloo")
    torch.set_num_threads(1)
    rank, size = dist.get_rank(), dist.get_world_size()
    stats = json.load(open(f"{dataset}/stats.json"))
    rows = pq.read_table(f"{dataset}/train.parquet", columns=["user_idx", "item_idx"])
    users, items = (torch.from_numpy(np.array(rows[name])).long() for name in ("user_idx", "item_idx"))
    torch.manual_seed(1)
    model = DistributedDataParallel(Factors(stats["num_users"], stats["num_items"]))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05 * BATCH)
    mine = torch.from_numpy(np.random.default_rng(rank).permutation(np.arange(rank, len(users), size)))
    seen, start = 0, 0.0
    for _ in range(epochs):
        for at, batch in enumerate(mine.split(BATCH)):
            if steps and at == steps + 1:
                break
            if at == 1 and not start:  # after a warm-up
                dist.barrier()
                start, seen = time.perf_counter(), 0
            other = torch.randint(stats["num_items"], (len(batch),))
            optimizer.zero_grad()
            model(users[batch], items[batch], other).backward()
            optimizer.step()
            seen += len(batch)
    dist.barrier()
    took = time.perf_counter() - start
    total = torch.tensor([float(seen)])
    dist.all_reduce(total)
    check = sum(p.detach().double().sum() for p in model.parameters())
    sums = [torch.zeros_like(check) for _ in range(size)]
    dist.all_gather(sums, check)
    if rank == 0:
        json.dump({"samples_per_s": total.item() / took, "same": all(bool(s == check) for s in sums)}, open(output, "w"))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
