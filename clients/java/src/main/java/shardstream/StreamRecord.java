package shardstream;

import shardstream.v1.AttributeValue;
import shardstream.v1.ChangeRecord;
import shardstream.v1.ChangeType;

import java.math.BigDecimal;
import java.time.Instant;
import java.util.HashMap;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.function.Function;

/** One change of one item. */
public final class StreamRecord {
    private final String shardId;
    private final ChangeRecord raw;
    private final Function<String, ?> numbers;

    StreamRecord(String shardId, ChangeRecord raw, Function<String, ?> numbers) {
        this.shardId = shardId;
        this.raw = raw;
        this.numbers = numbers;
    }

    /**
     * The shard it was read from.
     *
     * @return its id
     */
    public String shardId() {
        return shardId;
    }

    /**
     * The message as it came. Attributes of types that came later are in it.
     *
     * @return the message
     */
    public ChangeRecord raw() {
        return raw;
    }

    /**
     * The item's primary key; {@link Values} says of which types. This and the images are made at
     * each call.
     *
     * @return names and values
     */
    public Map<String, Object> key() {
        return Values.of(raw.getKeyMap(), numbers);
    }

    /**
     * The item after the change.
     *
     * @return empty when it was removed, or the stream does not carry this image
     */
    public Optional<Map<String, Object>> newImage() {
        return image(raw.getNewImageMap());
    }

    /**
     * The item before the change.
     *
     * @return empty when it was inserted, or the stream does not carry this image
     */
    public Optional<Map<String, Object>> oldImage() {
        return image(raw.getOldImageMap());
    }

    private Optional<Map<String, Object>> image(Map<String, AttributeValue> attributes) {
        return attributes.isEmpty()
                ? Optional.empty()
                : Optional.of(Values.of(attributes, numbers));
    }

    /**
     * The kind of change.
     *
     * @return INSERT, MODIFY, REMOVE, or AWS's own word for a kind that came later
     */
    public String type() {
        shardstream.v1.Change change = raw.getMeta().getChange();
        if (!change.getName().isEmpty()) {
            return change.getName();
        }
        return switch (change.getType()) {
            case UNRECOGNIZED, CHANGE_TYPE_UNSPECIFIED -> "";
            default -> word(change.getType(), ChangeType.CHANGE_TYPE_UNSPECIFIED);
        };
    }

    /** The last words of an enum value's name: what it has beyond that of UNSPECIFIED. */
    static String word(Enum<?> value, Enum<?> unspecified) {
        return value.name().substring(unspecified.name().length() - "UNSPECIFIED".length());
    }

    /**
     * AWS's id of the change: the same whenever the record is read again.
     *
     * @return empty when AWS gave none
     */
    public String id() {
        return raw.getMeta().getChange().getId();
    }

    /**
     * The record's place in its shard.
     *
     * @return digits, to be compared as an integer
     */
    public String sequenceNumber() {
        return raw.getMeta().getSequenceNumber();
    }

    /**
     * When the change was made, to the second.
     *
     * @return empty when AWS did not say
     */
    public Optional<Instant> createdAt() {
        return Times.instant(raw.getMeta().hasCreatedAt(), raw.getMeta().getCreatedAt());
    }

    /**
     * Whether time to live deleted the item, and no writer.
     *
     * @return true if so
     */
    public boolean byTimeToLive() {
        String principal = raw.getMeta().getUserIdentity().getPrincipalId();
        return principal.equals("dynamodb.amazonaws.com");
    }

    /**
     * The attributes that differ between the images.
     *
     * @return by their names; empty unless the stream carries both images
     */
    public Optional<Map<String, Change>> changed() {
        switch (raw.getMeta().getStreamViewType()) {
            case STREAM_VIEW_TYPE_UNSPECIFIED, STREAM_VIEW_TYPE_NEW_AND_OLD_IMAGES -> {}
            default -> {
                return Optional.empty();
            }
        }
        Map<String, AttributeValue> before = raw.getOldImageMap();
        Map<String, AttributeValue> after = raw.getNewImageMap();
        Map<String, Change> changed = new HashMap<>();
        before.forEach(
                (name, value) -> {
                    if (!after.containsKey(name)) {
                        changed.put(name, new Change(shown(value), Change.ABSENT));
                    } else if (!same(value, after.get(name))) {
                        changed.put(name, new Change(shown(value), shown(after.get(name))));
                    }
                });
        after.forEach(
                (name, value) -> {
                    if (!before.containsKey(name)) {
                        changed.put(name, new Change(Change.ABSENT, shown(value)));
                    }
                });
        return Optional.of(changed);
    }

    private Object shown(AttributeValue value) {
        return Values.of(value, numbers);
    }

    /** Whether two attributes are equal for DynamoDB, to which sets have no order. */
    private static boolean same(AttributeValue one, AttributeValue other) {
        return one.equals(other)
                || one.getValueCase() == other.getValueCase()
                        && Objects.equals(
                                Values.of(one, BigDecimal::new), Values.of(other, BigDecimal::new));
    }

    @Override
    public String toString() {
        return shardId + "/" + sequenceNumber() + " " + type();
    }
}
