// Follows a stream and says what was lost, in its place; what to do about it is yours.
//
//     mvn install -DskipTests -f clients/java
//     cd examples/java/client
//     mvn compile exec:java -Dexec.mainClass=Losses -Dexec.args="tell|stop TABLE TOKEN_FILE
// [HOST:PORT]"

import shardstream.Client;
import shardstream.Event;
import shardstream.FileTokenStore;
import shardstream.Message;
import shardstream.Policy;
import shardstream.ShardstreamException.RecordUnreadable;
import shardstream.ShardstreamException.RecordsTrimmed;
import shardstream.StreamRequest;
import shardstream.TokenStore;

import java.io.IOException;
import java.nio.file.Path;

public final class Losses {
    private Losses() {}

    public static void main(String[] arguments) throws IOException {
        if (arguments.length < 3) {
            System.err.println("usage: Losses tell|stop TABLE TOKEN_FILE [HOST:PORT]");
            System.exit(2);
        }
        String server = arguments.length > 3 ? arguments[3] : "localhost:50051";
        TokenStore store = new FileTokenStore(Path.of(arguments[2]));
        try (var client = Client.connect(server)) {
            StreamRequest request = client.subscribe(arguments[1]).store(store);
            if (arguments[0].equals("tell")) {
                tell(request);
            } else {
                stop(request, store);
            }
        }
    }

    /** Goes on over losses: they are events between the records. */
    private static void tell(StreamRequest request) {
        request.onGap(Policy.CONTINUE).onUnreadable(Policy.CONTINUE);
        try (var messages = request.open()) {
            for (Message message : messages) {
                message.event().ifPresent(Losses::tell);
                tell(message);
            }
        }
    }

    private static void tell(Event event) {
        if (event instanceof Event.Gap gap) {
            String lost = gap.certain() ? "lost" : "may have lost";
            String after = gap.afterSequenceNumber();
            System.out.printf(
                    "%s: %s records after %s%n",
                    gap.shardId(), lost, after.isEmpty() ? "its beginning" : after);
        } else if (event instanceof Event.Unreadable one) {
            System.out.printf(
                    "%s: record %s cannot be read: %s%n",
                    one.shardId(), one.sequenceNumber(), one.cause());
        }
    }

    /** Stops at a loss, as a client does unless told otherwise, and accepts it knowingly. */
    private static void stop(StreamRequest request, TokenStore store) throws IOException {
        while (true) {
            try (var messages = request.open()) {
                messages.forEach(message -> tell(message));
                return; // Only a stream that is named by its ARN has an end.
            } catch (RecordsTrimmed | RecordUnreadable loss) {
                System.out.println("accepted: " + loss.losses());
                store.save(loss.token()); // Without this the next loop stops at the same loss.
            }
        }
    }

    private static void tell(Message message) {
        message.forEach(
                record -> System.out.println(record.shardId() + ": " + record.sequenceNumber()));
    }
}
