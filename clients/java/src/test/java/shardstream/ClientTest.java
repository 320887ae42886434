package shardstream;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;

import io.grpc.Context;
import io.grpc.Contexts;
import io.grpc.Grpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.Status;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

import shardstream.v1.ChangeRecord;
import shardstream.v1.Meta;
import shardstream.v1.StreamServiceGrpc;
import shardstream.v1.SubscribeRequest;
import shardstream.v1.SubscribeResponse;

import software.amazon.awssdk.services.dynamodb.DynamoDbClient;
import software.amazon.awssdk.services.dynamodb.model.AttributeValue;
import software.amazon.awssdk.services.dynamodb.model.GetItemRequest;
import software.amazon.awssdk.services.dynamodb.model.GetItemResponse;
import software.amazon.awssdk.services.dynamodb.model.UpdateItemRequest;
import software.amazon.awssdk.services.dynamodb.model.UpdateItemResponse;

import java.io.IOException;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Flow;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BiConsumer;
import java.util.function.Consumer;

/** What the conformance suite does not show. */
@Timeout(30)
class ClientTest {
    private static final Context.Key<String> BEARER = Context.key("bearer");

    private Server server;
    private Client client;

    @TempDir Path folder;

    @AfterEach
    void stop() {
        if (client != null) {
            client.close();
        }
        if (server != null) {
            server.shutdownNow();
        }
    }

    /** A client of a server whose Subscribe is the function. */
    private void serve(
            BiConsumer<SubscribeRequest, ServerCallStreamObserver<SubscribeResponse>> subscribe,
            Consumer<Client.Builder> choices)
            throws IOException {
        server =
                Grpc.newServerBuilderForPort(0, InsecureServerCredentials.create())
                        .intercept(new Headers())
                        .addService(
                                new StreamServiceGrpc.StreamServiceImplBase() {
                                    @Override
                                    public void subscribe(
                                            SubscribeRequest request,
                                            StreamObserver<SubscribeResponse> to) {
                                        subscribe.accept(
                                                request,
                                                (ServerCallStreamObserver<SubscribeResponse>) to);
                                    }
                                })
                        .build()
                        .start();
        Client.Builder builder = Client.builder("localhost:" + server.getPort());
        choices.accept(builder);
        client = builder.build();
    }

