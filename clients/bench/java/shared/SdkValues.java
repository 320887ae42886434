import software.amazon.awssdk.services.dynamodb.model.AttributeValue;
import software.amazon.awssdk.services.dynamodb.model.Record;

import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** What the SDK read, in Java's own types. */
final class SdkValues {
    private SdkValues() {}

    /** Every field in Java's own types. */
    static void take(Record record) {
        Reading.sink =
                new Reading.Change(
                        record.eventID(),
                        record.eventNameAsString(),
                        record.dynamodb().sequenceNumber(),
                        image(record.dynamodb().keys()),
                        image(record.dynamodb().oldImage()),
                        image(record.dynamodb().newImage()));
    }

    private static Map<String, Object> image(Map<String, AttributeValue> raw) {
        Map<String, Object> image = new HashMap<>(raw.size() * 4 / 3 + 1);
        raw.forEach((name, value) -> image.put(name, value(value)));
        return image;
    }

    private static Object value(AttributeValue raw) {
        return switch (raw.type()) {
            case S -> raw.s();
            case N -> new BigDecimal(raw.n());
            case B -> raw.b().asByteArrayUnsafe();
            case BOOL -> raw.bool();
            case SS -> new HashSet<>(raw.ss());
            case NS -> {
                Set<Object> set = new HashSet<>();
                raw.ns().forEach(number -> set.add(new BigDecimal(number)));
                yield set;
            }
            case BS -> new HashSet<>(raw.bs());
            case M -> image(raw.m());
            case L -> {
                List<Object> list = new ArrayList<>(raw.l().size());
                raw.l().forEach(inner -> list.add(value(inner)));
                yield list;
            }
            case NUL, UNKNOWN_TO_SDK_VERSION -> null;
        };
    }
}
