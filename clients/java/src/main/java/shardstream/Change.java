package shardstream;

/**
 * An attribute that differs between the images.
 *
 * @param before its old value, or {@link #ABSENT}
 * @param after its new value, or {@link #ABSENT}
 */
public record Change(Object before, Object after) {
    /**
     * Stands for the value of an attribute that an image does not have. (A null is DynamoDB's
     * NULL.)
     */
    public static final Object ABSENT =
            new Object() {
                @Override
                public String toString() {
                    return "ABSENT";
                }
            };
}
