package shardstream;

import io.grpc.ConnectivityState;
import io.grpc.ManagedChannel;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;

/** As many connections as the streams need: a server takes 100 calls on each. */
final class Channels {
    private final Supplier<ManagedChannel> make;
    private final int most;
    private final List<Shared> open = new ArrayList<>();
    private boolean closed;

    /**
     * A connection, and how many use it. A retired one takes no new calls and is closed by the
     * last, or with the client.
     */
    private static final class Shared {
        final ManagedChannel channel;
        int users;
        int streams;
        boolean retired;

        Shared(ManagedChannel channel) {
            this.channel = channel;
        }
    }

    /** One use of a connection. */
    final class Use {
        private final Shared shared;
        private final boolean isStream;
        private boolean over;

        private Use(Shared shared, boolean isStream) {
            this.shared = shared;
            this.isStream = isStream;
            shared.users++;
            shared.streams += isStream ? 1 : 0;
        }

        ManagedChannel channel() {
            return shared.channel;
        }

        /** The use is over, at the first call of this. */
        void release() {
            synchronized (Channels.this) {
                if (over) {
                    return;
                }
                over = true;
                shared.users--;
                shared.streams -= isStream ? 1 : 0;
                if (shared.retired && shared.users == 0) {
                    open.remove(shared);
                    shared.channel.shutdownNow();
                }
            }
        }

        /**
         * No new calls on a connection that fell silent, for gRPC may take it for alive, nor on one
         * that waits to try again.
         */
        void failed(ShardstreamException failed) {
            boolean broken = shared.channel.getState(false) == ConnectivityState.TRANSIENT_FAILURE;
            if (failed.isSilence() || broken) {
                synchronized (Channels.this) {
                    shared.retired = true;
                }
            }
        }
    }

    Channels(Supplier<ManagedChannel> make, int most) {
        this.make = make;
        this.most = most;
    }

    synchronized Use use(boolean isStream) {
        if (closed) {
            throw new IllegalStateException("the client is closed");
        }
        for (Shared shared : open) {
            if (!shared.retired && (!isStream || shared.streams < most)) {
                return new Use(shared, isStream);
            }
        }
        Shared shared = new Shared(make.get());
        open.add(shared);
        return new Use(shared, isStream);
    }

    void close() {
        List<Shared> all;
        synchronized (this) {
            closed = true;
            all = List.copyOf(open);
            open.clear();
        }
        all.forEach(shared -> shared.channel.shutdownNow());
        try {
            for (Shared shared : all) {
                shared.channel.awaitTermination(1, TimeUnit.SECONDS);
            }
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
