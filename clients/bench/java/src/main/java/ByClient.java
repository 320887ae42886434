import shardstream.Client;
import shardstream.Message;
import shardstream.StreamRecord;
import shardstream.v1.Until;

import java.io.IOException;
import java.util.Map;

/** Reads a table's stream by the client. */
public final class ByClient {
    private static Client client;

    private ByClient() {}

    public static void main(String[] arguments) throws IOException {
        Reading.measured(arguments, ByClient::read);
    }

    private static int read(Reading.Place place) {
        if (client == null) {
            client = Client.connect(place.server());
        }
        int seen = 0;
        Until until = Until.newBuilder().setRecordCount(place.records()).build();
        try (var messages = client.subscribe(place.table()).until(until).open()) {
            for (Message message : messages) {
                for (StreamRecord record : message) {
                    Reading.sink =
                            new Reading.Change(
                                    record.id(),
                                    record.type(),
                                    record.sequenceNumber(),
                                    record.key(),
                                    record.oldImage().orElse(Map.of()),
                                    record.newImage().orElse(Map.of()));
                    seen++;
                }
            }
        }
        return seen;
    }
}
