"""Runs a loop of README.md, as programs.py of the suite wants it.

python clients/python/readme.py BLOCK HOST:PORT TABLE TOKEN_FILE [CA CERTIFICATE KEY]
"""

import pathlib
import re
import sys
import textwrap


def main(number, target, table, store, *tls):
    """The block with this server and table."""
    readme = pathlib.Path(__file__).parent / "README.md"
    block = re.findall(r"```python\n(.*?)```", readme.read_text(), re.DOTALL)[int(number)]
    for old, new in (("localhost:50051", target), ('"orders"', f'"{table}"'), ("orders.token", store)):
        assert old in block
        block = block.replace(old, new)
    if tls:
        block = block.replace(f'{target}"', f'{target}", tls=__import__("shardstream").Tls(*{tls})')
    if "async with" in block:
        imports, _, body = block.partition("\n\n")
        block = f"import asyncio\n{imports}\nasync def main():\n{textwrap.indent(body, '    ')}\nasyncio.run(main())\n"
    exec(block, {})


if __name__ == "__main__":
    main(*sys.argv[1:])
