package shardstream;

import io.grpc.CallOptions;
import io.grpc.Context;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCalls;

import shardstream.v1.StreamServiceGrpc;
import shardstream.v1.WatchShardsRequest;
import shardstream.v1.WatchShardsResponse;

import java.time.Duration;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/**
 * How far the server has read each shard of a stream: all of them first, then each change. It goes
 * on by itself when the connection breaks: then all come again, and those that are gone by then are
 * among the removed.
 *
 * <p>For one thread, but for {@link #close}. An interrupt ends it with a {@link
 * CancellationException}.
 */
public final class Watch
        implements Iterable<WatchShardsResponse>, Iterator<WatchShardsResponse>, AutoCloseable {
    private final Calls calls;
    private final WatchShardsRequest request;
    private final Backoff backoff;
    private final CountDownLatch closing = new CountDownLatch(1);

    /** What was told by this connection. */
    private final Set<String> known = new TreeSet<>();

    /** What was told before it, and not yet again. */
    private final Set<String> before = new TreeSet<>();

    private WatchShardsResponse ready;

    /** The credentials were dropped since the last message. */
    private boolean renewed;

    /** Null between two connections. Guarded by this for {@link #close}. */
    private Connection connection;

    /** One call. */
    private record Connection(
            Context.CancellableContext context,
            Channels.Use use,
            String token,
            Iterator<WatchShardsResponse> rows) {
        void end() {
            context.cancel(null);
            use.release();
        }
    }

    Watch(Calls calls, String stream) {
        this.calls = calls;
        this.request = WatchShardsRequest.newBuilder().setStream(stream).build();
        this.backoff = new Backoff(calls.timing(), calls.timing().patience());
    }

    @Override
    public Iterator<WatchShardsResponse> iterator() {
        return this;
    }

    /**
     * Waits for the next message.
     *
     * @return false when it was closed
     * @throws ShardstreamException where a retry does not help, such as when the stream was deleted
     */
    @Override
    public boolean hasNext() {
        try {
            while (ready == null && !isClosed()) {
                step();
            }
        } catch (InterruptedException interrupted) {
            close();
            Thread.currentThread().interrupt();
            throw new CancellationException("interrupted");
        } catch (RuntimeException failed) {
            close();
            throw failed;
        }
        return ready != null;
    }

    @Override
    public WatchShardsResponse next() {
        if (!hasNext()) {
            throw new NoSuchElementException();
        }
        WatchShardsResponse message = ready;
        ready = null;
        return message;
    }

    /** Ends it at once. May be called from any thread, and again. */
    @Override
    public void close() {
        Connection last;
        synchronized (this) {
            closing.countDown();
            last = connection;
        }
        if (last != null) {
            last.end();
        }
    }

    private boolean isClosed() {
        return closing.getCount() == 0;
    }

    private void step() throws InterruptedException {
        if (connection == null) {
            connect(calls.bearer().get());
        }
        try {
            if (connection.rows().hasNext()) {
                ready = take(connection.rows().next());
            } else {
                close();
            }
        } catch (StatusRuntimeException failed) {
            if (Thread.interrupted()) {
                throw new InterruptedException();
            } else if (!isClosed()) {
                again(ShardstreamException.of(failed.getStatus(), failed.getTrailers(), null));
            }
        }
    }

    private void connect(String token) {
        // It tells of all shards again, and not of those that went away meanwhile.
        before.addAll(known);
        known.clear();
        backoff.open();
        var method = StreamServiceGrpc.getWatchShardsMethod();
        Context.CancellableContext context = Context.current().withCancellation();
        Channels.Use use = calls.channels().use(true);
        Context outer = context.attach();
        try {
            var rows =
                    ClientCalls.blockingServerStreamingCall(
                            calls.headed(use, token), method, CallOptions.DEFAULT, request);
            synchronized (this) {
                connection = new Connection(context, use, token, rows);
            }
        } finally {
            context.detach(outer);
        }
        if (isClosed()) {
            connection.end();
        }
    }

    private void again(ShardstreamException failed) throws InterruptedException {
        Connection broken = connection;
        synchronized (this) {
            connection = null;
        }
        broken.use().failed(failed);
        broken.end();
        if (failed.code() == Status.Code.UNAUTHENTICATED
                && !renewed
                && calls.bearer().refused(broken.token())) {
            renewed = true;
            return;
        }
        Optional<Duration> pause = backoff.pause(failed);
        if (pause.isEmpty()) {
            throw failed;
        }
        calls.hooks().resume(failed, pause.get());
        closing.await(pause.get().toNanos(), TimeUnit.NANOSECONDS);
    }

    /** A message. The last one of the first round has what went away among the removed. */
    private WatchShardsResponse take(WatchShardsResponse told) {
        backoff.heard(true);
        renewed = false;
        told.getShardsList().forEach(shard -> known.add(shard.getShard().getShardId()));
        known.removeAll(told.getRemovedShardIdsList());
        before.removeAll(known);
        before.removeAll(told.getRemovedShardIdsList());
        if (!told.getComplete() || before.isEmpty()) {
            return told;
        }
        Set<String> removed = new TreeSet<>(told.getRemovedShardIdsList());
        removed.addAll(before);
        before.clear();
        return told.toBuilder().clearRemovedShardIds().addAllRemovedShardIds(removed).build();
    }
}
