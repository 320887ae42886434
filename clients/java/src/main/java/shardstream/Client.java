package shardstream;

import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.TlsChannelCredentials;

import shardstream.v1.ChangeRecord;
import shardstream.v1.DescribeStreamRequest;
import shardstream.v1.GetRecordsRequest;
import shardstream.v1.GetRecordsResponse;
import shardstream.v1.GetServerInfoRequest;
import shardstream.v1.GetServerInfoResponse;
import shardstream.v1.ListChildrenRequest;
import shardstream.v1.ListChildrenResponse;
import shardstream.v1.ListShardsRequest;
import shardstream.v1.ListShardsResponse;
import shardstream.v1.ListStreamsRequest;
import shardstream.v1.ListStreamsResponse;
import shardstream.v1.OpenShardRequest;
import shardstream.v1.ServerServiceGrpc;
import shardstream.v1.Shard;
import shardstream.v1.ShardName;
import shardstream.v1.ShardServiceGrpc;
import shardstream.v1.StreamDescription;
import shardstream.v1.StreamServiceGrpc;
import shardstream.v1.StreamSummary;
import shardstream.v1.UnreadablePolicy;
import shardstream.v1.WalkTreeRequest;
import shardstream.v1.WalkTreeResponse;

import java.math.BigDecimal;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.regex.Pattern;

/** A server, over as many connections as its streams need. Safe for use by many threads. */
public final class Client implements AutoCloseable {
    /** Version of this client. */
    public static final String VERSION = "0.1.0";

    final Calls calls;
    private final Function<String, ?> numbers;

    private Client(Builder builder) {
        numbers = builder.numbers;
        calls =
                new Calls(
                        new Channels(builder::channel, builder.streamsPerConnection),
                        new Bearer(builder.token, builder.credentials),
                        builder.timing,
                        builder.hooks);
        // What is wrong with the target is told now.
        calls.channels().use(false).release();
    }

    /**
     * A client without TLS.
     *
     * @param target the server in gRPC's notation: {@code host:port}, {@code dns:///name:port}
     * @return the client, which connects when it is first used
     */
    public static Client connect(String target) {
        return builder(target).build();
    }

    /**
     * A client with choices.
     *
     * @param target as in {@link #connect}
     * @return the choices
     */
    public static Builder builder(String target) {
        return new Builder(target);
    }

    /** Choices of a client. */
    public static final class Builder {
        private static final Pattern HERE =
                Pattern.compile(
                        "((dns|passthrough):/*)?(localhost|127(\\.\\d+){3}|\\[::1])(:\\d+)?|unix:.*");

        private final String target;
        private ChannelCredentials transport = InsecureChannelCredentials.create();
        private String token = "";
        private Credentials credentials;
        private Function<String, ?> numbers = BigDecimal::new;
        private Timing timing = Timing.USUAL;
        private Hooks hooks = new Hooks() {};
        private int streamsPerConnection = 90;
        private Consumer<ManagedChannelBuilder<?>> customize = builder -> {};

        private Builder(String target) {
            this.target = target;
        }

        /**
         * Speaks TLS with the system's CAs.
         *
         * @return this
         */
        public Builder tls() {
            return transport(TlsChannelCredentials.create());
        }

        /**
         * Speaks TLS by PEM files.
         *
         * @param files the files
         * @return this
         */
        public Builder tls(Tls files) {
            return transport(files.credentials());
        }

        /**
         * Speaks as gRPC is told to.
         *
         * @param transport gRPC's credentials of the channel
         * @return this
         */
        public Builder transport(ChannelCredentials transport) {
            this.transport = transport;
            return this;
        }

        /**
         * Sends a bearer token with each call; by TLS, or to this machine only.
         *
         * @param credentials fetches the token, and anew when it was refused
         * @return this
         */
        public Builder credentials(Credentials credentials) {
            this.credentials = credentials;
            return this;
        }

        /**
         * Sends this bearer token with each call; by TLS, or to this machine only.
         *
         * @param token the token, without "Bearer"
         * @return this
         */
        public Builder token(String token) {
            this.token = token;
            return this;
        }

        /**
         * What becomes of numbers; a {@link BigDecimal} unless told otherwise.
         *
         * @param numbers makes a value of DynamoDB's text, such as {@code NumberText::new}
         * @return this
         */
        public Builder numbers(Function<String, ?> numbers) {
            this.numbers = numbers;
            return this;
        }

        /**
         * How long the client waits.
         *
         * @param timing the times
         * @return this
         */
        public Builder timing(Timing timing) {
            this.timing = timing;
            return this;
        }

