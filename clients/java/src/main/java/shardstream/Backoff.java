package shardstream;

import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.ThreadLocalRandom;

/** When to come again. */
final class Backoff {
    private final Timing timing;
    private final Duration patience;
    private Duration next;
    private long opened = System.nanoTime();

    /** Null while all is well. */
    private Long failingSince;

    Backoff(Timing timing, Duration patience) {
        this.timing = timing;
        this.patience = patience.compareTo(timing.patience()) < 0 ? patience : timing.patience();
        this.next = timing.firstPause();
    }

    /** A connection is tried. */
    void open() {
        opened = System.nanoTime();
    }

    /**
     * A message came.
     *
     * @param served whether it shows that the server is well
     */
    void heard(boolean served) {
        if (served) {
            failingSince = null;
        }
        if (served || System.nanoTime() - opened > timing.lasting().toNanos()) {
            next = timing.firstPause();
        }
    }

    /**
     * How long to wait before the next attempt; empty if there must be none, or have been too many.
     */
    Optional<Duration> pause(ShardstreamException failed) {
        long now = System.nanoTime();
        if (failingSince == null) {
            failingSince = now;
        }
        Duration failing = Duration.ofNanos(now - failingSince).plus(failed.retryDelay());
        if (!failed.mayPass() || failing.compareTo(patience) > 0) {
            return Optional.empty();
        }
        double share = 0.5 + ThreadLocalRandom.current().nextDouble() / 2;
        Duration pause = Duration.ofNanos((long) (next.toNanos() * share));
        Duration twice = next.multipliedBy(2);
        next = twice.compareTo(timing.longestPause()) < 0 ? twice : timing.longestPause();
        return Optional.of(pause.compareTo(failed.retryDelay()) > 0 ? pause : failed.retryDelay());
    }
}
