import com.amazonaws.services.dynamodbv2.streamsadapter.AmazonDynamoDBStreamsAdapterClient;
import com.amazonaws.services.dynamodbv2.streamsadapter.StreamsSchedulerFactory;
import com.amazonaws.services.dynamodbv2.streamsadapter.model.DynamoDBStreamsProcessRecordsInput;
import com.amazonaws.services.dynamodbv2.streamsadapter.polling.DynamoDBStreamsPollingConfig;
import com.amazonaws.services.dynamodbv2.streamsadapter.processor.DynamoDBStreamsShardRecordProcessor;
import com.sun.management.OperatingSystemMXBean;
import java.io.BufferedWriter;
import java.lang.management.ManagementFactory;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.LongAdder;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.core.SdkRequest;
import software.amazon.awssdk.core.SdkResponse;
import software.amazon.awssdk.core.interceptor.Context;
import software.amazon.awssdk.core.interceptor.ExecutionAttributes;
import software.amazon.awssdk.core.interceptor.ExecutionInterceptor;
import software.amazon.awssdk.core.interceptor.SdkExecutionAttribute;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.cloudwatch.CloudWatchAsyncClient;
import software.amazon.awssdk.services.dynamodb.DynamoDbAsyncClient;
import software.amazon.awssdk.services.dynamodb.model.DescribeStreamRequest;
import software.amazon.awssdk.services.dynamodb.model.DescribeStreamResponse;
import software.amazon.awssdk.services.dynamodb.model.GetShardIteratorRequest;
import software.amazon.awssdk.services.dynamodb.model.Shard;
import software.amazon.awssdk.services.dynamodb.streams.DynamoDbStreamsClient;
import software.amazon.kinesis.common.ConfigsBuilder;
import software.amazon.kinesis.common.InitialPositionInStream;
import software.amazon.kinesis.common.InitialPositionInStreamExtended;
import software.amazon.kinesis.common.StreamConfig;
import software.amazon.kinesis.coordinator.CoordinatorConfig;
import software.amazon.kinesis.coordinator.Scheduler;
import software.amazon.kinesis.leases.LeaseManagementConfig;
import software.amazon.kinesis.leases.dynamodb.DynamoDBLeaseSerializer;
import software.amazon.kinesis.lifecycle.events.InitializationInput;
import software.amazon.kinesis.lifecycle.events.LeaseLostInput;
import software.amazon.kinesis.lifecycle.events.ShardEndedInput;
import software.amazon.kinesis.lifecycle.events.ShutdownRequestedInput;
import software.amazon.kinesis.metrics.NullMetricsFactory;
import software.amazon.kinesis.retrieval.RetrievalConfig;

/** Reads one DynamoDB stream to a known count with KCL and the adapter, and tells what came, in which order and when. */
public final class KclWitness {
    private static final class Seen {
        String newest;
        long records, disorder, opened, first = -1, last = -1, ended = -1;
    }

    private final Map<String, String> options = new HashMap<>();
    private final Map<String, Seen> shards = new LinkedHashMap<>();
    private final Set<String> distinct = new HashSet<>();
    private final List<String> errors = new ArrayList<>();
    private final CountDownLatch complete = new CountDownLatch(1);
    private final OperatingSystemMXBean os = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
    private long start, total, bytes, cpuStart, cpuFirst, cpuHalf, cpuLast, wallFirst, wallHalf, wallLast, halfAt;
    private int batches;
    private long expect;
    private boolean keep;
    private BufferedWriter order;

    public static void main(String[] args) throws Exception {
        var jul = java.util.logging.Logger.getLogger("");   // the adapter's shard syncer logs past SLF4J
        jul.setLevel(java.util.logging.Level.parse(System.getProperty("jul", "SEVERE")));
        for (var handler : jul.getHandlers()) {
            handler.setLevel(jul.getLevel());
        }
        KclWitness witness = new KclWitness();
        for (int i = 0; i + 1 < args.length; i += 2) {
            witness.options.put(args[i].replaceFirst("^--", ""), args[i + 1]);
        }
        witness.run();
    }

