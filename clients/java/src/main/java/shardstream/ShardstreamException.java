package shardstream;

import static java.util.Map.entry;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;

import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.protobuf.StatusProto;

import shardstream.v1.End;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;

/**
 * A call that failed. The subclasses follow the server's reason; of a reason that this release does
 * not know, the status code. Any other failure is of this class itself.
 */
public class ShardstreamException extends RuntimeException {
    private static final long serialVersionUID = 1;

    private static final Map<String, Function<Failure, ShardstreamException>> BY_REASON =
            Map.of(
                    "LEASE_NOT_FOUND", LeaseNotFound::new,
                    "NOT_POSITIONED", NotPositioned::new,
                    "TOKEN_MALFORMED", InvalidToken::new,
                    "TOKEN_WRONG_KIND", InvalidToken::new,
                    "TOKEN_MISMATCH", InvalidToken::new,
                    "TOKEN_VERSION", InvalidToken::new);
    private static final Map<Status.Code, Function<Failure, ShardstreamException>> BY_CODE =
            Map.ofEntries(
                    entry(Status.Code.INVALID_ARGUMENT, InvalidRequest::new),
                    entry(Status.Code.NOT_FOUND, NotFound::new),
                    entry(Status.Code.OUT_OF_RANGE, RecordsTrimmed::new),
                    entry(Status.Code.DATA_LOSS, RecordUnreadable::new),
                    entry(Status.Code.FAILED_PRECONDITION, AccessDenied::new),
                    entry(Status.Code.PERMISSION_DENIED, AccessDenied::new),
                    entry(Status.Code.UNAUTHENTICATED, Unauthenticated::new),
                    entry(Status.Code.ABORTED, Superseded::new),
                    entry(Status.Code.RESOURCE_EXHAUSTED, LimitReached::new),
                    entry(Status.Code.UNAVAILABLE, Unavailable::new),
                    entry(Status.Code.DEADLINE_EXCEEDED, DeadlineExceeded::new));

    private final transient Failure failure;
    private transient List<Event> losses = List.of();
    private transient String token;

    private ShardstreamException(Failure failure) {
        super(failure.text(), failure.status().getCause());
        this.failure = failure;
        this.token = failure.metadata().getOrDefault("token", "");
    }

    /** What is known of a failed call. */
    private record Failure(
            Status status,
            String reason,
            Map<String, String> metadata,
            Optional<Duration> delay,
            boolean silent) {
        String text() {
            String name = reason.isEmpty() ? status.getCode().name() : reason;
            return status.getDescription() == null ? name : name + ": " + status.getDescription();
        }
    }

    /**
     * The exception of a failed call.
     *
     * @param end the last message of its stream, or null
     */
    static ShardstreamException of(Status status, Metadata trailers, End end) {
        String reason = "";
        Map<String, String> metadata = Map.of();
        Optional<Duration> delay = Optional.empty();
        com.google.rpc.Status said = StatusProto.fromStatusAndTrailers(status, trailers);
        for (Any detail : said.getDetailsList()) {
            // Other details are for people: their text is in the message already.
            try {
                if (detail.is(ErrorInfo.class)) {
                    ErrorInfo info = detail.unpack(ErrorInfo.class);
                    reason = info.getReason();
                    metadata = info.getMetadataMap();
                } else if (detail.is(RetryInfo.class)) {
                    delay =
                            Optional.of(
                                    Times.duration(detail.unpack(RetryInfo.class).getRetryDelay()));
                }
            } catch (InvalidProtocolBufferException broken) {
                // Then the code says what there is to say.
                continue;
            }
        }
        if (end != null && end.hasRetryDelay()) {
            delay = Optional.of(Times.duration(end.getRetryDelay()));
        }
        return of(new Failure(status, reason, metadata, delay, false));
    }

    /** The exception of a connection that gave nothing for so long. */
    static ShardstreamException silence(Duration patience) {
        String text = "nothing came for " + patience + ", not even a heartbeat";
        Status status = Status.UNAVAILABLE.withDescription(text);
        return of(new Failure(status, "", Map.of(), Optional.empty(), true));
    }

    private static ShardstreamException of(Failure failure) {
        var byCode = BY_CODE.getOrDefault(failure.status().getCode(), ShardstreamException::new);
        return BY_REASON.getOrDefault(failure.reason(), byCode).apply(failure);
    }

    /** Says where to go on, and what was lost. */
    ShardstreamException at(String token, List<Event> losses) {
        this.token = token;
        this.losses = List.copyOf(losses);
        return this;
    }

