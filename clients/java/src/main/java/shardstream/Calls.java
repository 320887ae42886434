package shardstream;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientInterceptors;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.MetadataUtils;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CancellationException;
import java.util.concurrent.TimeUnit;
import java.util.function.BiFunction;

/** What all calls of a client share, and those that are answered once. */
record Calls(Channels channels, Bearer bearer, Timing timing, Hooks hooks) {
    /** How long a call may take, retries and all. */
    static final Duration USUAL = Duration.ofMinutes(1);

    static final Duration LONG_SEEK = Duration.ofMinutes(5);

    private static final Metadata.Key<String> AUTHORIZATION =
            Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);
    private static final Metadata.Key<String> TRACEPARENT =
            Metadata.Key.of("traceparent", Metadata.ASCII_STRING_MARSHALLER);

    /** The headers of a call with this bearer token. */
    Metadata headers(String token) {
        Metadata headers = new Metadata();
        if (!token.isEmpty()) {
            headers.put(AUTHORIZATION, "Bearer " + token);
        }
        String parent = hooks.traceparent();
        if (!parent.isEmpty()) {
            headers.put(TRACEPARENT, parent);
        }
        return headers;
    }

    /** A connection whose calls have the headers. */
    Channel headed(Channels.Use use, String token) {
        var attach = MetadataUtils.newAttachHeadersInterceptor(headers(token));
        return ClientInterceptors.intercept(use.channel(), attach);
    }

    /** One call that has one answer. */
    <Q, A> A call(MethodDescriptor<Q, A> method, Q request, Duration limit) {
        return call(
                limit,
                (channel, options) ->
                        ClientCalls.blockingUnaryCall(channel, method, options, request));
    }

    /** All answers of one call. */
    <Q, A> List<A> all(MethodDescriptor<Q, A> method, Q request) {
        return call(
                USUAL,
                (channel, options) -> {
                    List<A> answers = new ArrayList<>();
                    ClientCalls.blockingServerStreamingCall(channel, method, options, request)
                            .forEachRemaining(answers::add);
                    return answers;
                });
    }

    /** Made again while its time lasts where that may help: a failed call has moved nothing. */
    private <A> A call(Duration limit, BiFunction<Channel, CallOptions, A> attempt) {
        long end = System.nanoTime() + limit.toNanos();
        Backoff backoff = new Backoff(timing, limit);
        boolean renewed = false;
        while (true) {
            String token = bearer.get();
            Channels.Use use = channels.use(false);
            ShardstreamException failed;
            try {
                var options =
                        CallOptions.DEFAULT.withDeadlineAfter(
                                end - System.nanoTime(), TimeUnit.NANOSECONDS);
                return attempt.apply(headed(use, token), options);
            } catch (StatusRuntimeException said) {
                if (Thread.currentThread().isInterrupted()) {
                    throw new CancellationException("interrupted");
                }
                failed = ShardstreamException.of(said.getStatus(), said.getTrailers(), null);
                use.failed(failed);
            } finally {
                use.release();
            }
            if (failed.code() == Status.Code.UNAUTHENTICATED && !renewed && bearer.refused(token)) {
                renewed = true;
                continue;
            }
            Optional<Duration> pause = backoff.pause(failed);
            if (pause.isEmpty() || System.nanoTime() + pause.get().toNanos() > end) {
                throw failed;
            }
            hooks.resume(failed, pause.get());
            try {
                TimeUnit.NANOSECONDS.sleep(pause.get().toNanos());
            } catch (InterruptedException interrupted) {
                Thread.currentThread().interrupt();
                throw new CancellationException("interrupted");
            }
        }
    }
}
