package shardstream;

import com.google.protobuf.InvalidProtocolBufferException;

import shardstream.v1.ChangeRecord;
import shardstream.v1.ChangeType;
import shardstream.v1.Meta;

import java.io.UncheckedIOException;
import java.math.BigDecimal;
import java.time.Instant;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;

/** One change of one item. */
public final class StreamRecord {
    private static final int NEW = ChangeRecord.NEW_IMAGE_FIELD_NUMBER;
    private static final int OLD = ChangeRecord.OLD_IMAGE_FIELD_NUMBER;

    private final String shardId;
    private final byte[] bytes;
    private final Meta meta;
    private final Function<String, ?> numbers;

    StreamRecord(String shardId, byte[] bytes, Function<String, ?> numbers) {
        this.shardId = shardId;
        this.bytes = bytes;
        this.meta = Wire.meta(bytes);
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
     * The message as it came, made at each call. Attributes of types that came later are in it.
     *
     * @return the message
     */
    public ChangeRecord raw() {
        try {
            return ChangeRecord.parseFrom(bytes);
        } catch (InvalidProtocolBufferException broken) {
            throw new UncheckedIOException("a malformed record", broken);
        }
    }

    /**
     * The item's primary key; {@link Values} says of which types. This and the images are made at
     * each call.
     *
     * @return names and values
     */
    public Map<String, Object> key() {
        return Wire.map(bytes, ChangeRecord.KEY_FIELD_NUMBER, numbers);
    }

    /**
     * The item after the change.
     *
     * @return empty when it was removed, or the stream does not carry this image
     */
    public Optional<Map<String, Object>> newImage() {
        return image(NEW);
    }

    /**
     * The item before the change.
     *
     * @return empty when it was inserted, or the stream does not carry this image
     */
    public Optional<Map<String, Object>> oldImage() {
        return image(OLD);
    }

    private Optional<Map<String, Object>> image(int field) {
        Map<String, Object> values = Wire.map(bytes, field, numbers);
        return values.isEmpty() ? Optional.empty() : Optional.of(values);
    }

    /**
     * The kind of change.
     *
     * @return INSERT, MODIFY, REMOVE, or AWS's own word for a kind that came later
     */
    public String type() {
        shardstream.v1.Change change = meta.getChange();
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
        return meta.getChange().getId();
    }

    /**
     * The record's place in its shard.
     *
     * @return digits, to be compared as an integer
     */
    public String sequenceNumber() {
        return meta.getSequenceNumber();
    }

    /**
     * When the change was made, to the second.
     *
     * @return empty when AWS did not say
     */
    public Optional<Instant> createdAt() {
        return Times.instant(meta.hasCreatedAt(), meta.getCreatedAt());
    }

    /**
     * Whether time to live deleted the item, and no writer.
     *
     * @return true if so
     */
    public boolean byTimeToLive() {
        String principal = meta.getUserIdentity().getPrincipalId();
        return principal.equals("dynamodb.amazonaws.com");
    }

    /**
     * The attributes that differ between the images.
     *
     * @return by their names; empty unless the stream carries both images
     */
    public Optional<Map<String, Change>> changed() {
        switch (meta.getStreamViewType()) {
            case STREAM_VIEW_TYPE_UNSPECIFIED, STREAM_VIEW_TYPE_NEW_AND_OLD_IMAGES -> {}
            default -> {
                return Optional.empty();
            }
        }
        Map<String, Object> before = Wire.map(bytes, OLD, BigDecimal::new);
        Map<String, Object> after = Wire.map(bytes, NEW, BigDecimal::new);
        Map<String, Object> shownBefore = Wire.map(bytes, OLD, numbers);
        Map<String, Object> shownAfter = Wire.map(bytes, NEW, numbers);
        Map<String, Change> changed = new HashMap<>();
        Set<String> names = new HashSet<>(before.keySet());
        names.addAll(after.keySet());
        for (String name : names) {
            // Null is DynamoDB's NULL.
            boolean inBoth = before.containsKey(name) && after.containsKey(name);
            if (!inBoth || !Objects.equals(before.get(name), after.get(name))) {
                Object old = shownBefore.getOrDefault(name, Change.ABSENT);
                changed.put(name, new Change(old, shownAfter.getOrDefault(name, Change.ABSENT)));
            }
        }
        return Optional.of(changed);
    }

    @Override
    public String toString() {
        return shardId + "/" + sequenceNumber() + " " + type();
    }
}
