import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.protobuf.ByteString;
import com.google.protobuf.util.JsonFormat;

import io.grpc.Grpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;

import shardstream.Batch;
import shardstream.Client;
import shardstream.Event;
import shardstream.Hooks;
import shardstream.Message;
import shardstream.Messages;
import shardstream.NumberText;
import shardstream.Policy;
import shardstream.Session;
import shardstream.ShardstreamException;
import shardstream.Start;
import shardstream.StreamRecord;
import shardstream.StreamRequest;
import shardstream.Timing;
import shardstream.Tls;
import shardstream.TokenStore;
import shardstream.Values;
import shardstream.Watch;
import shardstream.v1.AttributeValue;
import shardstream.v1.ChangeRecord;
import shardstream.v1.Meta;
import shardstream.v1.Shard;
import shardstream.v1.StreamServiceGrpc;
import shardstream.v1.SubscribeRequest;
import shardstream.v1.SubscribeResponse;
import shardstream.v1.UnreadablePolicy;
import shardstream.v1.WalkTreeResponse;
import shardstream.v1.WatchShardsResponse;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Executors;
import java.util.concurrent.Flow;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

/**
 * Plays the user of the Java client for the conformance suite; clients/conformance/README.md says
 * how. With the argument "flow" streams are read by way of their publishers.
 */
public final class Conformance {
    private static final Gson GSON = new GsonBuilder().serializeNulls().create();
    private static final PrintStream OUT =
            new PrintStream(System.out, true, StandardCharsets.UTF_8);
    private static final ScheduledExecutorService ELSEWHERE =
            Executors.newScheduledThreadPool(
                    1,
                    work -> {
                        Thread thread = new Thread(work);
                        thread.setDaemon(true);
                        return thread;
                    });

    private static boolean byPublisher;

    private final JsonObject asked;

    private Conformance(JsonObject asked) {
        this.asked = asked;
    }

