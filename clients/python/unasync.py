"""Makes the blocking client from the asyncio one: `sync.py` is `aio.py` without `async` and `await`.

python unasync.py          writes src/shardstream/sync.py
python unasync.py --check  fails when it is out of date
"""

import pathlib
import re
import sys

FOLDER = pathlib.Path(__file__).parent / "src" / "shardstream"
WORDS = [
    (
        r'"""The asyncio client\.\n\n.*?"""',
        '"""The blocking client, made from `aio.py` by `unasync.py`: change that one."""',
    ),
    (r"_aio_io", "_sync_io"),
    (r"\basync (def|for|with)\b", r"\1"),
    (r"\bawait ", ""),
    (r"__(a)(iter|next|enter|exit)__", r"__\2__"),
    (r"\bAsyncIterator\b", "Iterator"),
    (r"\bStopAsyncIteration\b", "StopIteration"),
    (r"import Iterator, Callable, Iterable, Iterator", "import Callable, Iterable, Iterator"),
]


def made() -> str:
    """The text of the blocking client."""
    text = (FOLDER / "aio.py").read_text()
    for pattern, replacement in WORDS:
        text = re.sub(pattern, replacement, text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    file = FOLDER / "sync.py"
    if sys.argv[1:] == ["--check"]:
        sys.exit(0 if file.read_text() == made() else "sync.py is out of date: run unasync.py")
    file.write_text(made())
