"""What the suite takes for granted of the upstreams themselves: if one of these fails, the server is not to blame."""

import pytest

from support import values


def test_every_attribute_type_and_every_kind_of_change_was_written(written):
    kinds, changes = set(), set()

    def note(value):
        (kind, inner), = value.items()
        kinds.add(kind)
        for element in inner if kind == "L" else inner.values() if kind == "M" else ():
            note(element)

    for record in written.records:
        changes.add(record["eventName"])
        for image in ("NewImage", "OldImage"):
            for value in record["dynamodb"].get(image, {}).values():
                note(value)
    assert kinds == {"S", "N", "B", "SS", "NS", "BS", "M", "L", "NULL", "BOOL"}
    assert changes == {"INSERT", "MODIFY", "REMOVE"}


def test_every_write_made_one_record_and_nothing_was_altered_but_numbers(upstream, written):
    inserted = {}
    for record in written.records:
        if record["eventName"] == "INSERT":
            inserted[record["dynamodb"]["Keys"]["pk"]["S"]] = record["dynamodb"]["NewImage"]
    altered = {key for key, item in written.items.items() if unordered(inserted[key]) != unordered(item)}
    expected = {key for key in written.items if key.startswith("number") or key == "all of them"}
    assert altered <= (set() if upstream.numbers_as_written else expected)
    removed = len(written.items) // 2 + (list(written.items).index("large") % 2 == 0)
    assert len(written.records) == 2 * len(written.items) + removed + 30


def test_values_were_nested_to_the_last_level_and_items_as_large_as_they_may_be(upstream, written):
    images = [record["dynamodb"].get("NewImage", {}) for record in written.records]
    deepest = max(values.depth(value) for image in images for value in image.values())
    assert deepest == upstream.containers >= values.CONTAINERS
    largest = max(len(image.get("text", {}).get("S", "")) + len(image.get("bytes", {}).get("B", b"")) for image in images)
    assert largest > upstream.item_bytes - 100
    numbers = {image["value"]["N"] for image in images if "N" in image.get("value", {})}
    assert "12345678901234567890123456789012345678" in numbers


def test_an_item_of_a_byte_more_is_refused(table):
    with pytest.raises(Exception, match="size has exceeded"):
        table.put_item(values.large("too large", values.ITEM_BYTES + 1))


def unordered(attributes):
    """An item whose sets are in a fixed order: they have none of their own."""
    return {name: _unordered(value) for name, value in attributes.items()}


def _unordered(value):
    (kind, inner), = value.items()
    if kind in ("SS", "NS", "BS"):
        return {kind: sorted(inner)}
    if kind == "M":
        return {kind: unordered(inner)}
    if kind == "L":
        return {kind: [_unordered(element) for element in inner]}
    return value