    private static final class Headers implements ServerInterceptor {
        @Override
        public <Q, A> ServerCall.Listener<Q> interceptCall(
                ServerCall<Q, A> call, Metadata headers, ServerCallHandler<Q, A> next) {
            var key = Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);
            Context context = Context.current().withValue(BEARER, headers.get(key));
            return Contexts.interceptCall(context, call, headers, next);
        }
    }

    private static SubscribeResponse records(
            String shard, String token, String shardToken, int... numbers) {
        SubscribeResponse.Builder message =
                SubscribeResponse.newBuilder().setShardId(shard).setToken(token);
        message.setShardToken(shardToken);
        for (int number : numbers) {
            Meta.Builder meta = Meta.newBuilder().setSequenceNumber(String.valueOf(number));
            message.addRecords(ChangeRecord.newBuilder().setMeta(meta));
        }
        return message.build();
    }

    private static void six(StreamObserver<SubscribeResponse> to) {
        to.onNext(records("a", "", "a1", 1));
        to.onNext(records("a", "t1", "a2", 2));
        to.onNext(records("b", "", "b1", 1));
        to.onNext(records("a", "", "a3", 3));
        to.onNext(records("b", "", "b2", 2));
        to.onNext(records("a", "t2", "a4", 4));
    }

    @Test
    void positionsGoOnBehindTheirMessage() throws IOException {
        serve(
                (request, to) -> {
                    six(to);
                    to.onCompleted();
                },
                builder -> {});
        TokenStore store = TokenStore.inMemory();
        List<String> positions = new ArrayList<>();
        List<String> kept = new ArrayList<>();
        try (Messages messages = client.subscribe("orders").store(store).open()) {
            for (Message message : messages) {
                positions.add(message.position());
                kept.add(store.load());
            }
        }
        assertEquals(List.of("", "t1", "t1 b1", "t1 b1 a3", "t1 b2 a3", "t2"), positions);
        // The store is one message behind, always.
        assertEquals(List.of("", "", "t1", "t1 b1", "t1 b1 a3", "t1 b2 a3"), kept);
        assertEquals("t2", store.load());
    }

    @Test
    void askingTwiceWhetherThereIsMoreIsAskingOnce() throws IOException {
        serve(
                (request, to) -> {
                    six(to);
                    to.onCompleted();
                },
                builder -> {});
        TokenStore store = TokenStore.inMemory();
        try (Messages messages = client.subscribe("orders").store(store).open()) {
            messages.next();
            messages.next();
            assertTrue(messages.hasNext() && messages.hasNext());
            assertEquals("b", messages.next().shardId());
            assertEquals("t1", store.load());
        }
        // Leaving in the midst of a message is not being done with it.
        assertEquals("t1", store.load());
    }

    @Test
    void whatIsDoneIsStoredEvenIfTheStreamWasClosedMeanwhile() throws IOException {
        serve((request, to) -> six(to), builder -> {});
        TokenStore store = TokenStore.inMemory();
        Messages messages = client.subscribe("orders").store(store).open();
        messages.next();
        messages.next();
        messages.close();
        assertFalse(messages.hasNext());
        assertEquals("t1", store.load());
    }

    @Test
    void aRefusedTokenIsFetchedOnceForAllStreams() throws Exception {
        int streams = 50;
        CountDownLatch all = new CountDownLatch(streams);
        AtomicInteger fetched = new AtomicInteger();
        serve(
                (request, to) -> {
                    if (BEARER.get().equals("Bearer 1")) {
                        // Every stream is open with the first token before it is refused.
                        all.countDown();
                        new Thread(() -> refuse(all, to)).start();
                    } else {
                        to.onNext(records("a", "t1", "", 1));
                        to.onCompleted();
                    }
                },
                builder -> builder.credentials(() -> "" + fetched.incrementAndGet()));
        List<Thread> threads = new ArrayList<>();
        AtomicInteger records = new AtomicInteger();
        for (int i = 0; i < streams; i++) {
            Thread thread =
                    new Thread(
                            () -> {
                                try (Messages messages = client.subscribe("orders").open()) {
                                    messages.forEach(m -> records.addAndGet(m.records().size()));
                                }
                            });
            thread.start();
            threads.add(thread);
        }
        for (Thread thread : threads) {
            thread.join();
        }
        assertEquals(streams, records.get());
        assertEquals(2, fetched.get());
    }

    private static void refuse(CountDownLatch all, StreamObserver<SubscribeResponse> to) {
        try {
            all.await();
        } catch (InterruptedException stopped) {
            Thread.currentThread().interrupt();
        }
        to.onError(Status.UNAUTHENTICATED.asRuntimeException());
    }

    @Test
    void credentialsDoNotTravelInTheOpen() {
        Client.Builder far = Client.builder("db.example.org:50051").token("secret");
        assertThrows(IllegalStateException.class, far::build);
        Client.builder("db.example.org:50051").token("secret").tls().build().close();
        for (String here : List.of("localhost:1", "127.0.0.1:1", "[::1]:1", "dns:///localhost:1")) {
            Client.builder(here).token("secret").build().close();
        }
    }

    @Test
    void anInterruptEndsTheStream() throws Exception {
        CountDownLatch cancelled = new CountDownLatch(1);
        serve(
                (request, to) -> {
                    to.setOnCancelHandler(cancelled::countDown);
                    to.onNext(records("a", "t1", "", 1));
                },
                builder -> {});
        TokenStore store = TokenStore.inMemory();
        try (Messages messages = client.subscribe("orders").store(store).open()) {
            messages.next();
            Thread.currentThread().interrupt();
            assertThrows(CancellationException.class, messages::hasNext);
            assertTrue(Thread.interrupted());
            assertFalse(messages.hasNext());
        }
        cancelled.await();
        // It came back for more, and so was done.
        assertEquals("t1", store.load());
    }

    @Test
    void aStoreThatFailsEndsTheStream() throws IOException {
        serve((request, to) -> six(to), builder -> {});
        TokenStore broken = new FileTokenStore(folder.resolve("missing").resolve("token"));
        try (Messages messages = client.subscribe("orders").store(broken).open()) {
            messages.next();
            messages.next();
            assertThrows(java.io.UncheckedIOException.class, messages::hasNext);
            assertFalse(messages.hasNext());
        }
    }

    @Test
    void aClosedClientSaysSo() throws IOException {
        serve((request, to) -> six(to), builder -> {});
        client.close();
        try (Messages messages = client.subscribe("orders").open()) {
            assertThrows(IllegalStateException.class, messages::hasNext);
        }
        assertThrows(IllegalStateException.class, client::serverInfo);
    }

    /** Takes what comes, and requests nothing by itself. */
    private static final class Taker implements Flow.Subscriber<Message> {
        final LinkedBlockingQueue<Object> got = new LinkedBlockingQueue<>();
        Flow.Subscription subscription;

        @Override
        public void onSubscribe(Flow.Subscription subscription) {
            this.subscription = subscription;
        }

        @Override
        public void onNext(Message message) {
            got.add(message);
        }

        @Override
        public void onError(Throwable failed) {
            got.add(failed);
        }

        @Override
        public void onComplete() {
            got.add("complete");
        }
    }

    @Test
    void aPublisherGivesWhatIsRequestedAndStoresWhatIsDone() throws Exception {
        serve(
                (request, to) -> {
                    six(to);
                    to.onCompleted();
                },
                builder -> {});
        TokenStore store = TokenStore.inMemory();
        Taker taker = new Taker();
        client.subscribe("orders").store(store).publisher().subscribe(taker);
        taker.subscription.request(2);
        taker.got.take();
        assertInstanceOf(Message.class, taker.got.take());
        // Two were requested and came; whether the second is done nobody knows before the third is
        // requested.
        assertEquals("", store.load());
        taker.subscription.request(1);
        assertEquals("b", ((Message) taker.got.take()).shardId());
        assertEquals("t1", store.load());
        assertTrue(taker.got.isEmpty());
        taker.subscription.request(Long.MAX_VALUE);
        taker.subscription.request(Long.MAX_VALUE);
        for (int i = 0; i < 3; i++) {
            assertInstanceOf(Message.class, taker.got.take());
        }
        assertEquals("complete", taker.got.take());
        assertEquals("t2", store.load());
    }

    @Test
    void aPublisherOpensAStreamForEachSubscriberAndEndsWhatIsCancelled() throws Exception {
        CountDownLatch cancelled = new CountDownLatch(1);
        serve(
                (request, to) -> {
                    to.setOnCancelHandler(cancelled::countDown);
                    six(to);
                },
                builder -> {});
        var publisher = client.subscribe("orders").publisher();
        Taker one = new Taker();
        Taker other = new Taker();
        publisher.subscribe(one);
        publisher.subscribe(other);
        one.subscription.request(10);
        other.subscription.request(10);
        for (int i = 0; i < 6; i++) {
            assertInstanceOf(Message.class, one.got.take());
            assertInstanceOf(Message.class, other.got.take());
        }
        one.subscription.cancel();
        cancelled.await();
        assertTrue(one.got.isEmpty());
        other.subscription.request(0);
        assertInstanceOf(IllegalArgumentException.class, other.got.take());
    }

    @Test
    void aPublisherTellsWhatFailed() throws Exception {
        serve((request, to) -> to.onError(Status.NOT_FOUND.asRuntimeException()), builder -> {});
        Taker taker = new Taker();
        client.subscribe("orders").publisher().subscribe(taker);
        taker.subscription.request(1);
        assertInstanceOf(ShardstreamException.NotFound.class, taker.got.take());
        Taker refused = new Taker();
        client.subscribe("orders")
                .publisher(
                        work -> {
                            throw new java.util.concurrent.RejectedExecutionException();
                        })
                .subscribe(refused);
        assertInstanceOf(java.util.concurrent.RejectedExecutionException.class, refused.got.take());
    }

    @Test
    void aFileIsReplacedWhole() throws IOException {
        Path file = folder.resolve("orders.token");
        for (boolean sync : new boolean[] {false, true}) {
            TokenStore store = new FileTokenStore(file, sync);
            store.save("t1 a1");
            assertEquals("t1 a1", new FileTokenStore(file).load());
            store.save("t2");
            assertEquals("t2", store.load());
        }
        try (var files = Files.list(folder)) {
            assertEquals(List.of(file), files.toList());
        }
        assertEquals("", new FileTokenStore(folder.resolve("none")).load());
    }

    @Test
    void anItemOfATableKeepsThePosition() throws IOException {
        Map<String, AttributeValue> item = new HashMap<>();
        DynamoDbClient table =
                new DynamoDbClient() {
                    @Override
                    public GetItemResponse getItem(GetItemRequest request) {
                        assertTrue(request.consistentRead());
                        return GetItemResponse.builder().item(item).build();
                    }

                    @Override
                    public UpdateItemResponse updateItem(UpdateItemRequest request) {
                        assertEquals("SET #p = :p", request.updateExpression());
                        item.put(
                                request.expressionAttributeNames().get("#p"),
                                request.expressionAttributeValues().get(":p"));
                        return UpdateItemResponse.builder().build();
                    }

                    @Override
                    public String serviceName() {
                        return "dynamodb";
                    }

                    @Override
                    public void close() {}
                };
        var key = Map.of("name", AttributeValue.fromS("orders"));
        TokenStore store = new DynamoDbTokenStore(table, "positions", key);
        assertEquals("", store.load());
        store.save("t1 a1");
        assertEquals("t1 a1", store.load());
        assertEquals("t1 a1", item.get("position").s());
    }

    @Test
    void valuesOfJavaBecomeAttributes() {
        Map<String, Object> given = new HashMap<>();
        given.put("int", 7);
        given.put("long", Long.MAX_VALUE);
        given.put("big", new BigInteger("9".repeat(38)));
        given.put("double", 0.5);
        given.put("bytes", new byte[] {1, 2});
        given.put("texts", Set.of("x"));
        given.put("numbers", Set.of(1));
        given.put("binaries", Set.of(ByteString.copyFromUtf8("x")));
        given.put("none", null);
        given.put("list", Arrays.asList(1, null, "x"));
        Map<String, Object> back = Values.of(Values.attributes(given));
        assertEquals(new BigDecimal(7), back.get("int"));
        assertEquals(new BigDecimal(Long.MAX_VALUE), back.get("long"));
        assertEquals(new BigDecimal("9".repeat(38)), back.get("big"));
        assertEquals(new BigDecimal("0.5"), back.get("double"));
        assertEquals(ByteString.copyFrom(new byte[] {1, 2}), back.get("bytes"));
        assertEquals(Set.of("x"), back.get("texts"));
        assertEquals(Set.of(BigDecimal.ONE), back.get("numbers"));
        assertEquals(Set.of(ByteString.copyFromUtf8("x")), back.get("binaries"));
        assertEquals(Arrays.asList(BigDecimal.ONE, null, "x"), back.get("list"));
        assertTrue(back.containsKey("none"));
        for (Object none :
                new Object[] {Double.NaN, Float.POSITIVE_INFINITY, new Object(), Set.of()}) {
            assertThrows(IllegalArgumentException.class, () -> Values.attribute(none));
        }
    }
}
