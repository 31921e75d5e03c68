"""embed.py OUT.c FILE.sql...: the files as one C table, sql_scripts[] of src/data/sql/sql.h."""

import json
import pathlib
import sys

out, *files = map(pathlib.Path, sys.argv[1:])


def c_text(text):
    """C strings line by line. JSON's escapes of ASCII text are C's too."""
    assert text.isascii(), "SQL files are ASCII"
    return "\n".join("     " + json.dumps(line) for line in text.splitlines(keepends=True))


rows = (f'    {{"{file.stem}",\n{c_text(file.read_text())}}},\n' for file in files)
out.write_text('#include "data/sql/sql.h"\n\nconst struct sql_script sql_scripts[] = {\n' + "".join(rows) + "    {0},\n};\n")