    private String option(String name, String otherwise) {
        String value = options.getOrDefault(name, otherwise);
        if (value == null) {
            throw new IllegalArgumentException("--" + name + " is missing");
        }
        return value;
    }

    private long number(String name, long otherwise) {
        return Long.parseLong(option(name, Long.toString(otherwise)));
    }

    private long now() {
        return (System.nanoTime() - start) / 1_000_000;
    }

    /** Counts the calls of a client by operation. */
    private static final class Calls implements ExecutionInterceptor {
        final Map<String, LongAdder> by = new ConcurrentHashMap<>();

        @Override
        public void beforeExecution(Context.BeforeExecution context, ExecutionAttributes attributes) {
            String name = attributes.getAttribute(SdkExecutionAttribute.OPERATION_NAME);
            by.computeIfAbsent(name, k -> new LongAdder()).increment();
        }

        @Override
        public void onExecutionFailure(Context.FailedExecution context, ExecutionAttributes attributes) {
            String name = attributes.getAttribute(SdkExecutionAttribute.OPERATION_NAME);
            String kind = name + "!" + context.exception().getClass().getSimpleName();
            by.computeIfAbsent(kind, k -> new LongAdder()).increment();
        }
    }

    /**
     * The adapter takes only ARNs of regions the SDK knows and shards with a first sequence number, and leaves a shard that
     * ends without a child unread: an emulator may have none of these.
     */
    private static final class Alias implements ExecutionInterceptor {
        final String alias, real;
        final boolean openLeaves;

        Alias(String alias, String real, boolean openLeaves) {
            this.alias = alias;
            this.real = real;
            this.openLeaves = openLeaves;
        }

        @Override
        public SdkRequest modifyRequest(Context.ModifyRequest context, ExecutionAttributes attributes) {
            SdkRequest request = context.request();
            if (request instanceof DescribeStreamRequest) {
                DescribeStreamRequest r = (DescribeStreamRequest) request;
                return r.streamArn().equals(alias) ? r.toBuilder().streamArn(real).build() : r;
            }
            if (request instanceof GetShardIteratorRequest) {
                GetShardIteratorRequest r = (GetShardIteratorRequest) request;
                return r.streamArn().equals(alias) ? r.toBuilder().streamArn(real).build() : r;
            }
            return request;
        }

        @Override
        public SdkResponse modifyResponse(Context.ModifyResponse context, ExecutionAttributes attributes) {
            if (!(context.response() instanceof DescribeStreamResponse)) {
                return context.response();
            }
            DescribeStreamResponse r = (DescribeStreamResponse) context.response();
            List<Shard> fixed = new ArrayList<>();
            Set<String> parents = new HashSet<>();
            r.streamDescription().shards().forEach(s -> parents.add(s.parentShardId()));
            for (Shard s : r.streamDescription().shards()) {
                var range = s.sequenceNumberRange();
                String from = range == null ? null : range.startingSequenceNumber();
                String to = range == null || openLeaves && !parents.contains(s.shardId()) ? null : range.endingSequenceNumber();
                fixed.add(s.toBuilder().sequenceNumberRange(b -> b.startingSequenceNumber(from == null ? "1" : from).endingSequenceNumber(to)).build());
            }
            return r.toBuilder().streamDescription(r.streamDescription().toBuilder().streamArn(alias).shards(fixed).build()).build();
        }
    }

    private final class Processor implements DynamoDBStreamsShardRecordProcessor {
        private String shard;

        @Override
        public void initialize(InitializationInput input) {
            shard = input.shardId();
            synchronized (KclWitness.this) {
                shards.computeIfAbsent(shard, k -> new Seen()).opened = now();
            }
        }

