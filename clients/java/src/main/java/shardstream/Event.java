package shardstream;

import shardstream.v1.GapCause;
import shardstream.v1.Shard;

import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Optional;

/** What happens in a stream beside records. */
public sealed interface Event {
    /**
     * Records are gone, or may be.
     *
     * @param shardId of this shard
     * @param cause TRIMMED, SHARD_EXPIRED, STREAM_REPLACED, or UNKNOWN for one that came later
     * @param certain false when it cannot be known whether there were records
     * @param afterSequenceNumber the last record before them; empty when they begin the shard
     * @param beforeSequenceNumber the first record behind them; empty when it is not known
     * @param afterTime when the last record before them was made
     * @param detectedTime when the server noticed
     */
    record Gap(
            String shardId,
            String cause,
            boolean certain,
            String afterSequenceNumber,
            String beforeSequenceNumber,
            Optional<Instant> afterTime,
            Optional<Instant> detectedTime)
            implements Event {
        static Gap of(shardstream.v1.Gap raw) {
            String cause =
                    switch (raw.getCause()) {
                        case UNRECOGNIZED, GAP_CAUSE_UNSPECIFIED -> "UNKNOWN";
                        default ->
                                StreamRecord.word(raw.getCause(), GapCause.GAP_CAUSE_UNSPECIFIED);
                    };
            return new Gap(
                    raw.getShardId(),
                    cause,
                    raw.getCertain(),
                    raw.getAfterSequenceNumber(),
                    raw.getBeforeSequenceNumber(),
                    Times.instant(raw.hasAfterTime(), raw.getAfterTime()),
                    Times.instant(raw.hasDetectedTime(), raw.getDetectedTime()));
        }
    }

    /**
     * One record cannot be read.
     *
     * @param shardId of this shard
     * @param sequenceNumber its number
     * @param afterSequenceNumber that of the record before it
     * @param cause for people
     */
    record Unreadable(
            String shardId, String sequenceNumber, String afterSequenceNumber, String cause)
            implements Event {
        static Unreadable of(shardstream.v1.Unreadable raw) {
            return new Unreadable(
                    raw.getShardId(),
                    raw.getSequenceNumber(),
                    raw.getAfterSequenceNumber(),
                    raw.getCause());
        }
    }

    /**
     * A shard's records begin.
     *
     * @param shard which
     */
    record ShardOpen(Shard shard) implements Event {}

    /**
     * A shard was read to its end.
     *
     * @param shardId which
     * @param children what follows it
     * @param complete whether there can be no more children
     */
    record ShardEnd(String shardId, List<Shard> children, boolean complete) implements Event {}

    /**
     * A stream was read to its end.
     *
     * @param streamArn which
     * @param nextStreamArn the table's next one, which is read from here on; empty when there is
     *     none
     */
    record StreamEnd(String streamArn, String nextStreamArn) implements Event {}

    /**
     * The server lives, and there was nothing else to say. Given only when asked for.
     *
     * @param atTip whether everything was read
     * @param lag how old the newest record is that was read
     * @param upstreamError what DynamoDB answers at present; empty when it is well
     */
    record Heartbeat(boolean atTip, Optional<Duration> lag, String upstreamError) implements Event {
        static Heartbeat of(shardstream.v1.Heartbeat raw) {
            Optional<Duration> lag =
                    raw.hasLag() ? Optional.of(Times.duration(raw.getLag())) : Optional.empty();
            return new Heartbeat(raw.getAtTip(), lag, raw.getUpstreamError());
        }
    }
}
