"""Shows that the suite can fail: breaks a copy of a client in one place at a time, and wants each to be caught.

A language's own `mutants.py` lists them and calls `main`.
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile

SUITE = pathlib.Path(__file__).parent / "suite.py"


def main(client, mutants, runners, language="mutant"):
    """Tries all mutants of the client in that folder, or those whose names have the words of the command line in them.

    mutants: what it is, the scenario that must catch it, the file, the text, and what takes its place.
    runners: builds a changed copy in the folder that it is given, and returns the commands of its runners; it is told
        which file was changed. None is changed at first, to show that it takes a mutant to fail.
    language: its name, where scenarios are not for it.
    """
    word, survivors, chosen = " ".join(sys.argv[1:]), [], 0
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder) / "client"
        if not word:
            complaint = caught(client, copy, runners, language)
            assert not complaint, f"without a mutant: {complaint}"
        for name, *mutant in mutants:
            if word not in name:
                continue
            chosen += 1
            complaint = caught(client, copy, runners, language, *mutant)
            print(f"{name}: {complaint[:160] or 'NOT CAUGHT'}", flush=True)
            if not complaint:
                survivors.append(name)
    print(f"{chosen - len(survivors)} of {chosen} mutants caught")
    sys.exit(1 if survivors else 0)


def caught(client, copy, runners, language, scenario="", file="", text="", other=""):
    """The suite's first complaint about the client with this change; empty if one of its runners has none."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(client, copy, ignore=shutil.ignore_patterns("*.egg-info", "build", "dist", "node_modules"))
    if file:
        changed = copy / file
        before = changed.read_text()
        assert before.count(text) == 1, f"{file} has {before.count(text)} times: {text}"
        changed.write_text(before.replace(text, other))
    complaint = ""
    for command in runners(copy, file):
        run = subprocess.run(
            [sys.executable, SUITE, "--only", scenario, "--first", "--within", "8", f"{language}={command}"],
            capture_output=True,
            text=True,
            timeout=300,
        )
        if run.returncode == 0:
            return ""
        complaint = run.stdout.splitlines()[0].removeprefix(f"{language}: ")
    return complaint