        @Override
        public void processRecords(DynamoDBStreamsProcessRecordsInput input) {
            synchronized (KclWitness.this) {
                Seen seen = shards.get(shard);
                long at = now();
                batches++;
                for (var record : input.records()) {
                    if (seen.first < 0) {
                        seen.first = at;
                    }
                    seen.last = at;
                    total++;
                    if (total == 1) {
                        cpuFirst = os.getProcessCpuTime();
                        wallFirst = at;
                    }
                    var model = record.getRecord().dynamodb();
                    bytes += model.sizeBytes() == null ? 0 : model.sizeBytes();
                    String sequence = model.sequenceNumber();
                    seen.records++;
                    seen.disorder += seen.newest != null && !below(seen.newest, sequence) ? 1 : 0;
                    seen.newest = sequence;
                    if (keep) {
                        distinct.add(shard + " " + sequence);
                    }
                    try {
                        if (order != null) {
                            order.write(shard + " " + sequence + "\n");
                        }
                    } catch (Exception e) {
                        errors.add(e.toString());
                    }
                }
                if (halfAt == 0 && total >= expect / 2) {
                    halfAt = total;
                    cpuHalf = os.getProcessCpuTime();
                    wallHalf = at;
                }
                if ((keep ? distinct.size() : total) >= expect && wallLast == 0) {
                    cpuLast = os.getProcessCpuTime();
                    wallLast = at;
                    complete.countDown();
                }
            }
            try {
                // What is checkpointed has to be on disk before, or a killed witness would have seen less than it says.
                synchronized (KclWitness.this) {
                    if (order != null) {
                        order.flush();
                    }
                }
            } catch (Exception e) {
                fail("order", e);
            }
            if (option("checkpoint", "batch").equals("batch")) {
                try {
                    input.checkpointer().checkpoint();
                } catch (Exception e) {
                    fail("checkpoint", e);
                }
            }
        }

        @Override
        public void leaseLost(LeaseLostInput input) {
            fail("lease lost", null);
        }

        @Override
        public void shardEnded(ShardEndedInput input) {
            synchronized (KclWitness.this) {
                shards.get(shard).ended = now();
            }
            try {
                input.checkpointer().checkpoint();
            } catch (Exception e) {
                fail("checkpoint at the end", e);
            }
        }

        @Override
        public void shutdownRequested(ShutdownRequestedInput input) {
            try {
                input.checkpointer().checkpoint();
            } catch (Exception e) {
                fail("checkpoint at shutdown", e);
            }
        }

        private void fail(String what, Exception e) {
            synchronized (KclWitness.this) {
                errors.add(shard + ": " + what + (e == null ? "" : ": " + e));
            }
        }
    }

