package shardstream;

import com.google.protobuf.ByteString;
import com.google.protobuf.CodedInputStream;
import com.google.protobuf.WireFormat;

import io.grpc.MethodDescriptor;
import io.grpc.Status;

import shardstream.v1.AttributeValue;
import shardstream.v1.ChangeRecord;
import shardstream.v1.Meta;
import shardstream.v1.SubscribeResponse;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/**
 * Reads records from their bytes straight into Java's values: they are most of what comes, and by
 * way of the generated messages each costs more than twice as much (clients/bench). The other
 * fields of an answer go to its message.
 */
final class Wire {
    private static final int RECORDS = tag(SubscribeResponse.RECORDS_FIELD_NUMBER);
    private static final int META = tag(ChangeRecord.META_FIELD_NUMBER);

    private Wire() {}

    /** A field that is a message, text or bytes. */
    private static int tag(int field) {
        return field << 3 | WireFormat.WIRETYPE_LENGTH_DELIMITED;
    }

    /** A message whose records are apart. */
    record Arrived(SubscribeResponse rest, List<byte[]> records) {}

    /** Splits messages. */
    static final MethodDescriptor.Marshaller<Arrived> SPLITTING =
            new MethodDescriptor.Marshaller<>() {
                @Override
                public InputStream stream(Arrived value) {
                    throw new UnsupportedOperationException("a client sends no records");
                }

                @Override
                public Arrived parse(InputStream stream) {
                    try {
                        return split(stream);
                    } catch (IOException broken) {
                        throw Status.INTERNAL
                                .withDescription("a malformed message")
                                .withCause(broken)
                                .asRuntimeException();
                    }
                }
            };

    private static Arrived split(InputStream stream) throws IOException {
        byte[] bytes = new byte[stream.available()]; // All of it: gRPC's streams know their length.
        stream.readNBytes(bytes, 0, bytes.length);
        CodedInputStream input = CodedInputStream.newInstance(bytes);
        List<byte[]> records = new ArrayList<>();
        var rest = new ByteArrayOutputStream(256);
        while (!input.isAtEnd()) {
            int begin = input.getTotalBytesRead();
            int tag = input.readTag();
            if (tag == RECORDS) {
                records.add(input.readByteArray());
            } else {
                input.skipField(tag);
                rest.write(bytes, begin, input.getTotalBytesRead() - begin);
            }
        }
        return new Arrived(SubscribeResponse.parseFrom(rest.toByteArray()), records);
    }

    /** What belongs to a record beside its images. */
    static Meta meta(byte[] record) {
        CodedInputStream input = CodedInputStream.newInstance(record);
        Meta meta = Meta.getDefaultInstance();
        try {
            for (int tag = input.readTag(); tag != 0; tag = input.readTag()) {
                if (tag == META) {
                    meta = Meta.parseFrom(input.readByteArray());
                } else {
                    input.skipField(tag);
                }
            }
        } catch (IOException broken) {
            throw new UncheckedIOException("a malformed record", broken);
        }
        return meta;
    }

    /** The values of one of a record's maps of attributes. */
    static Map<String, Object> map(byte[] record, int field, Function<String, ?> numbers) {
        return new Reader(record, numbers).map(field);
    }

    /** The value of an attribute. */
    static Object value(AttributeValue raw, Function<String, ?> numbers) {
        return new Reader(raw.toByteArray(), numbers).value();
    }

    /** Reads the bytes of one record, or of one attribute. */
    private static final class Reader {
        private final byte[] bytes;
        private final CodedInputStream input;
        private final Function<String, ?> numbers;

        Reader(byte[] bytes, Function<String, ?> numbers) {
            this.bytes = bytes;
            this.input = CodedInputStream.newInstance(bytes);
            this.numbers = numbers;
        }

        Map<String, Object> map(int field) {
            try {
                return entries(field);
            } catch (IOException broken) {
                throw new UncheckedIOException("a malformed record", broken);
            }
        }