        /**
         * Tells metrics and tracing what happens.
         *
         * @param hooks whom to tell
         * @return this
         */
        public Builder hooks(Hooks hooks) {
            this.hooks = hooks;
            return this;
        }

        /**
         * A server takes 100 calls on a connection; past so many streams (90) another one is
         * opened.
         *
         * @param most how many
         * @return this
         */
        public Builder streamsPerConnection(int most) {
            this.streamsPerConnection = most;
            return this;
        }

        /**
         * Changes gRPC's channels further.
         *
         * @param customize is given each before it is made
         * @return this
         */
        public Builder channels(Consumer<ManagedChannelBuilder<?>> customize) {
            this.customize = customize;
            return this;
        }

        /**
         * The client.
         *
         * @return the client, which connects when it is first used
         */
        public Client build() {
            boolean isPlain = transport instanceof InsecureChannelCredentials;
            boolean isSecret = credentials != null || !token.isEmpty();
            if (isSecret && isPlain && !HERE.matcher(target).matches()) {
                throw new IllegalStateException(
                        "credentials travel by TLS, or to this machine only");
            }
            return new Client(this);
        }

        private ManagedChannel channel() {
            ManagedChannelBuilder<?> builder =
                    Grpc.newChannelBuilder(target, transport)
                            .disableRetry() // Calls are repeated by this client alone.
                            .defaultLoadBalancingPolicy("round_robin")
                            .keepAliveTime(30, TimeUnit.SECONDS)
                            .keepAliveTimeout(10, TimeUnit.SECONDS)
                            .maxInboundMessageSize(32 << 20)
                            .userAgent("shardstream-java/" + VERSION);
            customize.accept(builder);
            return builder.build();
        }
    }

    /** Closes the connections, and with them all streams. */
    @Override
    public void close() {
        calls.channels().close();
    }

    /**
     * Every record of a stream.
     *
     * @param stream its table's name, or its ARN
     * @return what can be chosen, and then opened
     */
    public StreamRequest subscribe(String stream) {
        return StreamRequest.subscribe(this, stream);
    }

    /**
     * The records of one shard.
     *
     * @param stream its table's name, or its ARN
     * @param shardId the shard; as the stream's name, it may be empty when the start is a token
     * @return what can be chosen, and then opened
     */
    public StreamRequest streamShard(String stream, String shardId) {
        return StreamRequest.shard(this, name(stream, shardId));
    }

    /**
     * The server's version, upstream, limits and defaults.
     *
     * @return what it says
     */
    public GetServerInfoResponse serverInfo() {
        return calls.call(
                ServerServiceGrpc.getGetServerInfoMethod(),
                GetServerInfoRequest.getDefaultInstance(),
                Calls.USUAL);
    }

    /**
     * The streams of a table.
     *
     * @param tableName its name; empty means all tables
     * @return the streams
     */
    public List<StreamSummary> listStreams(String tableName) {
        ListStreamsRequest.Builder request =
                ListStreamsRequest.newBuilder().setTableName(tableName);
        List<StreamSummary> streams = new ArrayList<>();
        do {
            ListStreamsResponse page =
                    calls.call(
                            StreamServiceGrpc.getListStreamsMethod(), request.build(), Calls.USUAL);
            streams.addAll(page.getStreamsList());
            request.setPageToken(page.getNextPageToken());
        } while (!request.getPageToken().isEmpty());
        return streams;
    }

    /**
     * What a stream is.
     *
     * @param stream its table's name, or its ARN
     * @return its description
     */
    public StreamDescription describeStream(String stream) {
        var request = DescribeStreamRequest.newBuilder().setStream(stream).build();
        return calls.call(StreamServiceGrpc.getDescribeStreamMethod(), request, Calls.USUAL)
                .getDescription();
    }

    /**
     * All shards of a stream.
     *
     * @param stream its table's name, or its ARN
     * @return the shards
     */
    public List<Shard> listShards(String stream) {
        ListShardsRequest.Builder request = ListShardsRequest.newBuilder().setStream(stream);
        List<Shard> shards = new ArrayList<>();
        do {
            ListShardsResponse page =
                    calls.call(
                            StreamServiceGrpc.getListShardsMethod(), request.build(), Calls.USUAL);
            shards.addAll(page.getShardsList());
            request.setPageToken(page.getNextPageToken());
        } while (!request.getPageToken().isEmpty());
        return shards;
    }

