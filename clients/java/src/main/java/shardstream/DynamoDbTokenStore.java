package shardstream;

import software.amazon.awssdk.core.exception.SdkException;
import software.amazon.awssdk.services.dynamodb.DynamoDbClient;
import software.amazon.awssdk.services.dynamodb.model.AttributeValue;

import java.io.IOException;
import java.util.Map;

/**
 * Keeps the position in an item of a DynamoDB table. Needs {@code software.amazon.awssdk:dynamodb}
 * beside this client.
 */
public final class DynamoDbTokenStore implements TokenStore {
    private final DynamoDbClient client;
    private final String table;
    private final Map<String, AttributeValue> key;

    /**
     * A store in this item, whose attribute {@code position} it is.
     *
     * @param client the SDK's
     * @param table the table's name
     * @param key the item's primary key
     */
    public DynamoDbTokenStore(
            DynamoDbClient client, String table, Map<String, AttributeValue> key) {
        this.client = client;
        this.table = table;
        this.key = Map.copyOf(key);
    }

    @Override
    public String load() throws IOException {
        try {
            var found = client.getItem(r -> r.tableName(table).key(key).consistentRead(true));
            AttributeValue position = found.item().get("position");
            return position == null ? "" : position.s();
        } catch (SdkException failed) {
            throw new IOException("no position from " + table, failed);
        }
    }

    @Override
    public void save(String position) throws IOException {
        try {
            client.updateItem(
                    r ->
                            r.tableName(table)
                                    .key(key)
                                    .updateExpression("SET #p = :p")
                                    .expressionAttributeNames(Map.of("#p", "position"))
                                    .expressionAttributeValues(
                                            Map.of(":p", AttributeValue.fromS(position))));
        } catch (SdkException failed) {
            throw new IOException("the position was not kept in " + table, failed);
        }
    }
}
