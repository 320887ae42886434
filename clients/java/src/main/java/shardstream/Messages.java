package shardstream;

import com.google.protobuf.GeneratedMessage;

import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.Metadata;
import io.grpc.Status;

import shardstream.v1.End;
import shardstream.v1.EndReason;
import shardstream.v1.IteratorType;
import shardstream.v1.SubscribeResponse;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.DateTimeException;
import java.time.Duration;
import java.time.Instant;
import java.time.format.DateTimeFormatter;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.Optional;
import java.util.Queue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CancellationException;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/**
 * The messages of a stream, for one loop. It goes on by itself when the connection breaks; a stream
 * that has an end ends the loop. {@link #hasNext} waits, and tells that your code is done with the
 * message before: its position is stored then.
 *
 * <p>For one thread, but for {@link #close}. An interrupt ends the stream with a {@link
 * CancellationException}.
 */
public final class Messages implements Iterable<Message>, Iterator<Message>, AutoCloseable {
    private static final Metadata.Key<String> DATE =
            Metadata.Key.of("date", Metadata.ASCII_STRING_MARSHALLER);

    /** Messages that may wait for the program. */
    private static final int AHEAD = 2;

    private final StreamRequest request;
    private final Client client;
    private final Duration silence;
    private final Backoff backoff;

    /** What gRPC has to tell runs on the thread of the loop, so that all state is that thread's. */
    private final BlockingQueue<Runnable> mailbox = new LinkedBlockingQueue<>();

    private Progress progress;
    private Start start;
    private String kept = "";
    private long count;
    private boolean begun;

    /** The next message; null when it is yet to come. */
    private Message ready;

    /** What the program works on; null at first. */
    private SubscribeResponse given;

    /** The credentials were dropped since the last message. */
    private boolean renewed;

    private volatile boolean closed;

    /** Null between two connections. Guarded by this for {@link #close}. */
    private Connection connection;

    Messages(StreamRequest request) {
        this.request = request;
        this.client = request.client;
        this.start = request.start;
        this.progress = new Progress(start == null ? "" : start.kept);
        this.backoff = new Backoff(client.calls.timing(), client.calls.timing().patience());
        Duration least = client.calls.timing().leastHeartbeat();
        Duration interval = request.heartbeatInterval;
        this.silence = (interval.compareTo(least) < 0 ? least : interval).multipliedBy(3);
    }

    @Override
    public Iterator<Message> iterator() {
        return this;
    }

    /**
     * Waits for the next message.
     *
     * @return false at the end of the stream, and when it was closed
     * @throws ShardstreamException where a retry does not help
     * @throws UncheckedIOException if the store fails
     */
    @Override
    public boolean hasNext() {
        if (ready != null) {
            return true;
        }
        try {
            done();
            while (ready == null && !closed) {
                step();
                if (ready == null) {
                    done();
                }
            }
        } catch (InterruptedException interrupted) {
            close();
            Thread.currentThread().interrupt();
            throw new CancellationException("interrupted");
        } catch (IOException failed) {
            close();
            throw new UncheckedIOException(failed);
        } catch (RuntimeException failed) {
            close();
            throw failed;
        }
        return ready != null;
    }

    @Override
    public Message next() {
        if (!hasNext()) {
            throw new NoSuchElementException();
        }
        Message message = ready;
        ready = null;
        return message;
    }

    /**
     * Closes the stream at once, and ends a loop that waits. May be called from any thread, and
     * again.
     */
    @Override
    public void close() {
        Connection last;
        synchronized (this) {
            closed = true;
            last = connection;
        }
        if (last != null) {
            last.call.cancel("closed", null);
            last.use.release();
        }
        mailbox.add(() -> {});
    }

    /** Goes on until there is a message, the end, or something to try again. */
    private void step() throws IOException, InterruptedException {
        if (!begun) {
            begun = true;
            load();
        }
        if (request.limit() > 0 && count >= request.limit()) {
            close(); // The end may be lost on its way. Asking for none would be asking for all.
            return;
        }
        if (connection == null && !connect(client.calls.bearer().get())) {
            return;
        }
        Wire.Arrived arrived = connection.receive();
        if (arrived != null) {
            renewed = false;
            given = arrived.rest();
            ready = connection.take(given, arrived.records());
        } else if (closed || connection.status.isOk()) {
            close();
        } else {
            again();
        }
    }

    /** The program came back for more, or got nothing: it is done with what it had. */
    private void done() throws IOException {
        if (given != null) {
            progress.cover(given);
            given = null;
            save();
        }
    }

    private void load() throws IOException {
        if (request.store != null) {
            kept = request.store.load();
            if (!kept.isEmpty()) {
                progress = new Progress(kept);
            }
        }
    }

    private void save() throws IOException {
        String position = progress.position();
        if (request.store != null && !position.equals(kept)) {
            kept = position;
            request.store.save(position);
        }
    }

    private synchronized boolean connect(String token) {
        if (closed) {
            return false;
        }
        progress.resume();
        backoff.open();
        connection = new Connection(token);
        connection.open();
        return true;
    }

