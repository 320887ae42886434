package shardstream;

import com.google.protobuf.ByteString;

import java.math.BigDecimal;
import java.util.AbstractSet;
import java.util.Collection;
import java.util.Collections;
import java.util.Iterator;
import java.util.LinkedHashSet;
import java.util.Set;

/**
 * A set of DynamoDB, which knows its type even when it is empty. Cannot be changed.
 *
 * @param <T> the type of its elements
 */
public final class AttributeSet<T> extends AbstractSet<T> {
    /** What a set is of. */
    public enum Kind {
        /** Texts. */
        STRING,
        /** Numbers. */
        NUMBER,
        /** Bytes. */
        BINARY
    }

    private final Kind kind;
    private final Set<T> elements;

    AttributeSet(Kind kind, Collection<? extends T> elements) {
        this.kind = kind;
        this.elements = Collections.unmodifiableSet(new LinkedHashSet<>(elements));
    }

    /**
     * A set of texts.
     *
     * @param elements its elements
     * @return the set
     */
    public static AttributeSet<String> ofStrings(Collection<String> elements) {
        return new AttributeSet<>(Kind.STRING, elements);
    }

    /**
     * A set of numbers.
     *
     * @param elements its elements
     * @return the set
     */
    public static AttributeSet<BigDecimal> ofNumbers(Collection<BigDecimal> elements) {
        return new AttributeSet<>(Kind.NUMBER, elements);
    }

    /**
     * A set of bytes.
     *
     * @param elements its elements
     * @return the set
     */
    public static AttributeSet<ByteString> ofBinaries(Collection<ByteString> elements) {
        return new AttributeSet<>(Kind.BINARY, elements);
    }

    /**
     * What it is a set of.
     *
     * @return the kind
     */
    public Kind kind() {
        return kind;
    }

    @Override
    public Iterator<T> iterator() {
        return elements.iterator();
    }

    @Override
    public int size() {
        return elements.size();
    }

    @Override
    public boolean contains(Object element) {
        return elements.contains(element);
    }
}
