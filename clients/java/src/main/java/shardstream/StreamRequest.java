package shardstream;

import com.google.protobuf.GeneratedMessage;

import io.grpc.MethodDescriptor;
import io.grpc.protobuf.ProtoUtils;

import shardstream.v1.GapPolicy;
import shardstream.v1.RecordOrder;
import shardstream.v1.ShardName;
import shardstream.v1.ShardServiceGrpc;
import shardstream.v1.StreamRecordsRequest;
import shardstream.v1.StreamServiceGrpc;
import shardstream.v1.SubscribeRequest;
import shardstream.v1.UnreadablePolicy;
import shardstream.v1.Until;

import java.time.Duration;
import java.util.concurrent.Executor;
import java.util.concurrent.Flow;

/**
 * How a stream is to be read. {@link #open} gives its messages in a loop, {@link #publisher} pushes
 * them; each of their streams starts anew, with the choices made until then.
 */
public final class StreamRequest {
    // Messages of both kinds of stream have the same fields, those of one shard some less.
    private static final MethodDescriptor<GeneratedMessage, Wire.Arrived> SUBSCRIBE =
            method(StreamServiceGrpc.getSubscribeMethod(), SubscribeRequest.getDefaultInstance());
    private static final MethodDescriptor<GeneratedMessage, Wire.Arrived> SHARD =
            method(
                    ShardServiceGrpc.getStreamRecordsMethod(),
                    StreamRecordsRequest.getDefaultInstance());

    final Client client;
    final MethodDescriptor<GeneratedMessage, Wire.Arrived> method;

    /** Also has what is chosen for one shard. */
    private final SubscribeRequest.Builder request = SubscribeRequest.newBuilder();

    private final ShardName shard;
    private final String lease;

    /** Null where a session stands. */
    Start start;

    TokenStore store;
    boolean heartbeats;
    Duration heartbeatInterval = Duration.ofSeconds(10);
    Policy onGap = Policy.FAIL;
    Policy onUnreadable = Policy.FAIL;

    private StreamRequest(
            Client client,
            MethodDescriptor<GeneratedMessage, Wire.Arrived> method,
            ShardName shard,
            String lease,
            Start start) {
        this.client = client;
        this.method = method;
        this.shard = shard;
        this.lease = lease;
        this.start = start;
    }

    static StreamRequest subscribe(Client client, String stream) {
        StreamRequest made =
                new StreamRequest(
                        client, SUBSCRIBE, ShardName.getDefaultInstance(), "", Start.TRIM_HORIZON);
        made.request.setStream(stream);
        return made;
    }

    static StreamRequest shard(Client client, ShardName shard) {
        return new StreamRequest(client, SHARD, shard, "", Start.TRIM_HORIZON);
    }

    static StreamRequest session(Client client, String lease) {
        return new StreamRequest(client, SHARD, ShardName.getDefaultInstance(), lease, null);
    }

    private static MethodDescriptor<GeneratedMessage, Wire.Arrived> method(
            MethodDescriptor<?, ?> method, GeneratedMessage request) {
        return method.toBuilder(ProtoUtils.marshaller(request), Wire.SPLITTING).build();
    }

    private StreamRequest copy() {
        StreamRequest copy = new StreamRequest(client, method, shard, lease, start);
        copy.request.mergeFrom(request.build());
        copy.store = store;
        copy.heartbeats = heartbeats;
        copy.heartbeatInterval = heartbeatInterval;
        copy.onGap = onGap;
        copy.onUnreadable = onUnreadable;
        return copy;
    }

    /**
     * Where to start when the store is empty; {@link Start#TRIM_HORIZON} unless told otherwise.
     *
     * @param start where
     * @return this
     */
    public StreamRequest start(Start start) {
        this.start = start;
        return this;
    }

    /**
     * Keeps the position, each time the program comes back for more. Delivery is at least once:
     * after a crash what your code was not done with comes again.
     *
     * @param store where
     * @return this
     */
    public StreamRequest store(TokenStore store) {
        this.store = store;
        return this;
    }

    /**
     * What to do about a gap.
     *
     * @param policy {@link Policy#FAIL} unless told otherwise
     * @return this
     */
    public StreamRequest onGap(Policy policy) {
        this.onGap = policy;
        return this;
    }

    /**
     * What to do about a record that cannot be read.
     *
     * @param policy {@link Policy#FAIL} unless told otherwise
     * @return this
     */
    public StreamRequest onUnreadable(Policy policy) {
        this.onUnreadable = policy;
        return this;
    }

