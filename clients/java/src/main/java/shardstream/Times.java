package shardstream;

import com.google.protobuf.Timestamp;

import java.time.Duration;
import java.time.Instant;
import java.util.Optional;

/** Java's times and protobuf's. */
final class Times {
    private Times() {}

    static Duration duration(com.google.protobuf.Duration raw) {
        return Duration.ofSeconds(raw.getSeconds(), raw.getNanos());
    }

    static com.google.protobuf.Duration raw(Duration duration) {
        return com.google.protobuf.Duration.newBuilder()
                .setSeconds(duration.getSeconds())
                .setNanos(duration.getNano())
                .build();
    }

    static Timestamp raw(Instant instant) {
        return Timestamp.newBuilder()
                .setSeconds(instant.getEpochSecond())
                .setNanos(instant.getNano())
                .build();
    }

    static Instant instant(Timestamp raw) {
        return Instant.ofEpochSecond(raw.getSeconds(), raw.getNanos());
    }

    static Optional<Instant> instant(boolean known, Timestamp raw) {
        return known ? Optional.of(instant(raw)) : Optional.empty();
    }
}
