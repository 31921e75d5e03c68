"""Time `kindred evaluate` beside implicit, torch and numpy at the same ranking, and see what each model is worth.

usage: bench/eval.py KINDRED GOWALLA AMAZON FOLDER

GOWALLA has train.txt and test.txt, the split of the LightGCN paper. AMAZON has Beauty.txt (a user's items in order of
time on each line), Grocery_and_Gourmet_Food.csv.gz, All_Beauty_5.json.gz and Electronics_2023.parquet. Datasets stay in
FOLDER. PARTS="rank models beauty temporal blend big" does these tables alone; without it all but "big": 1,000,000 users and
200,000 items made up, for the memory that their evaluation takes. The peers run in an environment of their own, .deps/bench-venv; torch only if that has it:
.deps/bench-venv/bin/pip install torch.

Prints Markdown tables: medians over the runs, after a warm-up, two threads. The programs' lists are held against one
another by their recall.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from data import HERE, PYTHON, THREADS, make_environment, print_table, run, say
from pipeline import measure

RUNS, MODEL_RUNS = 5, 3
PARTS = "rank models beauty temporal blend"
PEERS = ("implicit", "torch", "numpy")
SAME = 1e-4
REVIEWS = {"Grocery, 5/5": ("Grocery_and_Gourmet_Food.csv.gz", 5), "All_Beauty, 2/2": ("All_Beauty_5.json.gz", 2),
           "Electronics 2023, 3/3": ("Electronics_2023.parquet", 3)}


def answer(*command):
    return json.loads(subprocess.check_output(list(map(str, command))))


def by_kindred(kindred, dataset, model):
    runs = [answer(kindred, "evaluate", "--data-dir", dataset, "--model-path", model, "--k", 20, "--metrics", "recall",
                   "--threads", THREADS, "--quiet", "--json", "-") for _ in range(1 + RUNS)]
    return {"seconds": [found["seconds"] for found in runs[1:]], "recall_at_20": runs[0]["recall_at_20"]}


def has(package):
    return not subprocess.run([PYTHON, "-c", f"import {package}"], stderr=subprocess.DEVNULL).returncode


def time_rank(kindred, dataset, scratch):
    run([kindred, "train", "--data-dir", dataset, "--output-dir", scratch, "--epochs", 5, "--future-negatives", 1,
         "--quiet"], stdout=subprocess.DEVNULL)
    model = scratch / "model.safetensors"
    found = {"kindred": by_kindred(kindred, dataset, model)}
    for name in filter(has, PEERS):
        say(name)
        found[name] = answer(PYTHON, HERE / "peers" / "topk.py", name, dataset, model, THREADS, RUNS)
    ours = found["kindred"]
    if any(abs(other["recall_at_20"] - ours["recall_at_20"]) > SAME for other in found.values()):
        sys.exit(f"the lists differ: {found}")
    first = statistics.median(ours["seconds"])
    print_table(["top 20 of all items for all users, dim 64", "s", "runs from, to", "times kindred's"],
                [[name, f"{statistics.median(of['seconds']):.2f}",
                  f"{min(of['seconds']):.2f} to {max(of['seconds']):.2f}",
                  f"{statistics.median(of['seconds']) / first:.1f}"] for name, of in found.items()])


# What is made of Gowalla without epochs: model, options.
CLOSED = [
    ("popularity", []),
    ("itemknn", []),
    ("gram", []),
    ("gf", []),
    ("gf", ["--sharpening", "0.8"]),
    ("gf", ["--dim", "1024", "--low-pass-power", "0.37", "--alpha", "0.4", "--item-power", "0.2", "--user-power", "0.5",
            "--sharpening", "0.4"]),
    ("svd", []),
    ("svd", ["--dim", "512"]),
    ("ials", []),
    ("ials", ["--dim", "512", "--reg", "2", "--alpha", "0.05", "--iterations", "4"]),
    ("ials", ["--dim", "1024", "--reg", "4", "--alpha", "0.08", "--iterations", "4"]),
]


def time_models(kindred, dataset, scratch):
    """Of each closed-form model the median times to make it and to rank for all users, and what it's worth."""
    table = []
    for name, options in CLOSED:
        say(f"{name} {' '.join(options)}")
        took = []
        for _ in range(1 + MODEL_RUNS):
            run([kindred, "train", "--model", name, "--data-dir", dataset, "--output-dir", scratch, "--threads",
                 THREADS, "--quiet", *options], stdout=subprocess.DEVNULL)
            told = json.loads((scratch / "run.json").read_text())["timings"]
            found = answer(kindred, "evaluate", "--data-dir", dataset, "--model-path", scratch / "model.safetensors",
                           "--k", 20, "--threads", THREADS, "--quiet", "--json", "-")
            took.append((told["init_s"] + told["epochs_s"], found["seconds"]))
        fit, ranking = (statistics.median(column) for column in zip(*took[1:]))
        table.append([name, " ".join(options), f"{fit:.2f}", f"{ranking:.2f}", f"{found['recall_at_20']:.4f}",
                      f"{found['ndcg_at_20']:.4f}"])
    print_table(["Gowalla, test", "options", "fit s", "ranking s", "recall@20", "NDCG@20"], table)