    /** After a failure: waits, or throws what must not be tried again. */
    private void again() throws InterruptedException {
        Connection broken = connection;
        ShardstreamException failed = broken.failure();
        broken.use.failed(failed);
        broken.use.release();
        synchronized (this) {
            connection = null;
        }
        broken.anchor();
        if (failed.code() == Status.Code.UNAUTHENTICATED
                && !renewed
                && client.calls.bearer().refused(broken.token)) {
            renewed = true;
            return;
        }
        // The token of the last message stands behind a loss; what is covered stands before it.
        String behind = broken.losses.isEmpty() ? progress.position() : broken.newest;
        failed.at(failed.token().isEmpty() ? behind : failed.token(), broken.losses);
        Optional<Duration> allowed = backoff.pause(failed);
        if (allowed.isEmpty()) {
            throw failed;
        }
        boolean old = broken.served && broken.end.getReason() == EndReason.END_REASON_MAX_AGE;
        Duration pause = old ? failed.retryDelay() : allowed.get();
        client.calls.hooks().resume(failed, pause);
        long until = System.nanoTime() + pause.toNanos();
        for (long left = pause.toNanos(); left > 0 && !closed; left = until - System.nanoTime()) {
            Runnable task = mailbox.poll(left, TimeUnit.NANOSECONDS);
            if (task != null) {
                task.run();
            }
        }
    }

    /** One call, from its beginning to its end. */
    private final class Connection extends ClientCall.Listener<Wire.Arrived> {
        final String token;
        final Channels.Use use = client.calls.channels().use(true);
        final ClientCall<GeneratedMessage, Wire.Arrived> call =
                use.channel()
                        .newCall(request.method, CallOptions.DEFAULT.withExecutor(mailbox::add));
        final List<Event> losses = new ArrayList<>();
        String newest = "";
        End end = End.getDefaultInstance();

        /** Something came beside the end. */
        boolean served;

        /** Null until the call is over. */
        Status status;

        private final Queue<Wire.Arrived> arrived = new ArrayDeque<>();
        private Metadata trailers = new Metadata();
        private String opened = "";
        private boolean silent;

        Connection(String token) {
            this.token = token;
        }

        void open() {
            call.start(this, client.calls.headers(token));
            call.request(AHEAD);
            call.sendMessage(request.request(start, progress, count));
            call.halfClose();
        }

        @Override
        public void onHeaders(Metadata headers) {
            String date = headers.get(DATE);
            opened = date == null ? "" : date;
        }

        @Override
        public void onMessage(Wire.Arrived message) {
            arrived.add(message);
        }

        @Override
        public void onClose(Status status, Metadata trailers) {
            this.status = status;
            this.trailers = trailers;
        }

        /** The next message; null when the call is over, or the stream closed. */
        Wire.Arrived receive() throws InterruptedException {
            // Runs while a message is waited for, and not while the program works.
            long until = System.nanoTime() + silence.toNanos();
            while (arrived.isEmpty() && status == null && !closed) {
                Runnable task = mailbox.poll(until - System.nanoTime(), TimeUnit.NANOSECONDS);
                if (task == null) {
                    silent = true;
                    status = Status.UNAVAILABLE;
                    call.cancel("silent", null);
                } else {
                    task.run();
                }
            }
            Wire.Arrived message = closed ? null : arrived.poll();
            if (message != null && status == null) {
                call.request(1);
            }
            return message;
        }

        ShardstreamException failure() {
            return silent
                    ? ShardstreamException.silence(silence)
                    : ShardstreamException.of(status, trailers, end);
        }

        /**
         * LATEST was found when the stream was opened. If it breaks before its first token the next
         * one starts then.
         */
        void anchor() {
            boolean latest =
                    start != null
                            && start.position != null
                            && start.position.getIteratorType()
                                    == IteratorType.ITERATOR_TYPE_LATEST;
            if (latest && progress.token().isEmpty() && !opened.isEmpty()) {
                try {
                    Instant time =
                            DateTimeFormatter.RFC_1123_DATE_TIME.parse(opened, Instant::from);
                    start = Start.at(time.minusSeconds(3));
                } catch (DateTimeException strange) {
                    opened = "";
                }
            }
        }

        /** The message for the program; null when there is nothing in it for a program. */
        Message take(SubscribeResponse raw, List<byte[]> records) {
            boolean well = raw.hasHeartbeat() && raw.getHeartbeat().getUpstreamError().isEmpty();
            backoff.heard(!records.isEmpty() || well);
            if (!raw.getToken().isEmpty()) {
                newest = raw.getToken();
            }
            if (raw.hasEnd()) {
                end = raw.getEnd();
            } else {
                served = true;
            }
            Event event = event(raw);
            boolean gap = event instanceof Event.Gap && request.onGap == Policy.FAIL;
            if (gap || event instanceof Event.Unreadable && request.onUnreadable == Policy.FAIL) {
                losses.add(event);
                progress.lose();
                return null;
            }
            String shard = raw.getShardId();
            List<StreamRecord> fresh = progress.give(shard, client.records(shard, records));
            if (fresh.isEmpty() && event == null) {
                return null;
            }
            count += fresh.size();
            Message message = new Message(raw, fresh, event, progress);
            client.calls.hooks().message(message);
            return message;
        }

        private Event event(SubscribeResponse raw) {
            return switch (raw.getEventCase()) {
                case GAP -> Event.Gap.of(raw.getGap());
                case UNREADABLE -> Event.Unreadable.of(raw.getUnreadable());
                case HEARTBEAT ->
                        request.heartbeats ? Event.Heartbeat.of(raw.getHeartbeat()) : null;
                case SHARD_OPEN -> new Event.ShardOpen(raw.getShardOpen().getShard());
                case SHARD_END -> {
                    var told = raw.getShardEnd();
                    yield new Event.ShardEnd(
                            told.getShardId(), told.getChildrenList(), told.getComplete());
                }
                case STREAM_END -> {
                    var told = raw.getStreamEnd();
                    yield new Event.StreamEnd(told.getStreamArn(), told.getNextStreamArn());
                }
                case END, EVENT_NOT_SET -> null;
            };
        }
    }
}
