package shardstream;

/**
 * A number as the text that DynamoDB sends: {@code
 * Client.builder(target).numbers(NumberText::new)}.
 *
 * @param text the digits
 */
public record NumberText(String text) {
    @Override
    public String toString() {
        return text;
    }
}
