package shardstream;

import java.time.Duration;

/** What metrics and tracing want to know. Each must be quick. */
public interface Hooks {
    /**
     * The W3C header to send with a call that this thread makes now.
     *
     * @return the header's value; empty sends none
     */
    default String traceparent() {
        return "";
    }

    /**
     * A message is about to be given to the program.
     *
     * @param message the message
     */
    default void message(Message message) {}

    /**
     * A call failed and is made again after a pause.
     *
     * @param failed why
     * @param pause how long
     */
    default void resume(ShardstreamException failed, Duration pause) {}
}