def mean(found, name):
    """"0.0318 ± 0.0021" of a result, with half of its interval."""
    low, high = found[f"{name}_ci95"]
    return f"{found[name]:.4f} ± {(high - low) / 2:.4f}"


def baselines(kindred, dataset, metrics, k, *options):
    return answer(kindred, "baselines", "--data-dir", dataset, "--metrics", metrics, "--k", k, "--threads", THREADS,
                  "--quiet", "--json", "-", *options)["results"]


def judge_beauty(kindred, amazon, folder):
    """Leave-one-out: the last item of each user is test's, the one before val's."""
    dataset = folder / "beauty"
    preprocess(kindred, dataset, "--input", amazon / "Beauty.txt", "--split", "leave-one-out", "--min-user", 1,
               "--min-item", 1)
    table = [[found["model"], mean(found, "hit_at_10"), mean(found, "ndcg_at_10")]
             for found in baselines(kindred, dataset, "hit,ndcg", 10)]
    print_table(["Beauty, leave-one-out, test", "HR@10", "NDCG@10"], table)


def judge_temporal(kindred, amazon, folder, scratch):
    """All models on the splits in time, with the defaults of each."""
    table = []
    for label, (file, least) in REVIEWS.items():
        dataset = folder / file.split(".")[0]
        preprocess(kindred, dataset, "--input", amazon / file, "--min-user", least, "--min-item", least)
        run([kindred, "train", "--data-dir", dataset, "--output-dir", scratch, "--quiet"], stdout=subprocess.DEVNULL)
        found = baselines(kindred, dataset, "recall,ndcg", 20, "--model-path", scratch / "model.safetensors")
        for of in found:
            everybody = of["all_users"]
            table.append([label, of["model"], str(of["users"]), mean(of, "recall_at_20"), mean(of, "ndcg_at_20"),
                          str(everybody["users"]), mean(everybody, "recall_at_20")])
    print_table(["temporal split, test", "model", "known users", "recall@20", "NDCG@20", "all users", "recall@20"], table)


BLENDED = ["mf", "gf", "ease", "ials"]
HALF_LIVES = [7, 30, 90, 180, 365, 0]  # days; 0: all rows count the same


def signed(found, name):
    low, high = found[f"{name}_ci95"]
    return f"{found[name]:+.4f} ± {(high - low) / 2:.4f}" + ("*" if found[f"{name}_excludes_0"] else "")


def blend(kindred, dataset, output, parts, normalize):
    """What run.json says of a blend of these files."""
    run([kindred, "train", "--model", "blend", "--data-dir", dataset, "--parts", ",".join(map(str, parts)),
         "--normalize", normalize, "--output-dir", output, "--quiet"], stdout=subprocess.DEVNULL)
    return json.loads((output / "run.json").read_text())["blend"]


def weights(told):
    return ", ".join(f"{part['model']} {part['weight']:.2g}" for part in told["parts"])


def judge_blends(kindred, dataset, label, parts, scratch, normalize):
    """Rows of a table: blends without and with popularity of the half-life that is best on val, and the part that is,
    as the blend with all of them says; the others less the blend without, on the same users."""
    plain = blend(kindred, dataset, scratch / "without", [parts[name] for name in BLENDED], normalize)
    told = {days: blend(kindred, dataset, scratch / f"with-{days}", [*(parts[name] for name in BLENDED), parts[days]],
                        normalize) for days in HALF_LIVES}
    say(f"{label}, {normalize}: val without {plain['ndcg_at_20']:.4f}, with "
        + ", ".join(f"{days} {of['ndcg_at_20']:.4f}" for days, of in told.items()))
    days = max(told, key=lambda days: told[days]["ndcg_at_20"])
    single = max(told[days]["parts"], key=lambda part: part["ndcg_at_20"])
    personal = max(plain["parts"], key=lambda part: part["ndcg_at_20"])
    aged = f"popularity, half-life {days} days" if days else "popularity"
    shown = {f"blend: {weights(plain)}": scratch / "without" / "model.safetensors",
             f"with {aged}: {weights(told[days])}": scratch / f"with-{days}" / "model.safetensors",
             f"the best part on val: {personal['model']}": personal["path"],
             **({f"the best part on val of all: {aged}": single["path"]} if single["path"] != personal["path"] else {})}
    found = answer(kindred, "evaluate", "--data-dir", dataset, "--k", 20, "--quiet", "--json", "-",
                   *(word for path in shown.values() for word in ("--model-path", path)))
    less = [None, *found["differences"]]
    return [[label, normalize, name, mean(of, "recall_at_20"), mean(of, "ndcg_at_20"),
             signed(than, "recall_at_20") if than else "", signed(than, "ndcg_at_20") if than else "",
             mean(of["all_users"], "recall_at_20")] for name, of, than in zip(shown, found["models"], less, strict=True)]