    public static void main(String[] arguments) throws IOException {
        byPublisher = arguments.length > 0 && arguments[0].equals("flow");
        warmUp();
        var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            try {
                new Conformance(GSON.fromJson(line, JsonObject.class)).play();
            } catch (ShardstreamException failed) {
                tell(failed);
            } catch (Exception fault) {
                fault.printStackTrace();
                say("fault", fault.toString());
            }
            say("done", true);
        }
    }

    /** What a JVM does at first takes longer than the pauses of some scenarios. */
    private static void warmUp() throws IOException {
        var service =
                new StreamServiceGrpc.StreamServiceImplBase() {
                    @Override
                    public void subscribe(
                            SubscribeRequest request, StreamObserver<SubscribeResponse> to) {
                        var record = ChangeRecord.newBuilder().setMeta(Meta.newBuilder());
                        to.onNext(SubscribeResponse.newBuilder().addRecords(record).build());
                        to.onError(Status.NOT_FOUND.asRuntimeException());
                    }
                };
        Server server =
                Grpc.newServerBuilderForPort(0, InsecureServerCredentials.create())
                        .addService(service)
                        .build()
                        .start();
        try (Client client = Client.connect("localhost:" + server.getPort());
                Messages messages = client.subscribe("").open()) {
            messages.forEach(message -> GSON.toJson(line(message.records().get(0))));
        } catch (ShardstreamException expected) {
            GSON.toJson(line(expected));
        } finally {
            server.shutdownNow();
        }
    }

    /** One line of what the user got: names and values by turns. */
    private static void say(Object... line) {
        OUT.println(GSON.toJson(map(line)));
    }

    private static Map<String, Object> map(Object... line) {
        Map<String, Object> map = new LinkedHashMap<>();
        for (int i = 0; i < line.length; i += 2) {
            map.put((String) line[i], line[i + 1]);
        }
        return map;
    }

    private String text(String name) {
        return asked.has(name) ? asked.get(name).getAsString() : "";
    }

    private boolean is(String name) {
        return asked.has(name) && asked.get(name).getAsBoolean();
    }

    private int number(String name) {
        return asked.has(name) ? asked.get(name).getAsInt() : 0;
    }

    private Duration seconds(String name) {
        return asked.has(name) ? seconds(asked.get(name)) : Duration.ZERO;
    }

    private static Duration seconds(JsonElement value) {
        return Duration.ofNanos((long) (value.getAsDouble() * 1e9));
    }

    private Client client() {
        JsonObject times = asked.getAsJsonObject("timing");
        Timing timing =
                new Timing(
                        seconds(times.get("first_pause")),
                        seconds(times.get("longest_pause")),
                        seconds(times.get("patience")),
                        Timing.USUAL.lasting(),
                        seconds(times.get("least_heartbeat")));
        Client.Builder builder = Client.builder(text("target")).timing(timing).hooks(new Telling());
        if (asked.has("tls")) {
            JsonObject files = asked.getAsJsonObject("tls");
            builder.tls(new Tls(path(files, "ca"), path(files, "certificate"), path(files, "key")));
        }
        if (asked.has("credentials")) {
            JsonElement said = asked.get("credentials");
            if (said.isJsonArray()) {
                Iterator<JsonElement> next = said.getAsJsonArray().iterator();
                builder.credentials(() -> next.next().getAsString());
            } else {
                builder.token(said.getAsString());
            }
        }
        if (text("numbers").equals("text")) {
            builder.numbers(NumberText::new);
        }
        return builder.build();
    }

    private static Path path(JsonObject files, String name) {
        return files.has(name) ? Path.of(files.get(name).getAsString()) : null;
    }

    private final class Telling implements Hooks {
        @Override
        public String traceparent() {
            return text("traceparent");
        }

        @Override
        public void resume(ShardstreamException failed, Duration pause) {
            if (is("resumes")) {
                say("resume", failed.reason().isEmpty() ? failed.code().name() : failed.reason());
            }
        }
    }

    /** A store that tells what is saved. */
    private static final class Saying implements TokenStore {
        private String position;

        Saying(String position) {
            this.position = position;
        }

        @Override
        public String load() {
            return position;
        }

        @Override
        public void save(String position) {
            String[] tokens = position.split(" ");
            say("stored", tokens[0], "shard_tokens", List.of(tokens).subList(1, tokens.length));
            this.position = position;
        }
    }

    private void play() throws Exception {
        try (Client client = client()) {
            if (text("call").equals("session")) {
                session(client);
            } else if (text("call").equals("watch_shards")) {
                watch(client);
            } else if (asked.has("streams")) {
                many(client);
            } else if (text("call").equals("subscribe") || text("call").equals("stream_shard")) {
                stream(client);
            } else {
                unary(client);
            }
        }
    }

    private StreamRequest request(Client client) throws IOException {
        return choose(
                text("call").equals("subscribe")
                        ? client.subscribe(text("stream"))
                        : client.streamShard(text("stream"), text("shard")));
    }

    private StreamRequest choose(StreamRequest request) throws IOException {
        if (asked.has("start") && !text("call").equals("session")) {
            request.start(start(asked.get("start")));
        }
        if (text("on_gap").equals("continue")) {
            request.onGap(Policy.CONTINUE);
        }
        if (text("on_unreadable").equals("continue")) {
            request.onUnreadable(Policy.CONTINUE);
        }
        if (asked.has("heartbeat_interval")) {
            request.heartbeatInterval(seconds("heartbeat_interval"));
        }
        if (is("heartbeats")) {
            request.heartbeats();
        }
        if (asked.has("options")) {
            SubscribeRequest.Builder other = SubscribeRequest.newBuilder();
            JsonFormat.parser().merge(asked.get("options").toString(), other);
            request.until(other.getUntil());
        }
        if (asked.has("store")) {
            request.store(new Saying(text("store")));
        }
        return request;
    }

    private static Start start(JsonElement said) {
        if (said == null || said.isJsonPrimitive()) {
            return said != null && said.getAsString().equals("LATEST")
                    ? Start.LATEST
                    : Start.TRIM_HORIZON;
        }
        var choice = said.getAsJsonObject().entrySet().iterator().next();
        String value = choice.getValue().getAsString();
        return switch (choice.getKey()) {
            case "time" -> Start.at(Instant.parse(value));
            case "at" -> Start.atSequenceNumber(value);
            case "after" -> Start.afterSequenceNumber(value);
            default -> Start.from(value);
        };
    }

    private void stream(Client client) throws Exception {
        StreamRequest request = request(client);
        if (is("beside")) {
            request.open().next(); // Neither reads on nor leaves.
        }
        while (true) {
            try {
                follow(request);
                return;
            } catch (ShardstreamException.RecordsTrimmed
                    | ShardstreamException.RecordUnreadable e) {
                if (!is("accept")) {
                    throw e;
                }
                tell(e);
                request.start(Start.from(e.token()));
            }
        }
    }

    /** The loop. */
    private void follow(StreamRequest request) throws InterruptedException {
        Instant begun = Instant.now();
        int records = 0;
        try (Pulled messages = byPublisher ? new Pulled(request) : new Pulled(request.open())) {
            if (asked.has("cancel_after")) {
                long pause = seconds("cancel_after").toMillis();
                ELSEWHERE.schedule(messages::close, pause, TimeUnit.MILLISECONDS);
            }
            while (messages.hasNext()) {
                Message message = messages.next();
                for (StreamRecord record : message) {
                    tell(record);
                    records++;
                    if (records == number("take")) {
                        say("left", true);
                        return;
                    }
                }
                message.event().ifPresent(event -> say(line(event)));
                TimeUnit.NANOSECONDS.sleep(seconds("slow").toNanos());
            }
        }
        say("ended", true);
        Duration took = Duration.between(begun, Instant.now());
        if (asked.has("cancel_after") && took.minus(seconds("cancel_after")).toMillis() > 1000) {
            say("late", true);
        }
    }

    /** Messages as they are pulled, or pushed one at a time when one is asked for. */
    private static final class Pulled implements AutoCloseable, Flow.Subscriber<Message> {
        private static final Object END = new Object();

        private final LinkedBlockingQueue<Object> pushed = new LinkedBlockingQueue<>();
        private final Messages pulled;
        private Flow.Subscription subscription;
        private Object next;

        Pulled(Messages pulled) {
            this.pulled = pulled;
        }

        Pulled(StreamRequest request) {
            this.pulled = null;
            request.publisher().subscribe(this);
        }

        boolean hasNext() throws InterruptedException {
            if (pulled != null) {
                return pulled.hasNext();
            }
            subscription.request(1);
            next = pushed.take();
            if (next instanceof RuntimeException failed) {
                throw failed;
            }
            return next != END;
        }

        Message next() {
            return pulled != null ? pulled.next() : (Message) next;
        }

        @Override
        public void close() {
            if (pulled != null) {
                pulled.close();
            } else {
                subscription.cancel();
                pushed.add(END);
            }
        }

        @Override
        public void onSubscribe(Flow.Subscription subscription) {
            this.subscription = subscription;
        }

        @Override
        public void onNext(Message message) {
            pushed.add(message);
        }

        @Override
        public void onError(Throwable failed) {
            pushed.add(failed);
        }

        @Override
        public void onComplete() {
            pushed.add(END);
        }
    }

    /** Many streams at once, one message of each. */
    private void many(Client client) throws IOException {
        List<Messages> all = new ArrayList<>();
        int records = 0;
        try {
            for (int i = 0; i < number("streams"); i++) {
                Messages messages = request(client).open();
                all.add(messages);
                records += messages.next().records().size();
            }
            say("streams", records);
        } finally {
            all.forEach(Messages::close);
        }
    }

    private void watch(Client client) {
        int messages = 0;
        try (Watch watch = client.watchShards(text("stream"))) {
            for (WatchShardsResponse told : watch) {
                var shards = told.getShardsList().stream().map(one -> one.getShard().getShardId());
                say("watched", shards.toList(), "removed", told.getRemovedShardIdsList());
                messages++;
                if (messages == number("take")) {
                    say("left", true);
                    return;
                }
            }
        }
        say("ended", true);
    }

    private void unary(Client client) {
        String stream = text("stream");
        String shard = text("shard");
        switch (text("call")) {
            case "server_info" -> {
                var info = client.serverInfo();
                say("version", info.getVersion(), "features", info.getFeaturesList());
            }
            case "list_streams" ->
                    client.listStreams(text("table"))
                            .forEach(one -> say("row", one.getStreamArn()));
            case "list_shards" ->
                    client.listShards(stream).forEach(one -> say("row", one.getShardId()));
            case "describe_stream" -> {
                var found = client.describeStream(stream);
                say("description", found.getStreamArn(), "status", found.getStatusValue());
            }
            case "list_children" -> {
                var found = client.listChildren(stream, shard);
                say("children", ids(found.getChildrenList()), "complete", found.getComplete());
            }
            case "walk_tree" -> {
                for (WalkTreeResponse row : client.walkTree(stream, shard)) {
                    say("depth", row.getDepth(), "shard", row.getShard().getShardId());
                }
            }
            case "get_records" -> {
                var policy =
                        text("on_unreadable").equals("continue")
                                ? UnreadablePolicy.UNREADABLE_POLICY_SKIP
                                : UnreadablePolicy.UNREADABLE_POLICY_FAIL;
                Start start = start(asked.get("start"));
                tell(client.getRecords(stream, shard, start, r -> r.setUnreadablePolicy(policy)));
            }
            default -> throw new IllegalArgumentException(text("call"));
        }
    }

    private void session(Client client) throws Exception {
        JsonElement at = asked.get("start");
        String stream = text("stream");
        String shard = text("shard");
        try (Session session =
                at == null
                        ? client.openShard(stream, shard)
                        : client.openShard(stream, shard, start(at))) {
            for (JsonElement step : asked.getAsJsonArray("steps")) {
                if (step.isJsonObject()) {
                    JsonObject move = step.getAsJsonObject();
                    if (move.has("jump")) {
                        session.jump(start(move.get("jump")));
                    } else {
                        tell(session.seek(Instant.parse(move.get("seek").getAsString())));
                    }
                    continue;
                }
                switch (step.getAsString()) {
                    case "read" -> tell(session.read());
                    case "renew" -> session.renew();
                    default -> follow(choose(session.stream()));
                }
            }
        }
    }

    private static void tell(Batch batch) {
        batch.records().forEach(Conformance::tell);
        batch.unreadable().forEach(one -> say(line(one)));
        boolean atTip = batch.atTip();
        say("batch", map("token", batch.token(), "exhausted", batch.exhausted(), "at_tip", atTip));
    }

    private static void tell(StreamRecord record) {
        say("record", line(record));
    }

    private static Map<String, Object> line(StreamRecord record) {
        List<String> changed =
                record.changed().map(c -> c.keySet().stream().sorted().toList()).orElse(null);
        return map(
                "shard", record.shardId(),
                "sequence", record.sequenceNumber(),
                "type", record.type(),
                "id", record.id(),
                "key", image(Optional.of(record.key())),
                "new", image(record.newImage()),
                "old", image(record.oldImage()),
                "changed", changed);
    }

    /** Native values in DynamoDB's JSON: there and back, to show that nothing is lost. */
    private static Object image(Optional<Map<String, Object>> values) {
        return values.map(image -> typed(Values.attributes(image))).orElse(null);
    }

    private static Map<String, Object> typed(Map<String, AttributeValue> attributes) {
        Map<String, Object> typed = new LinkedHashMap<>();
        attributes.forEach((name, value) -> typed.put(name, typed(value)));
        return typed;
    }

    private static Object typed(AttributeValue raw) {
        return switch (raw.getValueCase()) {
            case S -> map("S", raw.getS());
            case N -> map("N", raw.getN());
            case B -> map("B", base64(raw.getB()));
            case SS -> map("SS", raw.getSs().getValuesList().stream().sorted().toList());
            case NS -> map("NS", raw.getNs().getValuesList().stream().sorted().toList());
            case BS ->
                    map(
                            "BS",
                            raw.getBs().getValuesList().stream()
                                    .map(Conformance::base64)
                                    .sorted()
                                    .toList());
            case M -> map("M", typed(raw.getM().getEntriesMap()));
            case L ->
                    map("L", raw.getL().getValuesList().stream().map(Conformance::typed).toList());
            case NULL_VALUE -> map("NULL", raw.getNullValue());
            case BOOL_VALUE -> map("BOOL", raw.getBoolValue());
            case VALUE_NOT_SET -> map("unknown", base64(raw.toByteString()));
        };
    }

    private static String base64(ByteString bytes) {
        return Base64.getEncoder().encodeToString(bytes.toByteArray());
    }

    private static Object[] line(Event event) {
        if (event instanceof Event.Gap gap) {
            var said =
                    map(
                            "shard", gap.shardId(),
                            "cause", gap.cause(),
                            "certain", gap.certain(),
                            "after", gap.afterSequenceNumber(),
                            "before", gap.beforeSequenceNumber());
            return new Object[] {"gap", said};
        } else if (event instanceof Event.Unreadable one) {
            var said =
                    map(
                            "shard", one.shardId(),
                            "sequence", one.sequenceNumber(),
                            "after", one.afterSequenceNumber(),
                            "cause", one.cause());
            return new Object[] {"unreadable", said};
        } else if (event instanceof Event.ShardOpen open) {
            return new Object[] {"shard_open", open.shard().getShardId()};
        } else if (event instanceof Event.ShardEnd end) {
            return new Object[] {"shard_end", end.shardId(), "children", ids(end.children())};
        } else if (event instanceof Event.StreamEnd end) {
            return new Object[] {"stream_end", end.streamArn(), "next", end.nextStreamArn()};
        }
        var beat = (Event.Heartbeat) event;
        return new Object[] {
            "heartbeat", map("at_tip", beat.atTip(), "upstream_error", beat.upstreamError())
        };
    }

    private static List<String> ids(List<Shard> shards) {
        return shards.stream().map(Shard::getShardId).toList();
    }

    private static void tell(ShardstreamException failed) {
        say("error", line(failed));
    }

    private static Map<String, Object> line(ShardstreamException failed) {
        JsonArray losses = new JsonArray();
        failed.losses().forEach(loss -> losses.add(GSON.toJsonTree(map(line(loss)))));
        return map(
                "kind", failed.getClass().getSimpleName(),
                "code", failed.code().name(),
                "reason", failed.reason(),
                "token", failed.token(),
                "losses", losses,
                "metadata", failed.metadata());
    }
}
