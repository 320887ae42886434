package shardstream;

import com.google.protobuf.ByteString;

import shardstream.v1.AttributeList;
import shardstream.v1.AttributeMap;
import shardstream.v1.AttributeValue;
import shardstream.v1.BinarySet;
import shardstream.v1.NumberSet;
import shardstream.v1.StringSet;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Attributes and Java's values: {@link String}, {@link BigDecimal}, {@link ByteString}, {@link
 * Map}, {@link List}, {@link Boolean}, null for DynamoDB's NULL, and {@link AttributeSet}.
 */
public final class Values {
    private Values() {}

    /**
     * The value of one attribute.
     *
     * @param raw the attribute
     * @return its value
     */
    public static Object of(AttributeValue raw) {
        return Wire.value(raw, BigDecimal::new);
    }

    /**
     * The values of a map of attributes.
     *
     * @param raw the attributes
     * @return their values
     */
    public static Map<String, Object> of(Map<String, AttributeValue> raw) {
        Map<String, Object> values = new HashMap<>(capacity(raw.size()));
        raw.forEach((name, value) -> values.put(name, of(value)));
        return values;
    }

    /**
     * The attributes of a map of values, the reverse of {@link #of(Map)}.
     *
     * @param values the values
     * @return their attributes
     */
    public static Map<String, AttributeValue> attributes(Map<String, ?> values) {
        Map<String, AttributeValue> attributes = new HashMap<>(capacity(values.size()));
        values.forEach((name, value) -> attributes.put(name, attribute(value)));
        return attributes;
    }

    /**
     * The attribute of a value, the reverse of {@link #of(AttributeValue)}. Takes Java's other
     * numbers, byte[] and plain sets too.
     *
     * @param value the value
     * @return its attribute
     * @throws IllegalArgumentException if DynamoDB has no type for it
     */
    public static AttributeValue attribute(Object value) {
        AttributeValue.Builder made = AttributeValue.newBuilder();
        if (value == null) {
            return made.setNullValue(true).build();
        } else if (value instanceof String text) {
            return made.setS(text).build();
        } else if (value instanceof Boolean truth) {
            return made.setBoolValue(truth).build();
        } else if (value instanceof ByteString || value instanceof byte[]) {
            return made.setB(bytes(value)).build();
        } else if (value instanceof Map<?, ?> map) {
            AttributeMap.Builder entries = AttributeMap.newBuilder();
            map.forEach((name, inner) -> entries.putEntries((String) name, attribute(inner)));
            return made.setM(entries).build();
        } else if (value instanceof Set<?> set) {
            return set(set);
        } else if (value instanceof List<?> list) {
            AttributeList.Builder values = AttributeList.newBuilder();
            list.forEach(inner -> values.addValues(attribute(inner)));
            return made.setL(values).build();
        } else if (value instanceof UnknownValue unknown) {
            return unknown.raw();
        }
        return made.setN(number(value)).build();
    }

    private static AttributeValue set(Set<?> set) {
        AttributeValue.Builder made = AttributeValue.newBuilder();
        return switch (kind(set)) {
            case STRING -> {
                StringSet.Builder values = StringSet.newBuilder();
                set.forEach(element -> values.addValues((String) element));
                yield made.setSs(values).build();
            }
            case NUMBER -> {
                NumberSet.Builder values = NumberSet.newBuilder();
                set.forEach(element -> values.addValues(number(element)));
                yield made.setNs(values).build();
            }
            case BINARY -> {
                BinarySet.Builder values = BinarySet.newBuilder();
                set.forEach(element -> values.addValues(bytes(element)));
                yield made.setBs(values).build();
            }
        };
    }

    private static AttributeSet.Kind kind(Set<?> set) {
        if (set instanceof AttributeSet<?> known) {
            return known.kind();
        } else if (set.isEmpty()) {
            throw new IllegalArgumentException("an empty set without a type: use AttributeSet");
        } else if (all(set, String.class)) {
            return AttributeSet.Kind.STRING;
        } else if (all(set, ByteString.class) || all(set, byte[].class)) {
            return AttributeSet.Kind.BINARY;
        }
        return AttributeSet.Kind.NUMBER;
    }

    /** Of a map that takes so many without growing. */
    private static int capacity(int size) {
        return size * 4 / 3 + 1;
    }

    private static boolean all(Collection<?> values, Class<?> type) {
        return values.stream().allMatch(type::isInstance);
    }

    private static ByteString bytes(Object value) {
        return value instanceof byte[] array ? ByteString.copyFrom(array) : (ByteString) value;
    }

    private static String number(Object value) {
        boolean finite =
                !(value instanceof Double || value instanceof Float)
                        || Double.isFinite(((Number) value).doubleValue());
        if (finite
                && (value instanceof NumberText
                        || value instanceof BigDecimal
                        || value instanceof BigInteger
                        || value instanceof Number)) {
            return value.toString();
        }
        throw new IllegalArgumentException(
                "DynamoDB has no type for " + value + " (" + value.getClass() + ")");
    }
}
