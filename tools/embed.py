"""embed.py [--gzip] OUT.c NAME FILE...: the files as one C table, NAME[] of base/embedded.h: as text; or packed, then as bytes."""

import gzip
import hashlib
import json
import pathlib
import sys

packed = sys.argv[1] == "--gzip"
out, name, *files = sys.argv[1 + packed:]


def c_text(text):
    """C strings line by line. JSON's escapes of ASCII text are C's too."""
    assert text.isascii(), "files that are embedded are ASCII"
    return "\n".join("     " + json.dumps(line) for line in text.splitlines(keepends=True))


def c_bytes(data):
    """Octal, three digits each, so that no digit behind can belong to it."""
    lines = (data[at:at + 64] for at in range(0, len(data), 64))
    return "\n".join('     "' + "".join(f"\\{byte:03o}" for byte in line) + '"' for line in lines)


def text_row(file):
    return f'    {{"{file.stem}",\n{c_text(file.read_text())}}},\n'


def file_row(file):
    whole = file.read_bytes()
    small = gzip.compress(whole, 9, mtime=0)
    return f'    {{"{file.name}", "{hashlib.sha256(whole).hexdigest()[:32]}", {len(small)},\n{c_bytes(small)}}},\n'


kind, row = ("embedded_file", file_row) if packed else ("embedded", text_row)
rows = map(row, map(pathlib.Path, files))
pathlib.Path(out).write_text(f'#include "base/embedded.h"\n\nextern const struct {kind} {name}[];\n'
                             f"const struct {kind} {name}[] = {{\n" + "".join(rows) + "    {0},\n};\n")