    private void run() throws Exception {
        String real = option("arn", null);
        expect = number("expect", 1);
        keep = option("keep", "yes").equals("yes");
        String[] parts = real.split(":", 6);
        Region region = Region.of(option("region", "us-east-1"));
        parts[3] = region.id();
        String alias = String.join(":", parts);
        String app = option("app", "kclwitness" + ProcessHandle.current().pid());
        if (options.containsKey("order")) {
            order = Files.newBufferedWriter(Path.of(options.get("order")));
        }
        var credentials = StaticCredentialsProvider.create(AwsBasicCredentials.create("local", "local"));
        Calls leaseCalls = new Calls(), streamCalls = new Calls();
        DynamoDbAsyncClient leases = DynamoDbAsyncClient.builder().endpointOverride(URI.create(option("leases", null)))
                .region(region).credentialsProvider(credentials).overrideConfiguration(o -> o.addExecutionInterceptor(leaseCalls)).build();
        DynamoDbStreamsClient streams = DynamoDbStreamsClient.builder().endpointOverride(URI.create(option("streams", null)))
                .region(region).credentialsProvider(credentials)
                .overrideConfiguration(o -> o.addExecutionInterceptor(streamCalls).addExecutionInterceptor(new Alias(alias, real, option("open-leaves", "no").equals("yes")))).build();
        CloudWatchAsyncClient unused = CloudWatchAsyncClient.builder().endpointOverride(URI.create("http://127.0.0.1:9"))
                .region(region).credentialsProvider(credentials).build();
        AmazonDynamoDBStreamsAdapterClient adapter = new AmazonDynamoDBStreamsAdapterClient(streams, region);

        start = System.nanoTime();
        cpuStart = os.getProcessCpuTime();
        ConfigsBuilder configs = new ConfigsBuilder(
                StreamsSchedulerFactory.createSingleStreamTracker(alias,
                        InitialPositionInStreamExtended.newInitialPosition(InitialPositionInStream.TRIM_HORIZON)),
                app, adapter, leases, unused, "witness", Processor::new);

        RetrievalConfig retrieval = configs.retrievalConfig();
        DynamoDBStreamsPollingConfig polling = new DynamoDBStreamsPollingConfig(adapter);
        polling.idleTimeBetweenReadsInMillis(number("idle-ms", 10));
        polling.maxRecords(1000);
        retrieval.retrievalSpecificConfig(polling);

        LeaseManagementConfig lease = configs.leaseManagementConfig();
        lease.failoverTimeMillis(number("failover-ms", 10000));
        lease.leaseAssignmentIntervalMillis(number("assign-ms", 100));
        lease.shardSyncIntervalMillis(number("shard-sync-ms", 0));
        lease.leasesRecoveryAuditorExecutionFrequencyMillis(number("audit-ms", 1000));
        lease.leasesRecoveryAuditorInconsistencyConfidenceThreshold(0);
        lease.workerUtilizationAwareAssignmentConfig().disableWorkerMetrics(true);
        lease.workerUtilizationAwareAssignmentConfig().inMemoryWorkerMetricsCaptureFrequencyMillis(number("capture-ms", 50));
        lease.consistentReads(true);

        CoordinatorConfig coordinator = configs.coordinatorConfig();
        coordinator.parentShardPollIntervalMillis(number("parent-poll-ms", 20));
        coordinator.shardConsumerDispatchPollIntervalMillis(number("dispatch-ms", 20));
        coordinator.skipShardSyncAtWorkerInitializationIfLeasesExist(true);
        coordinator.schedulerInitializationBackoffTimeMillis(200);
        if (option("mode", "3x").equals("2x")) {
            coordinator.clientVersionConfig(CoordinatorConfig.ClientVersionConfig.CLIENT_VERSION_CONFIG_COMPATIBLE_WITH_2X);
        }
        Scheduler scheduler = StreamsSchedulerFactory.createScheduler(configs.checkpointConfig(), coordinator, lease,
                configs.lifecycleConfig().taskBackoffTimeMillis(100), configs.metricsConfig().metricsFactory(new NullMetricsFactory()),
                configs.processorConfig(), retrieval, adapter);
        if (option("presync", "yes").equals("yes")) {
            // with an empty lease table the scheduler first waits a random 1 to 30 s for other workers
            scheduler.leaseCoordinator().initialize();
            StreamConfig stream = scheduler.currentStreamConfigMap().values().iterator().next();
            var result = lease.leaseManagementFactory(new DynamoDBLeaseSerializer(), false)
                    .createShardSyncTaskManager(new NullMetricsFactory(), stream, null).callShardSyncTask();
            if (result.getException() != null) {
                throw result.getException();
            }
        }
        Thread runner = new Thread(scheduler, "scheduler");
        runner.setDaemon(true);
        runner.start();

        boolean done = complete.await(number("seconds", 60), TimeUnit.SECONDS);
        Thread.sleep(number("linger-ms", 300));
        String summary;
        synchronized (this) {
            if (order != null) {
                order.close();
                order = null;
            }
            summary = summary(done, parents(streams, alias), leaseCalls, streamCalls);
        }
        System.out.println(summary);
        System.out.flush();
        if (option("graceful", "no").equals("yes")) {
            long before = now();
            try {
                scheduler.startGracefulShutdown().get(20, TimeUnit.SECONDS);
                System.out.println("shutdown_ms " + (now() - before));
            } catch (Exception e) {
                System.out.println("shutdown failed: " + e);
            }
        }
        System.out.flush();
        Runtime.getRuntime().halt(done ? 0 : 1);
    }

