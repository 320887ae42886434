package shardstream;

/** What to do about a loss. */
public enum Policy {
    /** Ends the stream with an exception, whose token goes on. */
    FAIL,
    /** Tells it as an event in its place and goes on. */
    CONTINUE
}