        Object value() {
            try {
                return read(bytes.length);
            } catch (IOException broken) {
                throw new UncheckedIOException("a malformed attribute", broken);
            }
        }

        /** The entries of a map, up to the end of its message. */
        private Map<String, Object> entries(int field) throws IOException {
            Map<String, Object> entries = new HashMap<>();
            int wanted = tag(field);
            for (int tag = input.readTag(); tag != 0; tag = input.readTag()) {
                if (tag == wanted) {
                    int outer = input.pushLimit(input.readRawVarint32());
                    entry(entries);
                    input.popLimit(outer);
                } else {
                    input.skipField(tag);
                }
            }
            return entries;
        }

        private void entry(Map<String, Object> entries) throws IOException {
            String name = "";
            Object value = new UnknownValue(AttributeValue.getDefaultInstance());
            for (int tag = input.readTag(); tag != 0; tag = input.readTag()) {
                switch (tag) {
                    case 1 << 3 | 2 -> name = input.readStringRequireUtf8();
                    case 2 << 3 | 2 -> value = attribute();
                    default -> input.skipField(tag);
                }
            }
            entries.put(name, value);
        }

        private Object attribute() throws IOException {
            int size = input.readRawVarint32();
            int outer = input.pushLimit(size);
            Object value = read(size);
            input.popLimit(outer);
            return value;
        }

        /** An attribute of so many bytes. */
        private Object read(int size) throws IOException {
            int begin = input.getTotalBytesRead();
            Object value = null;
            boolean known = false;
            for (int tag = input.readTag(); tag != 0; tag = input.readTag()) {
                if (tag >>> 3 <= AttributeValue.BOOL_VALUE_FIELD_NUMBER) {
                    value = typed(tag);
                    known = true;
                } else {
                    input.skipField(tag);
                }
            }
            return known ? value : unknown(begin, size);
        }

        private Object typed(int tag) throws IOException {
            switch (tag >>> 3) {
                case AttributeValue.S_FIELD_NUMBER:
                    return input.readStringRequireUtf8();
                case AttributeValue.N_FIELD_NUMBER:
                    return numbers.apply(input.readStringRequireUtf8());
                case AttributeValue.B_FIELD_NUMBER:
                    return input.readBytes();
                case AttributeValue.NULL_VALUE_FIELD_NUMBER:
                    input.readBool();
                    return null;
                case AttributeValue.BOOL_VALUE_FIELD_NUMBER:
                    return input.readBool();
                default:
                    int outer = input.pushLimit(input.readRawVarint32());
                    Object value = many(tag >>> 3);
                    input.popLimit(outer);
                    return value;
            }
        }

        /** A map, list or set, up to the end of its message. */
        private Object many(int field) throws IOException {
            if (field == AttributeValue.M_FIELD_NUMBER) {
                return entries(1);
            }
            List<Object> list = new ArrayList<>();
            for (int tag = input.readTag(); tag != 0; tag = input.readTag()) {
                if (tag != tag(1)) {
                    input.skipField(tag);
                    continue;
                }
                list.add(
                        switch (field) {
                            case AttributeValue.SS_FIELD_NUMBER -> input.readStringRequireUtf8();
                            case AttributeValue.NS_FIELD_NUMBER ->
                                    numbers.apply(input.readStringRequireUtf8());
                            case AttributeValue.BS_FIELD_NUMBER -> input.readBytes();
                            default -> attribute();
                        });
            }
            return switch (field) {
                case AttributeValue.SS_FIELD_NUMBER ->
                        new AttributeSet<>(AttributeSet.Kind.STRING, list);
                case AttributeValue.NS_FIELD_NUMBER ->
                        new AttributeSet<>(AttributeSet.Kind.NUMBER, list);
                case AttributeValue.BS_FIELD_NUMBER ->
                        new AttributeSet<>(AttributeSet.Kind.BINARY, list);
                default -> list;
            };
        }

        private UnknownValue unknown(int begin, int size) throws IOException {
            return new UnknownValue(
                    AttributeValue.parseFrom(ByteString.copyFrom(bytes, begin, size)));
        }
    }
}