    private static Map<String, String> parents(DynamoDbStreamsClient streams, String alias) {
        Map<String, String> parents = new HashMap<>();
        String after = null;
        do {
            String from = after;
            var page = streams.describeStream(b -> b.streamArn(alias).exclusiveStartShardId(from)).streamDescription();
            page.shards().forEach(s -> parents.put(s.shardId(), s.parentShardId()));
            after = page.lastEvaluatedShardId();
        } while (after != null);
        return parents;
    }

    private String summary(boolean done, Map<String, String> parents, Calls leases, Calls streams) {
        StringBuilder out = new StringBuilder();
        long disorder = 0, early = 0;
        List<Long> handovers = new ArrayList<>(), closings = new ArrayList<>();
        for (var entry : shards.entrySet()) {
            Seen seen = entry.getValue();
            disorder += seen.disorder;
            String id = parents.get(entry.getKey());
            Seen parent = id == null ? null : shards.get(id);
            if (seen.first >= 0 && id != null && parents.containsKey(id)) {
                if (parent == null || parent.ended < 0 || seen.first < parent.last) {
                    early++;
                } else {
                    handovers.add(seen.first - parent.ended);
                    closings.add(seen.first - Math.max(parent.last, parent.opened));
                }
            }
            if (number("shards", 0) > 0) {
                out.append(String.format("shard %s parent %s records %d opened %d first %d last %d ended %d%n", entry.getKey(), id,
                        seen.records, seen.opened, seen.first, seen.last, seen.ended));
            }
        }
        long second = total - halfAt;
        out.append(String.format("complete %s records %d distinct %d expected %d shards %d disorder %d child_before_parent %d errors %d%n",
                done, total, keep ? distinct.size() : -1, expect, shards.size(), disorder, early, errors.size()));
        out.append(String.format("first_ms %d last_ms %d batches %d bytes %d records_per_s %.0f%n", wallFirst, wallLast, batches, bytes,
                wallLast > wallFirst ? 1000.0 * total / (wallLast - wallFirst) : 0));
        out.append(String.format("cpu_ms before_first %d first_to_last %d us_per_record %.2f second_half_us_per_record %.2f second_half_records_per_s %.0f%n",
                (cpuFirst - cpuStart) / 1_000_000, (cpuLast - cpuFirst) / 1_000_000,
                total > 0 ? (cpuLast - cpuFirst) / 1e3 / total : 0, second > 0 ? (cpuLast - cpuHalf) / 1e3 / second : 0,
                wallLast > wallHalf ? 1000.0 * second / (wallLast - wallHalf) : 0));
        out.append("parent_ended_to_child_first_ms ").append(spread(handovers)).append('\n');
        out.append("parent_last_record_to_child_first_ms ").append(spread(closings)).append('\n');
        out.append("lease_calls ").append(new TreeMap<>(leases.by)).append('\n');
        out.append("stream_calls ").append(new TreeMap<>(streams.by)).append('\n');
        errors.stream().limit(5).forEach(e -> out.append("error ").append(e).append('\n'));
        return out.toString().stripTrailing();
    }

    /** Sequence numbers are numbers of up to 40 digits without leading zeros. */
    private static boolean below(String a, String b) {
        return a.length() != b.length() ? a.length() < b.length() : a.compareTo(b) < 0;
    }

    private static String spread(List<Long> values) {
        if (values.isEmpty()) {
            return "none";
        }
        List<Long> v = new ArrayList<>(values);
        v.sort(null);
        return String.format("n %d min %d median %d max %d", v.size(), v.get(0), v.get(v.size() / 2), v.get(v.size() - 1));
    }
}
