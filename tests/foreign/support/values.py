"""Items that hold every attribute type, and of each what readers tend to get wrong; in boto3's DynamoDB JSON."""

CONTAINERS = 31
"""How many lists and maps DynamoDB puts around a value: 32 levels, the innermost value being the last."""

ITEM_BYTES = 400 * 1024
"""How large DynamoDB lets an item be."""

SCRIPTS = "füße, 雪, नमस्ते, e\u0301 beside é, שלום, 🦀👩\u200d👩\u200d👧, \x00\x01\x7f, \"'\\/\n\t"

KEYS = {
    "string": {"S": "a string"},
    "string empty": {"S": ""},
    "string unicode": {"S": SCRIPTS},
    "number": {"N": "42"},
    "number zero": {"N": "0"},
    "number negative": {"N": "-17.5"},
    "number trailing zeros": {"N": "123.4500"},
    "number 38 digits": {"N": "12345678901234567890123456789012345678"},
    "number 38 digits, a fraction": {"N": "-0.12345678901234567890123456789012345678"},
    "number greatest": {"N": "9.9999999999999999999999999999999999999E+125"},
    "number least": {"N": "-9.9999999999999999999999999999999999999E+125"},
    "number smallest": {"N": "1E-130"},
    "binary": {"B": bytes(range(256))},
    "binary empty": {"B": b""},
    "strings": {"SS": ["one", "two", "", SCRIPTS]},
    "strings of one": {"SS": ["alone"]},
    "numbers": {"NS": ["-1.5", "0", "7", "12345678901234567890123456789012345678"]},
    "binaries": {"BS": [b"\x00", b"\xff\xfe", b"text"]},
    "null": {"NULL": True},
    "true": {"BOOL": True},
    "false": {"BOOL": False},
    "list empty": {"L": []},
    "list": {"L": [{"S": "one"}, {"N": "2"}, {"NULL": True}, {"L": [{"L": []}]}, {"M": {}}, {"B": b"\x00"}]},
    "map empty": {"M": {}},
    "map": {"M": {"a": {"M": {"b": {"L": [{"M": {"c": {"S": ""}}}]}}}, SCRIPTS: {"SS": ["x"]}, "n": {"NULL": True}}},
}
"""Values by the key of the item that has them, but for the deep and the large ones."""


def lists(containers):
    """Lists in lists, with a string inside."""
    value = {"S": "bottom"}
    for _ in range(containers):
        value = {"L": [value]}
    return value


def maps(containers):
    """Maps in maps, with a string inside."""
    value = {"S": "bottom"}
    for level in range(containers):
        value = {"M": {f"level {level}": value, "beside": {"N": str(level)}}}
    return value


def both(containers):
    """Lists and maps by turns, with a set inside."""
    value = {"NS": ["1", "2"]}
    for level in range(containers):
        value = {"M": {"in": value}} if level % 2 else {"L": [value, {"BOOL": False}]}
    return value


def large(key, item_bytes=ITEM_BYTES):
    """An item of so many bytes, as DynamoDB counts them."""
    rest = item_bytes - len("pk") - len(key.encode()) - len("text") - len("bytes")
    return {"pk": {"S": key}, "text": {"S": "x" * (rest // 2)}, "bytes": {"B": b"\x5a" * (rest - rest // 2)}}


def items(containers=CONTAINERS, item_bytes=ITEM_BYTES):
    """Every item, by key; no two alike."""
    found = {key: {"pk": {"S": key}, "value": value} for key, value in KEYS.items()}
    for name, nest in (("lists", lists), ("maps", maps), ("both", both)):
        key = f"{name} to the last level"
        found[key] = {"pk": {"S": key}, "value": nest(containers)}
    found["all of them"] = {"pk": {"S": "all of them"}, **{f"{name} ·": value for name, value in KEYS.items()}}
    found[SCRIPTS] = {"pk": {"S": SCRIPTS}, SCRIPTS: {"S": SCRIPTS}}
    found["large"] = large("large", item_bytes)
    return found


def depth(value):
    """How many lists and maps lie around the innermost value."""
    (kind, inner), = value.items()
    if kind == "L":
        return 1 + max((depth(element) for element in inner), default=0)
    if kind == "M":
        return 1 + max((depth(element) for element in inner.values()), default=0)
    return 0
