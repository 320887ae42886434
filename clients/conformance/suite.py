"""Runs the scenarios against clients: each language's runner plays the user, `stage.py` the server.

python clients/conformance/suite.py "Python=python clients/python/conformance.py" ["Go=..." ...]
    --only WORD      the scenarios whose names have the word in them
    --write FILE     writes the matrix between the file's marks
    --check FILE     fails when the matrix in the file is another one
    --first          ends with the first scenario that fails
    --within SECONDS how long a scenario may take
"""

import argparse
import asyncio
import json
import pathlib
import shlex
import sys
import tempfile
import time

import yaml
from google.protobuf import json_format
from stage import Certificates, Stage, item

HERE = pathlib.Path(__file__).parent
MARKS = "<!-- matrix: made by the suite -->", "<!-- end of the matrix -->"


class Runner:
    """The program that plays the user in one language."""

    def __init__(self, name, command, within):
        self.name, self._command, self._process = name, shlex.split(command), None
        self._within = within

    async def play(self, action):
        """What it printed for an action."""
        if self._process is None:
            pipe = asyncio.subprocess.PIPE
            self._process = await asyncio.create_subprocess_exec(*self._command, stdin=pipe, stdout=pipe, limit=1 << 26)
        lines = []
        try:
            async with asyncio.timeout(self._within):
                self._process.stdin.write(json.dumps(action).encode() + b"\n")
                while data := await self._process.stdout.readline():
                    line = json.loads(data)
                    if "done" in line:
                        return lines
                    lines.append(line)
                lines.append({"fault": "the runner ended"})
        except TimeoutError:
            lines.append({"fault": f"not done within {self._within:g} s"})
        await self.close()
        return lines

    async def close(self):
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        self._process = None


def plain(attribute):
    """An attribute of the contract's JSON in DynamoDB's."""
    (kind, value), *_ = attribute.items()
    match kind:
        case "m":
            return {"M": {name: plain(inner) for name, inner in value.get("entries", {}).items()}}
        case "l":
            return {"L": [plain(inner) for inner in value.get("values", [])]}
        case "ss" | "ns" | "bs":
            return {kind.upper(): sorted(value.get("values", []))}
    return {{"nullValue": "NULL", "boolValue": "BOOL"}.get(kind, kind.upper()): value}


def sent(shard, wish):
    """How a record that was sent must come out."""
    record = json_format.MessageToDict(item(shard, wish))
    images = {"key": "key", "new": "newImage", "old": "oldImage"}
    return {
        name: {key: plain(value) for key, value in record[field].items()} if field in record else None
        for name, field in images.items()
    }


def fits(wanted, got):
    """Whether `got` has everything that is wanted: of maps the named fields, everything else whole."""
    if isinstance(wanted, dict) and isinstance(got, dict):
        return all(name in got and fits(value, got[name]) for name, value in wanted.items())
    if isinstance(wanted, list) and isinstance(got, list):
        return len(wanted) == len(got) and all(map(fits, wanted, got))
    return wanted == got


def spelled(wanted):
    """`a/1` is a record by its shard and number, `a/1-3` are three of them."""
    if not isinstance(wanted, str):
        if "same" in wanted:
            shard, _, number = wanted["same"].partition("/")
            wish = wanted.get("of", number)
            return [{"record": {"shard": shard, "sequence": number, **sent(shard, wish)}}]
        return [wanted]
    shard, _, numbers = wanted.partition("/")
    first, _, last = numbers.partition("-")
    return [{"record": {"shard": shard, "sequence": str(n)}} for n in range(int(first), int(last or first) + 1)]


def compared(scenario, stage, lines):
    """What is not as the scenario says."""
    wanted = [line for spelt in scenario.get("gives", []) for line in spelled(spelt)]
    for number, (want, got) in enumerate(zip(wanted, lines, strict=False)):
        if not fits(want, got):
            yield f"line {number + 1}: wanted {short(want)}, got {short(got)}"
            break
    if len(wanted) != len(lines):
        yield f"wanted {len(wanted)} lines, got {len(lines)}: {short(lines[-3:])}"
    script, calls = stage._script, stage.calls
    if len(script) != len(calls):
        yield f"wanted {len(script)} calls, got {len(calls)}: {[call.method for call in calls][:8]}"
    for number, (part, call) in enumerate(zip(script, calls, strict=False)):
        yield from called(part, call, calls[number - 1] if number else None, f"call {number + 1}")
    if most := scenario.get("peers"):
        peers = len({call.peer for call in calls})
        if peers < most:
            yield f"wanted {most} connections or more, got {peers}"
    if (
        scenario.get("same_request_id")
        and len({call.request.get("requestId") for call in calls if call.method == "GetRecords"}) != 1
    ):
        yield "the read was repeated with another request_id"