    /**
     * A shard's children, and whether there can be more.
     *
     * @param stream its table's name, or its ARN
     * @param shardId the shard
     * @return the answer
     */
    public ListChildrenResponse listChildren(String stream, String shardId) {
        var request = ListChildrenRequest.newBuilder().setShard(name(stream, shardId)).build();
        return calls.call(ShardServiceGrpc.getListChildrenMethod(), request, Calls.USUAL);
    }

    /**
     * A shard and its descendants, each with its depth.
     *
     * @param stream its table's name, or its ARN
     * @param shardId the shard
     * @return all of them
     */
    public List<WalkTreeResponse> walkTree(String stream, String shardId) {
        var request = WalkTreeRequest.newBuilder().setShard(name(stream, shardId)).build();
        return calls.all(ShardServiceGrpc.getWalkTreeMethod(), request);
    }

    /**
     * How far the server has read each shard.
     *
     * @param stream its table's name, or its ARN
     * @return its messages; close it when you leave the loop
     */
    public Watch watchShards(String stream) {
        return new Watch(calls, stream);
    }

    /**
     * One read of a shard without a session; {@code Start.from(batch.token())} reads on, and then
     * both names may be empty.
     *
     * @param stream its table's name, or its ARN
     * @param shardId the shard
     * @param start where to start
     * @return the records
     */
    public Batch getRecords(String stream, String shardId, Start start) {
        return getRecords(stream, shardId, start, request -> {});
    }

    /**
     * One read, as {@link #getRecords(String, String, Start)}.
     *
     * @param stream its table's name, or its ARN
     * @param shardId the shard
     * @param start where to start
     * @param choices sets fields of the request, such as {@code setWait} and {@code
     *     setUnreadablePolicy}
     * @return the records
     */
    public Batch getRecords(
            String stream,
            String shardId,
            Start start,
            Consumer<GetRecordsRequest.Builder> choices) {
        GetRecordsRequest.Builder request = GetRecordsRequest.newBuilder();
        request.setStart(start.ofShard(name(stream, shardId), start.token()));
        return read(request, shardId, choices);
    }

    Batch read(
            GetRecordsRequest.Builder request,
            String shardId,
            Consumer<GetRecordsRequest.Builder> choices) {
        request.setUnreadablePolicy(UnreadablePolicy.UNREADABLE_POLICY_FAIL);
        choices.accept(request);
        Duration limit = Calls.USUAL.plus(Times.duration(request.getWait()));
        GetRecordsResponse answer =
                calls.call(ShardServiceGrpc.getGetRecordsMethod(), request.build(), limit);
        String said = answer.getSession().getShardId();
        return new Batch(
                unsplit(said.isEmpty() ? shardId : said, answer.getRecordsList()),
                answer.getToken(),
                answer.getExhausted(),
                answer.getAtTip(),
                answer.getUnreadableList().stream().map(Event.Unreadable::of).toList());
    }

    /**
     * Opens a session that has no position yet.
     *
     * @param stream its table's name, or its ARN
     * @param shardId the shard
     * @return the session
     */
    public Session openShard(String stream, String shardId) {
        return openShard(OpenShardRequest.newBuilder().setShard(name(stream, shardId)));
    }

    /**
     * Opens a session.
     *
     * @param stream its table's name, or its ARN
     * @param shardId the shard
     * @param start where it stands
     * @return the session
     */
    public Session openShard(String stream, String shardId, Start start) {
        OpenShardRequest.Builder request = OpenShardRequest.newBuilder();
        if (!shardId.isEmpty()) {
            request.setShard(name(stream, shardId));
        }
        return openShard(
                start.position == null
                        ? request.setToken(start.token())
                        : request.setPosition(start.position));
    }

    private Session openShard(OpenShardRequest.Builder request) {
        var answer =
                calls.call(ShardServiceGrpc.getOpenShardMethod(), request.build(), Calls.USUAL);
        return new Session(this, answer.getSession());
    }

    private static ShardName name(String stream, String shardId) {
        return ShardName.newBuilder().setStream(stream).setShardId(shardId).build();
    }

    /** Records of an answer that did not come apart. */
    List<StreamRecord> unsplit(String shardId, List<ChangeRecord> raw) {
        return records(shardId, raw.stream().map(ChangeRecord::toByteArray).toList());
    }

    List<StreamRecord> records(String shardId, List<byte[]> raw) {
        List<StreamRecord> records = new ArrayList<>(raw.size());
        raw.forEach(record -> records.add(new StreamRecord(shardId, record, numbers)));
        return records;
    }
}
