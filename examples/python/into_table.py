"""Copies a table into SQLite, each change exactly once: items and position are kept in one transaction.

    pip install ./clients/python
    python examples/python/into_table.py TABLE DATABASE [HOST:PORT]
    python examples/python/into_table.py DATABASE                    prints the copy
"""

import json
import sqlite3
import sys

from shardstream import connect


class Copy:
    """The items and the position, in one file. It is the subscription's token store, too."""

    def __init__(self, file):
        self.database = sqlite3.connect(file)
        self.database.execute("CREATE TABLE IF NOT EXISTS items (key TEXT PRIMARY KEY, item TEXT, changes INTEGER)")
        self.database.execute("CREATE TABLE IF NOT EXISTS position (only INTEGER PRIMARY KEY, tokens TEXT)")

    def apply(self, record):
        """One change. It is kept when `save` is called, which is when its batch is done."""
        key = json.dumps(record.key, default=str)
        if record.type == "REMOVE":
            self.database.execute("DELETE FROM items WHERE key = ?", [key])
        else:
            item = json.dumps(record.new_image, default=str)
            change = "INSERT INTO items VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET item = ?, changes = changes + 1"
            self.database.execute(change, [key, item, item])

    def load(self):
        """Where to go on; empty at first."""
        return (self.database.execute("SELECT tokens FROM position").fetchone() or [""])[0]

    def save(self, position):
        """Keeps the position, and with it everything since the last."""
        self.database.execute("INSERT OR REPLACE INTO position VALUES (0, ?)", [position])
        self.database.commit()


def main(table, file, server="localhost:50051"):
    """Runs until it is stopped."""
    copy = Copy(file)
    with connect(server) as client:
        for message in client.subscribe(table, store=copy):
            for record in message:
                copy.apply(record)


def tell(file):
    """Each item of the copy, and how often it was changed."""
    for row in Copy(file).database.execute("SELECT * FROM items"):
        print(*row)


if __name__ == "__main__":
    if len(sys.argv) == 2:
        tell(sys.argv[1])
    else:
        main(*sys.argv[1:])