    /**
     * Whether the same call may succeed later. Never of ABORTED: two programs that repeat push each
     * other out.
     */
    boolean mayPass() {
        return switch (code()) {
            case UNAVAILABLE -> true;
            // Without a delay it is not a limit of the server but a message that this client does
            // not take.
            case RESOURCE_EXHAUSTED -> failure.delay().isPresent();
            // The connection, or a server that found this client too slow.
            case CANCELLED -> reason().isEmpty();
            case DEADLINE_EXCEEDED -> reason().equals("REQUEST_TIMEOUT");
            default -> false;
        };
    }

    /** Whether the connection fell silent. */
    boolean isSilence() {
        return failure.silent();
    }

    /**
     * gRPC's code.
     *
     * @return the code
     */
    public Status.Code code() {
        return failure.status().getCode();
    }

    /**
     * The server's reason; docs/errors.md explains each.
     *
     * @return the reason, empty when the server gave none
     */
    public String reason() {
        return failure.reason();
    }

    /**
     * What the server said beside the reason.
     *
     * @return names and values
     */
    public Map<String, String> metadata() {
        return failure.metadata();
    }

    /**
     * How long the server asks to wait.
     *
     * @return zero when it did not say
     */
    public Duration retryDelay() {
        return failure.delay().orElse(Duration.ZERO);
    }

    /**
     * Where to go on: give it to {@link Start#from}.
     *
     * @return a position, empty when there is none
     */
    public String token() {
        return token;
    }

    /**
     * The {@link Event.Gap}s and {@link Event.Unreadable}s that were the cause.
     *
     * @return the losses, in their order
     */
    public List<Event> losses() {
        return losses;
    }

    /** The request is wrong and stays wrong. */
    public static class InvalidRequest extends ShardstreamException {
        private static final long serialVersionUID = 1;

        private InvalidRequest(Failure failure) {
            super(failure);
        }
    }

    /** The token is damaged, or of another stream, shard or newer server. */
    public static final class InvalidToken extends InvalidRequest {
        private static final long serialVersionUID = 1;

        private InvalidToken(Failure failure) {
            super(failure);
        }
    }

    /** There is no such stream or shard. */
    public static class NotFound extends ShardstreamException {
        private static final long serialVersionUID = 1;

        private NotFound(Failure failure) {
            super(failure);
        }
    }

    /** The session is gone; open the shard again from the newest token. */
    public static final class LeaseNotFound extends NotFound {
        private static final long serialVersionUID = 1;

        private LeaseNotFound(Failure failure) {
            super(failure);
        }
    }

    /** Records are gone. Starting from {@link #token} accepts the loss. */
    public static final class RecordsTrimmed extends ShardstreamException {
        private static final long serialVersionUID = 1;

        private RecordsTrimmed(Failure failure) {
            super(failure);
        }
    }

    /** A record cannot be read. Starting from {@link #token} passes it. */
    public static final class RecordUnreadable extends ShardstreamException {
        private static final long serialVersionUID = 1;

        private RecordUnreadable(Failure failure) {
            super(failure);
        }
    }

    /** The session has no position yet; jump or seek first. */
    public static final class NotPositioned extends ShardstreamException {
        private static final long serialVersionUID = 1;

        private NotPositioned(Failure failure) {
            super(failure);
        }
    }

    /** AWS does not let the server read this, or the server does not let this client. */
    public static final class AccessDenied extends ShardstreamException {
        private static final long serialVersionUID = 1;

        private AccessDenied(Failure failure) {
            super(failure);
        }
    }

    /** The credentials were refused, and so were those that were fetched anew. */
    public static final class Unauthenticated extends ShardstreamException {
        private static final long serialVersionUID = 1;

        private Unauthenticated(Failure failure) {
            super(failure);
        }
    }

    /**
     * A newer call on the session took this one's place, or it was closed. Do not repeat the call.
     */
    public static final class Superseded extends ShardstreamException {
        private static final long serialVersionUID = 1;

        private Superseded(Failure failure) {
            super(failure);
        }
    }

    /** A limit of the server is reached; "limit" of the {@link #metadata} names it. */
    public static final class LimitReached extends ShardstreamException {
        private static final long serialVersionUID = 1;

        private LimitReached(Failure failure) {
            super(failure);
        }
    }

    /**
     * The server, or DynamoDB behind it, could not be reached while the client's patience lasted.
     */
    public static final class Unavailable extends ShardstreamException {
        private static final long serialVersionUID = 1;

        private Unavailable(Failure failure) {
            super(failure);
        }
    }

    /** The call took longer than its time. */
    public static final class DeadlineExceeded extends ShardstreamException {
        private static final long serialVersionUID = 1;

        private DeadlineExceeded(Failure failure) {
            super(failure);
        }
    }
}
