"""Check the map of ARCHITECTURE.md against the code: which folder includes which, and who owns each library.

usage: tools/check_layers.py [SRC]      prints one line a fault; exit code 1 if there is any
"""

import re
import sys
from pathlib import Path

# folder -> the other folders under src/ that it may include
MAY_INCLUDE = {
    "base": set(),
    "kern": {"base"},
    "data": {"base"},
    "comm": {"base"},
    "model": {"base", "kern", "data", "comm"},
    "eval": {"base", "kern", "data", "comm", "model"},
    "train": {"base", "kern", "data", "comm", "model", "eval"},
    "serve": {"base", "kern", "data", "model"},
    "track": {"base"},
    "sweep": {"base"},
    "cmd": {"base", "kern", "data", "comm", "model", "eval", "train", "serve", "track", "sweep"},
    ".": {"base", "comm", "cmd"},  # main.c
}

# header of a foreign library -> the one file that may include it; of several, each loads another library
OWNER = {
    "duckdb.h": "data/duck.c",
    "jansson.h": "base/json.c",
    "yaml.h": "base/yaml.c",
    "zlib.h": "data/packed.c",
    "zstd.h": "data/packed.c",
    "zstd_errors.h": "data/packed.c",
    "dlfcn.h": "base/library.c or comm/load.c",
    "curl/curl.h": "track/client.c",
    "sqlite3.h": "track/local.c",
    "mpi.h": "comm/comm_mpi.c",
    "openssl/ssl.h": "serve/tls.c",
    "openssl/err.h": "serve/tls.c",
    "uv.h": "serve/http.c",
    "llhttp.h": "serve/http.c",
}
OWNED_PREFIXES = {"openssl/": "base/digest.c"}

INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', re.MULTILINE)


def owner_of(header):
    if header in OWNER:
        return OWNER[header]
    return next((owner for prefix, owner in OWNED_PREFIXES.items() if header.startswith(prefix)), None)


def faults(src):
    for path in sorted(src.rglob("*.[ch]")):
        name = path.relative_to(src).as_posix()
        folder = path.relative_to(src).parts[0] if "/" in name else "."
        if folder not in MAY_INCLUDE:
            yield f"{name}: the folder '{folder}' is not on the map"
            continue
        for bracket, header in INCLUDE.findall(path.read_text()):
            owner = owner_of(header)
            target = header.split("/")[0]
            if bracket == "<" or owner:
                if owner and name not in owner.split(" or "):
                    yield f"{name}: includes <{header}>, which only {owner} may"
            elif target != folder and target not in MAY_INCLUDE[folder]:
                yield f"{name}: {folder} may not include {header}"


def main(argv):
    src = Path(argv[1]) if len(argv) > 1 else Path(__file__).resolve().parent.parent / "src"
    found = list(faults(src))
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
