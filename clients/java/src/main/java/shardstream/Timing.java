package shardstream;

import java.time.Duration;

/**
 * How long a client waits. {@code Timing.USUAL.withPatience(Duration.ofHours(1))}
 *
 * @param firstPause pauses between attempts double from this (200 ms); half of each is drawn by lot
 * @param longestPause and up to this (10 s)
 * @param patience give up when attempts have failed for so long (10 min), with no sign in between
 *     that the server is well
 * @param lasting after a stream has lived so long (10 s) the next pause is the first again
 * @param leastHeartbeat the shortest heartbeat interval that the server grants (1 s)
 */
public record Timing(
        Duration firstPause,
        Duration longestPause,
        Duration patience,
        Duration lasting,
        Duration leastHeartbeat) {
    /** What holds unless told otherwise. */
    public static final Timing USUAL =
            new Timing(
                    Duration.ofMillis(200),
                    Duration.ofSeconds(10),
                    Duration.ofMinutes(10),
                    Duration.ofSeconds(10),
                    Duration.ofSeconds(1));

    /**
     * The same with other pauses.
     *
     * @param first the first
     * @param longest the longest
     * @return the changed timing
     */
    public Timing withPauses(Duration first, Duration longest) {
        return new Timing(first, longest, patience, lasting, leastHeartbeat);
    }

    /**
     * The same with another patience.
     *
     * @param patience how long
     * @return the changed timing
     */
    public Timing withPatience(Duration patience) {
        return new Timing(firstPause, longestPause, patience, lasting, leastHeartbeat);
    }
}