    /**
     * Gives heartbeats as events.
     *
     * @return this
     */
    public StreamRequest heartbeats() {
        this.heartbeats = true;
        return this;
    }

    /**
     * How often an idle server shows that it lives. Three of them without a message count as a
     * broken connection.
     *
     * @param interval 10 s unless told otherwise
     * @return this
     */
    public StreamRequest heartbeatInterval(Duration interval) {
        this.heartbeatInterval = interval;
        return this;
    }

    /**
     * Ends the stream at a limit.
     *
     * @param until the limit
     * @return this
     */
    public StreamRequest until(Until until) {
        request.setUntil(until);
        return this;
    }

    /**
     * Bounds messages.
     *
     * @param records by their records; 0 leaves that to the server
     * @param bytes by their bytes; 0 leaves that to the server
     * @return this
     */
    public StreamRequest batchLimits(int records, int bytes) {
        request.setMaxBatchRecords(records).setMaxBatchBytes(bytes);
        return this;
    }

    /**
     * Orders the records of all shards by their time, as well as they come in time. For
     * subscriptions alone.
     *
     * @param wait how long
     * @return this
     */
    public StreamRequest byTime(Duration wait) {
        request.setOrder(RecordOrder.RECORD_ORDER_BY_TIME).setMergeWait(Times.raw(wait));
        return this;
    }

    /**
     * How often a token that covers everything comes at least. For subscriptions alone.
     *
     * @param interval how often
     * @return this
     */
    public StreamRequest checkpointInterval(Duration interval) {
        request.setCheckpointInterval(Times.raw(interval));
        return this;
    }

    /**
     * Opens the stream.
     *
     * @return its messages; close them when you leave the loop
     */
    public Messages open() {
        return new Messages(copy());
    }

    /**
     * Pushes the messages, on a thread of its own for each subscriber. A token is stored when
     * {@code onNext} has returned and more was requested: who works on a message elsewhere requests
     * the next one when that is done.
     *
     * @return opens a stream for each subscriber
     */
    public Flow.Publisher<Message> publisher() {
        return publisher(
                work -> {
                    Thread thread = new Thread(work, "shardstream-publisher");
                    thread.setDaemon(true);
                    thread.start();
                });
    }

    /**
     * Pushes the messages, as {@link #publisher()}.
     *
     * @param executor runs each stream, which keeps one of its threads until its end
     * @return opens a stream for each subscriber
     */
    public Flow.Publisher<Message> publisher(Executor executor) {
        StreamRequest chosen = copy();
        return subscriber -> Publication.begin(subscriber, chosen.open(), executor);
    }

    /** The most records, 0 when there is no such limit. */
    long limit() {
        return request.getUntil().getRecordCount();
    }

    /** What goes on from here, when so many records were given. */
    GeneratedMessage request(Start start, Progress progress, long count) {
        Until.Builder until = request.getUntil().toBuilder();
        if (limit() > 0) {
            until.setRecordCount(limit() - count);
        }
        var gaps = onGap == Policy.FAIL ? GapPolicy.GAP_POLICY_FAIL : GapPolicy.GAP_POLICY_CONTINUE;
        var unreadable =
                onUnreadable == Policy.FAIL
                        ? UnreadablePolicy.UNREADABLE_POLICY_FAIL
                        : UnreadablePolicy.UNREADABLE_POLICY_SKIP;
        var interval = Times.raw(heartbeatInterval);
        if (method == SUBSCRIBE) {
            SubscribeRequest.Builder made =
                    request.clone()
                            .setHeartbeatInterval(interval)
                            .setGapPolicy(gaps)
                            .setUnreadablePolicy(unreadable)
                            .addAllShardTokens(progress.tokens());
            if (request.hasUntil()) {
                made.setUntil(until);
            }
            return progress.token().isEmpty()
                    ? made.setPosition(start.position).build()
                    : made.setToken(progress.token()).build();
        }
        StreamRecordsRequest.Builder made =
                StreamRecordsRequest.newBuilder()
                        .setHeartbeatInterval(interval)
                        .setMaxBatchRecords(request.getMaxBatchRecords())
                        .setMaxBatchBytes(request.getMaxBatchBytes())
                        .setGapPolicy(gaps)
                        .setUnreadablePolicy(unreadable);
        if (request.hasUntil()) {
            made.setUntil(until);
        }
        return lease.isEmpty()
                ? made.setStart(start.ofShard(shard, progress.token())).build()
                : made.setLeaseId(lease).setToken(progress.token()).build();
    }
}
