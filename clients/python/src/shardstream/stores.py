"""Where a subscription keeps how far it has come.

What is kept is one text: the stream's newest token, then newer tokens of its shards, separated by blanks.
Clients in all languages write the same, so a program in one goes on where one in another stopped.
"""

from __future__ import annotations

import os
import pathlib
from typing import Any, Protocol


class TokenStore(Protocol):
    """Keeps a position. In the asyncio client both methods may be coroutines as well."""

    def load(self) -> Any:
        """The position that was kept last; empty when there is none."""

    def save(self, position: str) -> Any:
        """Keeps the position. Called after your code returned for what it covers, never before."""


class MemoryTokenStore:
    """Keeps the position as long as the program runs."""

    def __init__(self, position: str = "") -> None:
        self.position = position

    def load(self) -> str:
        """The position."""
        return self.position

    def save(self, position: str) -> None:
        """Keeps the position."""
        self.position = position


class FileTokenStore:
    """Keeps the position in a file, which is replaced whole: killing the program never leaves half a token.

    With `fsync` it also survives a loss of power, at the price of a disk write for each batch.
    """

    def __init__(self, path: str | os.PathLike[str], fsync: bool = False) -> None:
        self.path = pathlib.Path(path)
        self.fsync = fsync

    def load(self) -> str:
        """The position in the file; empty when there is no file."""
        return self.path.read_text().strip() if self.path.exists() else ""

    def save(self, position: str) -> None:
        """Replaces the file."""
        draft = self.path.with_name(f"{self.path.name}.{os.getpid()}.new")
        with open(draft, "w") as file:
            file.write(position)
            if self.fsync:
                file.flush()
                os.fsync(file.fileno())
        os.replace(draft, self.path)


class DynamoDbTokenStore:
    """Keeps the position in an item of a DynamoDB table; `table` is boto3's `Table`, `key` the item's key."""

    def __init__(self, table: Any, key: dict[str, Any], attribute: str = "position") -> None:
        self.table, self.key, self.attribute = table, key, attribute

    def load(self) -> str:
        """The position in the item; empty when there is no item."""
        item = self.table.get_item(Key=self.key, ConsistentRead=True).get("Item", {})
        return str(item.get(self.attribute, ""))

    def save(self, position: str) -> None:
        """Replaces the attribute."""
        self.table.update_item(
            Key=self.key,
            UpdateExpression="SET #p = :p",
            ExpressionAttributeNames={"#p": self.attribute},
            ExpressionAttributeValues={":p": position},
        )
