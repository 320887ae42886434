// Follows a whole stream, and goes on where it stopped, whatever stopped it.
//
//     cd examples/java
//     mvn compile exec:java -Dexec.args="TABLE TOKEN_FILE [HOST:PORT]"

import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Status.Code;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.Iterator;
import java.util.List;
import shardstream.v1.AttributeValue;
import shardstream.v1.ChangeRecord;
import shardstream.v1.Gap;
import shardstream.v1.IteratorType;
import shardstream.v1.Position;
import shardstream.v1.StreamServiceGrpc;
import shardstream.v1.StreamServiceGrpc.StreamServiceBlockingStub;
import shardstream.v1.SubscribeRequest;
import shardstream.v1.SubscribeResponse;

public class Follow {
    // UNAVAILABLE: the server went away. OUT_OF_RANGE: a gap was told; the token stands behind it, and going on
    // accepts the loss.
    private static final List<Code> COME_AGAIN = List.of(Code.UNAVAILABLE, Code.OUT_OF_RANGE);

    /** How long to wait before coming again when the server does not say. */
    private static final Duration PAUSE = Duration.ofSeconds(1);

    private final StreamServiceBlockingStub stub;
    private final String table;
    private final Path file;

    /** How long the server asks to wait before coming again, if it does. */
    private Duration delay;

    private Follow(ManagedChannel channel, String table, Path file) {
        this.stub = StreamServiceGrpc.newBlockingStub(channel);
        this.table = table;
        this.file = file;
    }

    public static void main(String[] arguments) throws Exception {
        if (arguments.length < 2) {
            System.err.println("usage: Follow TABLE TOKEN_FILE [HOST:PORT]");
            System.exit(2);
        }
        String server = arguments.length > 2 ? arguments[2] : "localhost:50051";
        ManagedChannel channel = Grpc.newChannelBuilder(server, InsecureChannelCredentials.create()).build();
        try {
            new Follow(channel, arguments[0], Path.of(arguments[1])).run();
        } finally {
            channel.shutdownNow();
        }
    }

    /** Prints the records of a table's streams; the file keeps the token. */
    private void run() throws IOException, InterruptedException {
        while (true) {
            delay = null;
            try {
                subscribe();
                return; // Only `until`, or a stream named by its ARN, has an end.
            } catch (StatusRuntimeException error) {
                if (delay == null && !COME_AGAIN.contains(error.getStatus().getCode())) {
                    throw error;
                }
                Thread.sleep((delay == null ? PAUSE : delay).toMillis());
            }
        }
    }

    /** One response stream, to its end. */
    private void subscribe() throws IOException {
        SubscribeRequest.Builder request = SubscribeRequest.newBuilder().setStream(table);
        if (Files.exists(file)) {
            request.setToken(Files.readString(file));
        } else {
            request.setPosition(Position.newBuilder().setIteratorType(IteratorType.ITERATOR_TYPE_TRIM_HORIZON));
        }
        Iterator<SubscribeResponse> messages = stub.subscribe(request.build());
        while (messages.hasNext()) {
            SubscribeResponse message = messages.next();
            tell(message);
            if (message.getEnd().hasRetryDelay()) {
                com.google.protobuf.Duration asked = message.getEnd().getRetryDelay();
                delay = Duration.ofSeconds(asked.getSeconds(), asked.getNanos());
            }
            // Not on every message. It covers all that came up to here, and nothing else.
            if (!message.getToken().isEmpty()) {
                keep(message.getToken());
            }
        }
    }

    /** What to do with records, and with what was lost. Other events need nothing done. */
    private static void tell(SubscribeResponse message) {
        for (ChangeRecord record : message.getRecordsList()) {
            StringBuilder line = new StringBuilder(message.getShardId());
            line.append(' ').append(record.getMeta().getSequenceNumber());
            record.getKeyMap().forEach((name, value) -> line.append(' ').append(name).append('=').append(text(value)));
            System.out.println(line);
        }
        if (message.hasGap()) {
            Gap gap = message.getGap();
            String lost = gap.getCertain() ? "lost" : "may have lost";
            String after = gap.getAfterSequenceNumber().isEmpty() ? "its beginning" : gap.getAfterSequenceNumber();
            System.err.println(gap.getShardId() + " " + lost + " records after " + after);
        }
    }

    private static String text(AttributeValue value) {
        return value.hasS() ? value.getS() : value.getN();
    }

    /** Replaces the file at once, so that it is whole whenever this program is killed. */
    private void keep(String token) throws IOException {
        Path draft = file.resolveSibling(file.getFileName() + ".new");
        Files.writeString(draft, token);
        Files.move(draft, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    }
}
