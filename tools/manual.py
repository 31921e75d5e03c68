"""Write man pages and bash's completion of what the program's own help says, into a folder.

usage: tools/manual.py KINDRED DIR    kindred.1, kindred-COMMAND.1, kindred.bash
"""

import re
import subprocess
import sys
from pathlib import Path


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def escaped(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.MULTILINE)


def paragraphs(text):
    return "\n.PP\n".join(escaped(p) for p in text.strip().split("\n\n") if p.strip())


def entries(lines):
    """[term, text] of a section's rows: a term from column 2, its text from column 28, there or on the lines below."""
    found = []
    for line in lines:
        if re.match(r"  \S", line):
            term, _, text = line[2:].partition("  ")
            found.append([term, text.strip()])
        elif line.strip():
            found[-1][1] += " " + line.strip()
    return found


def parts(help_text):
    """(summary, usage, about, [(title, entries)]) of a command's help."""
    head, *rest = re.split(r"^(\S[^\n]*):\n(?=  )", help_text, flags=re.MULTILINE)
    title, *text = head.split("\n\n")
    usage = text.pop(0)
    return title.split(" - ", 1)[1], usage, "\n\n".join(text), [(t, entries(body.splitlines())) for t, body in zip(rest[::2], rest[1::2])]


def term(text):
    if not text.startswith("--"):
        return f"\\fB{escaped(text)}\\fR"
    name, _, value = text.partition(" ")
    return f"\\fB{escaped(name)}\\fR" + (f" \\fI{escaped(value)}\\fR" if value else "")


def page(name, help_text, version, see):
    summary, usage, about, sections = parts(help_text)
    lines = [f'.TH {name.upper()} 1 "" "kindred {version}" "Kindred"', ".SH NAME", f"{escaped(name)} \\- {escaped(summary)}", ".SH SYNOPSIS",
             ".nf", escaped(usage.replace("usage: ", "").replace("\n       ", "\n")), ".fi", *([".SH DESCRIPTION", paragraphs(about)] if about else [])]
    for title, rows in sections:
        lines.append(f".SH {escaped(title.upper())}")
        for key, text in rows:
            lines += [".TP", term(key), escaped(text)]
    lines += [".SH SEE ALSO", ", ".join(f"\\fB{escaped(other)}\\fR(1)" for other in see)]
    return "\n".join(line for line in lines if line) + "\n"


def values(option, value, models):
    """What may follow an option, for compgen."""
    if option == "--model" and value == "NAME":
        return f"-W '{' '.join(models)}'"
    value = value.removesuffix("...")
    if "|" in value:
        return f"-W '{value.replace('|', ' ')}'"
    if value.split(",")[0] in ("FILE", "MODEL"):
        return "-f"
    return "-d" if value == "DIR" else "-W ''"


def completion(commands, models):
    """commands: {name: [(option, value)]}"""
    lines = ["# bash completion for kindred", "_kindred() {", '    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} words=',
             "    COMPREPLY=()", "    if [ \"$COMP_CWORD\" = 1 ] || { [ \"$COMP_CWORD\" = 2 ] && [ \"$before\" = help ]; }; then",
             f"        mapfile -t COMPREPLY < <(compgen -W '{' '.join(commands)} help --version' -- \"$word\")", "        return", "    fi",
             '    case ${COMP_WORDS[1]}:$before in']
    for name, options in commands.items():
        by_values = {}
        for option, value in options:
            if value:
                by_values.setdefault(values(option, value, models), []).append(option)
        for how, which in by_values.items():
            patterns = "|".join(f"{name}:{option}" for option in dict.fromkeys(which))
            lines.append(f"    {patterns}) mapfile -t COMPREPLY < <(compgen {how} -- \"$word\"); return ;;")
    lines += ["    esac", "    case ${COMP_WORDS[1]} in"]
    for name, options in commands.items():
        lines.append(f"    {name}) words='{' '.join(dict.fromkeys(option for option, _ in options))}' ;;")
    lines += ["    esac", '    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")', "}", "complete -o filenames -F _kindred kindred"]
    return "\n".join(lines) + "\n"


def main(kindred, folder):
    folder = Path(folder)
    overview, version = output(kindred, "help"), output(kindred, "--version").split()[-1]
    names = re.findall(r"^  (\w+) ", overview.split("Commands", 1)[1], re.MULTILINE)
    pages = [f"kindred-{name}" for name in names]
    (folder / "kindred.1").write_text(page("kindred", overview, version, pages))
    options, models = {}, []
    for name in names:
        text = output(kindred, "help", name)
        (folder / f"kindred-{name}.1").write_text(page(f"kindred-{name}", text, version, ["kindred", *(p for p in pages if p != f"kindred-{name}")]))
        sections = parts(text)[3]
        models += [key for title, rows in sections if title == "Models" for key, _ in rows if key not in models]
        rows = [key for _, rows in sections for key, _ in rows if key.startswith("--")]
        options[name] = [key.split(" ", 1) if " " in key else (key, "") for key in rows]
    (folder / "kindred.bash").write_text(completion(options, models))


if __name__ == "__main__":
    main(*sys.argv[1:])
