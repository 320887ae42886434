package shardstream;

import java.util.List;

/**
 * The answer of one read: records, or exhausted, never both.
 *
 * @param records the records
 * @param token where to read on
 * @param exhausted the shard is closed and was read to its end
 * @param atTip there was no newer record
 * @param unreadable records that were passed, if the read asked for that
 */
public record Batch(
        List<StreamRecord> records,
        String token,
        boolean exhausted,
        boolean atTip,
        List<Event.Unreadable> unreadable) {}