def judge_recency(kindred, amazon, folder, scratch):
    """Whether recent popularity as a part of a blend helps on splits in time."""
    table = []
    for label, (file, least) in REVIEWS.items():
        dataset, parts = folder / file.split(".")[0], {}
        preprocess(kindred, dataset, "--input", amazon / file, "--min-user", least, "--min-item", least)
        for name in (*BLENDED, *HALF_LIVES):
            parts[name] = scratch / f"part-{name}" / "model.safetensors"
            model = ["--model", name] if name in BLENDED else ["--model", "popularity", "--half-life-days", name]
            run([kindred, "train", *model, "--data-dir", dataset, "--output-dir", parts[name].parent, "--quiet"],
                stdout=subprocess.DEVNULL)
        for normalize in ("rank", "score"):
            table += judge_blends(kindred, dataset, label, parts, scratch, normalize)
    print_table(["temporal split, test", "by", "model: weights", "recall@20", "NDCG@20", "less the blend's, recall@20",
                 "NDCG@20", "all users, recall@20"], table)


def weigh_big(kindred, folder, scratch):
    """The peak of memory of the evaluation of many users and items."""
    dataset = folder / "eval-big"
    if not (dataset / "stats.json").is_file():
        reviews = folder / "eval-big.jsonl"
        run([kindred, "generate", "--users", 1_000_000, "--items", 200_000, "--reviews", 10_000_000, "--quiet",
             "--output", reviews])
        preprocess(kindred, dataset, "--input", reviews, "--min-user", 2, "--min-item", 2)
        reviews.unlink()
    table = []
    for name, options in {"mf": ["--epochs", 2], "itemknn": []}.items():
        run([kindred, "train", "--model", name, "--data-dir", dataset, "--output-dir", scratch, "--quiet", *options],
            stdout=subprocess.DEVNULL)
        wall, _, peak = measure([kindred, "evaluate", "--data-dir", str(dataset), "--model-path",
                                 str(scratch / "model.safetensors"), "--quiet", "--json", "-"])
        table.append([name, f"{wall:.0f}", f"{peak:,.0f}"])
    stats = json.loads((dataset / "stats.json").read_text())
    print_table([f"evaluate, {stats['num_users']:,} users, {stats['num_items']:,} items", "s", "peak MB"], table)


def preprocess(kindred, dataset, *options):
    run([kindred, "preprocess", "--output-dir", dataset, "--quiet", *options], stdout=subprocess.DEVNULL)


def main(kindred, gowalla, amazon, folder):
    gowalla, amazon, folder = Path(gowalla), Path(amazon), Path(folder)
    dataset = folder / "gowalla"
    folder.mkdir(parents=True, exist_ok=True)
    os.environ |= {"OPENBLAS_NUM_THREADS": str(THREADS), "OMP_NUM_THREADS": str(THREADS)}
    parts = os.environ.get("PARTS", PARTS).split()
    if "rank" in parts:
        make_environment()
    preprocess(kindred, dataset, "--train", gowalla / "train.txt", "--test", gowalla / "test.txt")
    with tempfile.TemporaryDirectory(prefix="out-", dir=folder) as scratch:
        scratch = Path(scratch)
        tables = {"rank": lambda: time_rank(kindred, dataset, scratch),
                  "models": lambda: time_models(kindred, dataset, scratch),
                  "beauty": lambda: judge_beauty(kindred, amazon, folder),
                  "temporal": lambda: judge_temporal(kindred, amazon, folder, scratch),
                  "blend": lambda: judge_recency(kindred, amazon, folder, scratch),
                  "big": lambda: weigh_big(kindred, folder, scratch)}
        for part in parts:
            tables[part]()


if __name__ == "__main__":
    main(*sys.argv[1:])
