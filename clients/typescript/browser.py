"""The page of examples/browser in a real Chromium, without a window.

It follows a stream by gRPC-Web while the server is killed and comes back; is loaded again; is refused where it must be.

python clients/typescript/browser.py target/debug/shardstream NODE_MODULES [SCREENSHOT]

Chromium is looked for by CHROMIUM and in PATH. Where there is none the client of pages runs under Node's `fetch`
instead, which is no browser: the last line says which of them it was. With BROWSER=required that is a failure.
"""

import functools
import http.server
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent / "conformance"))
from server import RECORDS, Server, Writer, until  # noqa: E402


class Pages(http.server.SimpleHTTPRequestHandler):
    """The files of examples/browser, and the packages as npm installed them."""

    def __init__(self, *arguments, modules, **named):
        self.modules = modules
        super().__init__(*arguments, directory=ROOT / "examples" / "browser", **named)

    def translate_path(self, path):
        """Packages lie elsewhere."""
        if path.startswith("/node_modules/"):
            return str(self.modules / path.partition("/node_modules/")[2])
        return super().translate_path(path)

    def log_message(self, *_):
        """Nobody reads it."""


def pages(modules):
    """Serves them; returns the port."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Pages, modules=modules))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


class Program:
    """A program that prints lines of JSON."""

    def __init__(self, *command):
        self._process = subprocess.Popen([*map(str, command)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.numbers, self.told = [], []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self._process.stdout:
            line = json.loads(line)
            assert "fault" not in line, line["fault"]
            if "key" in line:
                self.numbers.append(int(line["key"]["n"]))
            else:
                self.told.append(line)

    def do(self, step):
        """Has a step done; returns what the page says of itself then."""
        before = len(self.told)
        self._process.stdin.write(f"{step}\n")
        self._process.stdin.flush()
        until(lambda: len(self.told) > before, step, 20)
        return self.told[-1]

    def end(self):
        """Ends it."""
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def follows(server, program):
    """Every record once, although the server is killed in the midst."""
    for part in (1, 2):
        until(lambda part=part: len(program.numbers) >= part * RECORDS // 3, "records")
        server.kill()
        time.sleep(0.3)
        server.start()
    until(lambda: len(program.numbers) >= RECORDS, "all records")
    time.sleep(0.5)
    assert program.numbers == list(range(RECORDS)), f"{len(program.numbers)} records: {program.numbers}"


def in_chromium(chromium, server, writer, port, shot):
    """Follows, is loaded again, and is refused."""
    page = f"http://127.0.0.1:{port}/?server=http://127.0.0.1:{server.port}&stream=numbers"
    program = Program("node", HERE / "browser.js", chromium, page)
    follows(server, program)
    assert program.do(f"shot {shot}" if shot else "state") == {"state": "following", "class": ""}, program.told[-1]
    # What was stored is not given again; what is written while the page is loaded is not lost.
    program.numbers.clear()
    writer.table.put_item(Item={"n": RECORDS, "text": "while it is loaded"})
    program.do("reload")
    until(lambda: program.numbers and program.numbers[-1] == RECORDS, "the record of the reload")
    assert program.numbers in ([RECORDS], [RECORDS, RECORDS]), program.numbers
    program.end()
    for what, address, state in (
        ("another origin", page.replace("127.0.0.1", "localhost", 1), "waits"),
        ("no such table", page.replace("stream=numbers", "stream=nothing"), "failed"),
    ):
        program = Program("node", HERE / "browser.js", chromium, address)
        until(lambda program=program, state=state: program.do("state")["class"] == state, what, 20)
        print(f"{what}: {program.told[-1]['state']}")
        assert not program.numbers
        program.end()


def main():
    """In Chromium where it is."""
    binary, modules, *shot = sys.argv[1:]
    modules = pathlib.Path(modules).resolve()
    chromium = shutil.which(os.environ.get("CHROMIUM") or "chromium") or shutil.which("google-chrome")
    port = pages(modules)
    with tempfile.TemporaryDirectory() as folder:
        server = Server(binary, folder, flags=["--web", "--cors-origin", f"http://127.0.0.1:{port}"])
        try:
            writer = Writer(server, "numbers")
            if chromium is not None:
                in_chromium(chromium, server, writer, port, shot[0] if shot else None)
                version = subprocess.run([chromium, "--version"], capture_output=True, text=True).stdout.strip()
                print(
                    f"page in {version}: server killed twice, {RECORDS} records, none twice, none missing; loaded again"
                )
                return
            program = Program("node", modules.parent / "loop_by_web.js", f"http://127.0.0.1:{server.port}", "numbers")
            follows(server, program)
            program._process.kill()
            print(f"Node's fetch: server killed twice, {RECORDS} records, none twice, none missing")
            print("NO BROWSER WAS TESTED: there is no Chromium here (CHROMIUM, PATH)")
            sys.exit(1 if os.environ.get("BROWSER") == "required" else 0)
        finally:
            server.end()


if __name__ == "__main__":
    main()
