"""embed.py OUT.c NAME FILE...: the files as one C table, NAME[] of base/embedded.h."""

import json
import pathlib
import sys

out, name, *files = sys.argv[1:]


def c_text(text):
    """C strings line by line. JSON's escapes of ASCII text are C's too."""
    assert text.isascii(), "files that are embedded are ASCII"
    return "\n".join("     " + json.dumps(line) for line in text.splitlines(keepends=True))


rows = (f'    {{"{file.stem}",\n{c_text(file.read_text())}}},\n' for file in map(pathlib.Path, files))
pathlib.Path(out).write_text(f'#include "base/embedded.h"\n\nextern const struct embedded {name}[];\n'
                             f"const struct embedded {name}[] = {{\n" + "".join(rows) + "    {0},\n};\n")
