"""What a model of kindred's recommends, by numpy alone: the loader of MLflow's python_function flavour.

model.safetensors has the tensors and, in its metadata, the model's name and options; catalog.safetensors the names of users and items
and what each user took. Lists are those of kindred's server: all items scored, best first, equal scores in the order of the items.
"""

import json
import os

import numpy as np

TYPES = {"F32": "<f4", "I32": "<i4", "I64": "<i8", "U8": "u1"}


def read(path):
    """(metadata, {name: array}) of a safetensors file, which stays on disk until it's looked at."""
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
    metadata = header.pop("__metadata__")
    numbers = np.memmap(path, mode="r", offset=8 + size) if os.path.getsize(path) > 8 + size else np.zeros(0, "u1")
    return metadata, {name: numbers[slice(*t["data_offsets"])].view(TYPES[t["dtype"]]).reshape(t["shape"]) for name, t in header.items()}


def read_ids(offsets, text):
    text = text.tobytes()
    return [text[begin:end - 1].decode() for begin, end in zip(offsets[:-1], offsets[1:])]


# ---- models: scores(user, history), or None for whom there is nothing to say ----


def by_length(rows):
    norms = np.sqrt(np.einsum("...d,...d->...", rows, rows))
    return rows * np.divide(1, norms, out=np.zeros_like(norms), where=norms > 0)[..., None]


class Model:
    def __init__(self, tensors, options, seed, n_items):
        self.t, self.o, self.seed, self.n_items = tensors, options, seed, n_items
        self.begin()

    def begin(self):
        """What is the same for all users."""


class Popularity(Model):
    def scores(self, user, history):
        return np.array(self.t["item_count"])


class Random(Model):
    @staticmethod
    def mix(z):
        z = z + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        return z ^ z >> np.uint64(31)

    def scores(self, user, history):
        purpose, key = 4, np.array([self.seed], np.uint64)
        for part in (purpose, user, np.arange(self.n_items)):
            key = self.mix(key) ^ np.asarray(part).astype(np.uint64)
        return (self.mix(key) >> np.uint64(40)).astype("f4") * np.float32(2.0 ** -24)


class Mf(Model):
    def begin(self):
        self.users, self.items = self.t["user_embedding.weight"], self.t["item_embedding.weight"]
        self.cosine = self.o["similarity"] == "cosine"
        if self.cosine:
            self.items = by_length(self.items)
        self.shared = None

    def fold_in(self, history):
        """For whom training didn't see: the vector that fits the history, as by alternating least squares."""
        if self.shared is None:
            gram = self.items.T.astype("f8") @ self.items
            norms = np.linalg.norm(self.users, axis=1)
            self.length = norms[norms > 0].mean() if (norms > 0).any() else 0
            self.shared = 0.1 * (gram + np.eye(len(gram)) * (0.01 * np.trace(gram) / len(gram)))
        taken = self.items[history].astype("f8")
        vector = np.linalg.solve(self.shared + taken.T @ taken, taken.sum(0)) if self.shared.any() else taken.sum(0)
        return (by_length(vector) * self.length).astype("f4")

    def scores(self, user, history):
        vector = self.users[user]
        if not vector.any():
            if not len(history):
                return None
            vector = self.fold_in(history)
        scores = self.items @ (by_length(vector) if self.cosine else vector)
        return scores + self.t["item_bias.weight"] if "item_bias.weight" in self.t else scores


class Neumf(Model):
    def scores(self, user, history):
        t, scores = self.t, self.t["output.bias"] + np.zeros(self.n_items, "f4")
        tower = "gmf" if "gmf.user_embedding.weight" in t else "mlp"
        if not t[tower + ".user_embedding.weight"][user].any():
            return None
        dim = 0
        if tower == "gmf":
            dim = t["gmf.user_embedding.weight"].shape[1]
            scores += t["gmf.item_embedding.weight"] @ (t["output.weight"][:dim] * t["gmf.user_embedding.weight"][user])
        if "mlp.user_embedding.weight" in t:
            half = t["mlp.user_embedding.weight"].shape[1]
            first = t["mlp.layer_1.weight"]
            z = t["mlp.item_embedding.weight"] @ first[half:] + (t["mlp.layer_1.bias"] + t["mlp.user_embedding.weight"][user] @ first[:half])
            layer = 2
            while f"mlp.layer_{layer}.weight" in t:
                z = np.maximum(z, 0) @ t[f"mlp.layer_{layer}.weight"] + t[f"mlp.layer_{layer}.bias"]
                layer += 1
            scores += np.maximum(z, 0) @ t["output.weight"][dim:]
        return scores


class Ials(Model):
    def fold_in(self, history):
        """What the last half-step would have made of the history."""
        n, o, root = len(history), self.o, self.t["item_root"][history].astype("f8")
        rows = root[:, None] * self.t["item_embedding.weight"][history]
        weight = self.t["user_weight"][0] * n ** -o["user_power"]
        reg = o["reg"] * (n + o["alpha"] * self.n_items) ** o["reg_power"] / weight
        system = np.diag(o["alpha"] * self.t["item_gram"].reshape(-1).astype("f8") + reg) + rows.T @ rows
        return np.linalg.solve(system, rows.T @ root).astype("f4")

    def scores(self, user, history):
        items, vector = self.t["item_embedding.weight"], self.t["user_embedding.weight"][user]
        if not vector.any():
            if not items[history].any():
                return None
            vector = self.fold_in(history)
        return items @ vector


