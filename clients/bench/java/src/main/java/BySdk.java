import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.http.urlconnection.UrlConnectionHttpClient;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.dynamodb.model.ShardIteratorType;
import software.amazon.awssdk.services.dynamodb.streams.DynamoDbStreamsClient;

import java.io.IOException;
import java.net.URI;

/** Reads a table's stream by the plain loop of the AWS SDK for Java 2. */
public final class BySdk {
    private static DynamoDbStreamsClient client;

    private BySdk() {}

    public static void main(String[] arguments) throws IOException {
        Reading.measured(arguments, BySdk::read);
    }

    private static int read(Reading.Place place) {
        if (client == null) {
            var credentials =
                    StaticCredentialsProvider.create(AwsBasicCredentials.create("x", "x"));
            client =
                    DynamoDbStreamsClient.builder()
                            .endpointOverride(URI.create(place.dynamoDb()))
                            .region(Region.EU_WEST_1)
                            .credentialsProvider(credentials)
                            .httpClient(UrlConnectionHttpClient.create())
                            .build();
        }
        String arn =
                client.listStreams(r -> r.tableName(place.table())).streams().get(0).streamArn();
        int seen = 0;
        for (var shard :
                client.describeStream(r -> r.streamArn(arn)).streamDescription().shards()) {
            String iterator =
                    client.getShardIterator(
                                    r ->
                                            r.streamArn(arn)
                                                    .shardId(shard.shardId())
                                                    .shardIteratorType(
                                                            ShardIteratorType.TRIM_HORIZON))
                            .shardIterator();
            while (iterator != null && seen < place.records()) {
                String at = iterator;
                var page = client.getRecords(r -> r.shardIterator(at));
                page.records().forEach(SdkValues::take);
                seen += page.records().size();
                iterator = page.nextShardIterator();
            }
        }
        return seen;
    }
}