def called(part, call, before, where):
    """What is not as the script says of one call."""
    if part["call"] != call.method:
        yield f"{where}: wanted {part['call']}, got {call.method}"
        return
    if not fits(part.get("asks", {}), call.request):
        yield f"{where}: wanted {short(part['asks'])}, got {short(call.request)}"
    for name in part.get("lacks", ()):
        if name in call.request:
            yield f"{where}: {name} is {short(call.request[name])}"
    if not fits(part.get("metadata", {}), call.metadata):
        yield f"{where}: wanted metadata {part['metadata']}, got {call.metadata}"
    if "cancelled" in part and call.cancelled != part["cancelled"]:
        yield f"{where}: the server {'saw no' if part['cancelled'] else 'saw a'} cancellation"
    if before is not None and before.ended is not None:
        pause = call.begun - before.ended
        if pause < part.get("after", -60):
            yield f"{where}: came after {pause:.3f} s, wanted {part['after']} or more"
        if pause > part.get("within", 60):
            yield f"{where}: came after {pause:.3f} s, wanted {part['within']} at most"


def short(value):
    text = json.dumps(value, default=str)
    return text if len(text) < 300 else f"{text[:300]}..."


async def play(scenario, runner, certificates):
    """Plays one scenario; returns what was wrong."""
    tls = certificates.of_server(scenario["tls"] == "mutual") if "tls" in scenario else None
    async with Stage(scenario.get("server", []), tls) as stage:
        timing = {"first_pause": 0.02, "longest_pause": 0.1, "patience": 5, "least_heartbeat": 0.01}
        action = {"target": stage.target, **scenario["do"], "timing": timing | scenario["do"].get("timing", {})}
        if "tls" in action:
            action["tls"] = {name: certificates.files[file] for name, file in action["tls"].items()}
        lines = await runner.play(action)
        for _ in range(100):  # The server learns of a cancelled call a moment after the client is done.
            if all(call.ended for call in stage.calls):
                break
            await asyncio.sleep(0.01)
        return list(compared(scenario, stage, lines))


def matrix(scenarios, results):
    """The table of documents."""
    names = list(results)
    yield f"| Scenario | {' | '.join(names)} |"
    yield f"|---|{'---|' * len(names)}"
    for scenario in scenarios:
        marks = (cell(scenario, name, results[name][scenario["name"]]) for name in names)
        yield f"| {scenario['says']} | {' | '.join(marks)} |"


def cell(scenario, name, wrong):
    if name in scenario.get("not_for", {}):
        return scenario["not_for"][name]
    return "no" if wrong else "yes"


def written(text, table):
    """A document with the table between the marks."""
    begin, end = text.index(MARKS[0]) + len(MARKS[0]), text.index(MARKS[1])
    return f"{text[:begin]}\n\n{table}\n\n{text[end:]}"


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("runners", nargs="+", metavar="NAME=COMMAND")
    parser.add_argument("--only", default="")
    parser.add_argument("--write", type=pathlib.Path)
    parser.add_argument("--check", type=pathlib.Path)
    parser.add_argument("--first", action="store_true")
    parser.add_argument("--within", type=float, default=15.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as given.folder:
        await run(given)


async def run(given):
    scenarios = yaml.safe_load((HERE / "scenarios.yaml").read_text())
    assert len({scenario["name"] for scenario in scenarios}) == len(scenarios), "two scenarios of one name"
    chosen = [scenario for scenario in scenarios if given.only in scenario["name"]]
    results, failed = {}, 0
    certificates = Certificates(given.folder)
    for name, _, command in (runner.partition("=") for runner in given.runners):
        runner, begun = Runner(name, command, given.within), time.monotonic()
        results[name] = {}
        for scenario in chosen:
            wrong = [] if name in scenario.get("not_for", {}) else await play(scenario, runner, certificates)
            results[name][scenario["name"]] = wrong
            failed += bool(wrong)
            for line in wrong:
                print(f"{name}: {scenario['name']}: {line}")
            if wrong and given.first:
                break
        await runner.close()
        good = sum(not wrong for wrong in results[name].values())
        print(f"{name}: {good} of {len(chosen)} scenarios in {time.monotonic() - begun:.1f} s")
    table = "\n".join(matrix(chosen, results))
    if given.write:
        given.write.write_text(written(given.write.read_text(), table))
    if given.check and given.check.read_text() != written(given.check.read_text(), table):
        print(f"{given.check}: the matrix is another one; --write renews it")
        failed += 1
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    asyncio.run(main())