class Svd(Model):
    def scores(self, user, history):
        items, weight = self.t["item_embedding.weight"], self.t["item_weight"][history]
        return items @ (weight @ items[history]) if (weight > 0).any() else None


class Ease(Model):
    def scores(self, user, history):
        rows = self.t["item_item.weight"][history]
        return rows.sum(0) if rows.any() else None


class ItemBased(Model):
    """itemknn and gram: each item's neighbours, here turned round, so that the history names who votes."""

    def begin(self):
        index = self.t["neighbor.index"].reshape(self.n_items, -1)
        there = index >= 0
        order = np.argsort(index[there], kind="stable")
        self.to = np.nonzero(there)[0][order]
        self.weights = self.t["neighbor.weight"].reshape(self.n_items, -1)[there][order]
        self.at = np.concatenate([[0], np.cumsum(np.bincount(index[there], minlength=self.n_items))])

    def scores(self, user, history):
        votes, voted = np.zeros(self.n_items, "f4"), False
        for item in np.unique(history):
            own = slice(self.at[item], self.at[item + 1])
            votes[self.to[own]] += self.weights[own]  # an item stands once among another's neighbours
            voted = voted or own.start < own.stop
        return votes if voted else None


class Gf(ItemBased):
    def scores(self, user, history):
        votes, once, items = super().scores(user, history), np.unique(history), self.t["item_factor.weight"]
        sources = self.t.get("source_factor.weight", items)
        return None if votes is None else votes + items @ (self.t["item_scale"][once] @ sources[once])


class Blend(Model):
    def begin(self):
        self.parts = []  # Recommender adds them

    def normalised(self, scores, history):
        if self.o["normalize"] != "rank":
            deviation = scores.astype("f8").std()
            return (scores - scores.mean(dtype="f8")) / deviation if deviation > 0 else np.zeros(self.n_items)
        out = np.zeros(self.n_items)
        best = ranked(scores)[:1000 + len(history)]
        out[best] = 1 / (61 + np.arange(len(best)))
        return out

    def scores(self, user, history):
        total, served = np.zeros(self.n_items), False
        for part, weight in zip(self.parts, self.t["blend.weight"]):
            scores = part.scores(user, history) if weight > 0 else None
            if scores is not None:
                total += weight * self.normalised(scores, history)
                served = True
        return total if served else None


MODELS = {"popularity": Popularity, "random": Random, "mf": Mf, "neumf": Neumf, "ials": Ials, "svd": Svd, "ease": Ease,
          "itemknn": ItemBased, "gram": ItemBased, "gf": Gf, "blend": Blend}


def ranked(scores):
    """Best first; equal scores by item."""
    return np.argsort(-scores, kind="stable")


def load(metadata, tensors, prefix=""):
    model = MODELS[metadata[prefix + "model"]](
        {name[len(prefix):]: t for name, t in tensors.items() if name.startswith(prefix)},
        json.loads(metadata[prefix + "options"]), int(metadata[prefix + "seed"]), int(metadata["n_items"]))
    for part in range(sum(key.startswith("part.") and key.endswith(".model") for key in metadata) if not prefix else 0):
        model.parts.append(load(metadata, tensors, f"part.{part}."))
    return model


class Recommender:
    def __init__(self, folder):
        metadata, tensors = read(os.path.join(folder, "model.safetensors"))
        catalog, t = read(os.path.join(folder, "catalog.safetensors"))
        assert catalog["digest"] == metadata["digest"], "model and catalog are of different datasets"
        self.name, self.model = metadata["model"], load(metadata, tensors)
        self.users = {name: u for u, name in enumerate(read_ids(t["user_offsets"], t["user_bytes"]))}
        self.items = read_ids(t["item_offsets"], t["item_bytes"])
        self.seen_offsets, self.seen_items = t["seen_offsets"], t["seen_items"]

    def recommend(self, user_id, top_k=10, exclude_seen=True):
        """As the server answers; no items for whom it doesn't know."""
        user, best, scores = self.users.get(user_id), [], None
        if user is not None:
            history = self.seen_items[self.seen_offsets[user]:self.seen_offsets[user + 1]]
            scores = self.model.scores(user, history)
        if scores is not None:
            best = ranked(scores)
            if exclude_seen:
                best = best[~np.isin(best, history)]
            best = best[:top_k]
        return {"user_id": user_id, "recommendations": [self.items[i] for i in best],
                "scores": [float(scores[i]) for i in best], "model": self.name}

    def predict(self, model_input, params=None):
        """model_input: ids, or a table with the column user_id. params: top_k (10), exclude_seen (True)."""
        params = params or {}
        if hasattr(model_input, "columns"):
            model_input = model_input["user_id"] if "user_id" in model_input.columns else model_input.iloc[:, 0]
        return [self.recommend(str(user), int(params.get("top_k", 10)), bool(params.get("exclude_seen", True))) for user in model_input]


def _load_pyfunc(path):
    return Recommender(path)
