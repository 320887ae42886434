package shardstream;

import io.grpc.Context;
import io.grpc.StatusRuntimeException;

import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.function.Function;

/**
 * The rows of a call that is not resumed. Close it when you leave the loop before its end.
 *
 * @param <T> the type of a row
 */
public final class Rows<T> implements Iterable<T>, Iterator<T>, AutoCloseable {
    private final Context.CancellableContext context = Context.current().withCancellation();
    private final Channels.Use use;
    private final Iterator<T> rows;
    private volatile boolean closed;

    Rows(Channels.Use use, Function<Channels.Use, Iterator<T>> call) {
        this.use = use;
        Context before = context.attach();
        try {
            rows = call.apply(use);
        } finally {
            context.detach(before);
        }
    }

    @Override
    public boolean hasNext() {
        try {
            if (!closed && rows.hasNext()) {
                return true;
            }
        } catch (StatusRuntimeException failed) {
            boolean wasClosed = closed;
            close();
            if (!wasClosed) {
                throw ShardstreamException.of(failed.getStatus(), failed.getTrailers(), null);
            }
        }
        close();
        return false;
    }

    @Override
    public T next() {
        if (!hasNext()) {
            throw new NoSuchElementException();
        }
        return rows.next();
    }

    @Override
    public Iterator<T> iterator() {
        return this;
    }

    /** Ends the call. May be called from any thread, and again. */
    @Override
    public void close() {
        closed = true;
        context.cancel(null);
        use.release();
    }
}
