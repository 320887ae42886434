package shardstream;

import shardstream.v1.IteratorType;
import shardstream.v1.Position;
import shardstream.v1.ShardName;
import shardstream.v1.ShardStart;

import java.time.Instant;

/** Where to start. */
public final class Start {
    /** The oldest record that is kept. */
    public static final Start TRIM_HORIZON = new Start(IteratorType.ITERATOR_TYPE_TRIM_HORIZON);

    /** What is written from now on. */
    public static final Start LATEST = new Start(IteratorType.ITERATOR_TYPE_LATEST);

    /** Null when a kept position says it. */
    final Position position;

    final String kept;

    private Start(Position position, String kept) {
        this.position = position;
        this.kept = kept;
    }

    private Start(IteratorType type) {
        this(Position.newBuilder().setIteratorType(type).build(), "");
    }

    private static Start number(IteratorType type, String number) {
        Position.Builder position = Position.newBuilder().setIteratorType(type);
        return new Start(position.setSequenceNumber(number).build(), "");
    }

    /**
     * Goes on from a position that was kept: {@link Message#position}, {@link Batch#token}, {@link
     * ShardstreamException#token}.
     *
     * @param position the text; an empty one is {@link #TRIM_HORIZON}
     * @return the start
     */
    public static Start from(String position) {
        return position.isBlank() ? TRIM_HORIZON : new Start(null, position);
    }

    /**
     * The first record made at or after a time.
     *
     * @param time the time
     * @return the start
     */
    public static Start at(Instant time) {
        Position.Builder position =
                Position.newBuilder().setIteratorType(IteratorType.ITERATOR_TYPE_AT_TIMESTAMP);
        return new Start(position.setTime(Times.raw(time)).build(), "");
    }

    /**
     * The first record of a shard that has this number or a greater one.
     *
     * @param number the sequence number
     * @return the start
     */
    public static Start atSequenceNumber(String number) {
        return number(IteratorType.ITERATOR_TYPE_AT_SEQUENCE_NUMBER, number);
    }

    /**
     * The first record of a shard that has a greater number.
     *
     * @param number the sequence number
     * @return the start
     */
    public static Start afterSequenceNumber(String number) {
        return number(IteratorType.ITERATOR_TYPE_AFTER_SEQUENCE_NUMBER, number);
    }

    /** The token of a kept position, empty when this is another start. */
    String token() {
        return new Progress(kept).token();
    }

    /** As requests about one shard have it, whose name may be empty where the token says it. */
    ShardStart ofShard(ShardName shard, String token) {
        ShardStart.Builder start = ShardStart.newBuilder();
        if (!shard.getShardId().isEmpty()) {
            start.setShard(shard);
        }
        return (token.isEmpty() ? start.setPosition(position) : start.setToken(token)).build();
    }
}
