import com.amazonaws.services.dynamodbv2.streamsadapter.AmazonDynamoDBStreamsAdapterClient;
import com.amazonaws.services.dynamodbv2.streamsadapter.StreamsSchedulerFactory;
import com.amazonaws.services.dynamodbv2.streamsadapter.model.DynamoDBStreamsProcessRecordsInput;
import com.amazonaws.services.dynamodbv2.streamsadapter.polling.DynamoDBStreamsPollingConfig;
import com.amazonaws.services.dynamodbv2.streamsadapter.processor.DynamoDBStreamsShardRecordProcessor;

import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.core.SdkRequest;
import software.amazon.awssdk.core.SdkResponse;
import software.amazon.awssdk.core.interceptor.Context;
import software.amazon.awssdk.core.interceptor.ExecutionAttributes;
import software.amazon.awssdk.core.interceptor.ExecutionInterceptor;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.cloudwatch.CloudWatchAsyncClient;
import software.amazon.awssdk.services.dynamodb.DynamoDbAsyncClient;
import software.amazon.awssdk.services.dynamodb.model.DescribeStreamRequest;
import software.amazon.awssdk.services.dynamodb.model.DescribeStreamResponse;
import software.amazon.awssdk.services.dynamodb.model.GetShardIteratorRequest;
import software.amazon.awssdk.services.dynamodb.streams.DynamoDbStreamsClient;
import software.amazon.kinesis.common.ConfigsBuilder;
import software.amazon.kinesis.common.InitialPositionInStream;
import software.amazon.kinesis.common.InitialPositionInStreamExtended;
import software.amazon.kinesis.coordinator.Scheduler;
import software.amazon.kinesis.leases.dynamodb.DynamoDBLeaseSerializer;
import software.amazon.kinesis.lifecycle.events.InitializationInput;
import software.amazon.kinesis.lifecycle.events.LeaseLostInput;
import software.amazon.kinesis.lifecycle.events.ShardEndedInput;
import software.amazon.kinesis.lifecycle.events.ShutdownRequestedInput;
import software.amazon.kinesis.metrics.NullMetricsFactory;

import java.io.IOException;
import java.net.URI;
import java.util.UUID;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.logging.Level;
import java.util.logging.Logger;

/**
 * Reads a table's stream by the KCL with AWS's adapter. Each time is a new application; what is
 * counted begins with its first records and ends with its last, so that leases and waiting are left
 * out. It checkpoints nothing.
 */
public final class ByKcl {
    private static final Region REGION = Region.US_EAST_1;
    private static final StaticCredentialsProvider CREDENTIALS =
            StaticCredentialsProvider.create(AwsBasicCredentials.create("x", "x"));

    private final int expected;
    private final AtomicInteger seen = new AtomicInteger();
    private final CountDownLatch all = new CountDownLatch(1);

    private ByKcl(int expected) {
        this.expected = expected;
    }

    public static void main(String[] arguments) throws IOException {
        Logger.getLogger("").setLevel(Level.OFF);
        Reading.measured(arguments, ByKcl::read);
    }

    private static int read(Reading.Place place) {
        try {
            return new ByKcl(place.records()).run(place);
        } catch (Exception failed) {
            throw new IllegalStateException(failed);
        }
    }

    private int run(Reading.Place place) throws Exception {
        URI endpoint = URI.create(place.dynamoDb());
        DynamoDbAsyncClient leases =
                DynamoDbAsyncClient.builder()
                        .endpointOverride(endpoint)
                        .region(REGION)
                        .credentialsProvider(CREDENTIALS)
                        .build();
        CloudWatchAsyncClient unused =
                CloudWatchAsyncClient.builder()
                        .region(REGION)
                        .credentialsProvider(CREDENTIALS)
                        .build();
        DynamoDbStreamsClient plain =
                DynamoDbStreamsClient.builder()
                        .endpointOverride(endpoint)
                        .region(REGION)
                        .credentialsProvider(CREDENTIALS)
                        .build();
        String arn =
                plain.listStreams(r -> r.tableName(place.table())).streams().get(0).streamArn();
        String[] parts = arn.split(":", 6);
        parts[3] = REGION.id();
        String shown = String.join(":", parts);
        DynamoDbStreamsClient streams =
                DynamoDbStreamsClient.builder()
                        .endpointOverride(endpoint)
                        .region(REGION)
                        .credentialsProvider(CREDENTIALS)
                        .overrideConfiguration(
                                o -> o.addExecutionInterceptor(new AsAws(shown, arn)))
                        .build();
        var adapter = new AmazonDynamoDBStreamsAdapterClient(streams, REGION);
        Scheduler scheduler = scheduler(shown, adapter, leases, unused);
        Thread thread = new Thread(scheduler, "scheduler");
        thread.setDaemon(true);
        thread.start();
        if (!all.await(5, TimeUnit.MINUTES)) {
            throw new IllegalStateException(seen + " records");
        }
        Reading.end();
        scheduler.shutdown();
        thread.join();
        return seen.get();
    }

    private Scheduler scheduler(
            String arn,
            AmazonDynamoDBStreamsAdapterClient adapter,
            DynamoDbAsyncClient leases,
            CloudWatchAsyncClient unused)
            throws Exception {
        var oldest =
                InitialPositionInStreamExtended.newInitialPosition(
                        InitialPositionInStream.TRIM_HORIZON);
        var configs =
                new ConfigsBuilder(
                        StreamsSchedulerFactory.createSingleStreamTracker(arn, oldest),
                        "bench-" + UUID.randomUUID(),
                        adapter,
                        leases,
                        unused,
                        "worker",
                        Processor::new);
        var polling = new DynamoDBStreamsPollingConfig(adapter);
        polling.idleTimeBetweenReadsInMillis(10);
        polling.maxRecords(1000);
        var retrieval = configs.retrievalConfig();
        retrieval.retrievalSpecificConfig(polling);
        // What is waited for is not counted, but it is waited for.
        var lease = configs.leaseManagementConfig();
        lease.leaseAssignmentIntervalMillis(2000L);
        lease.shardSyncIntervalMillis(0L);
        lease.workerUtilizationAwareAssignmentConfig().disableWorkerMetrics(true);
        lease.workerUtilizationAwareAssignmentConfig()
                .inMemoryWorkerMetricsCaptureFrequencyMillis(50);
        lease.consistentReads(true);
        var coordinator = configs.coordinatorConfig();
        coordinator.shardConsumerDispatchPollIntervalMillis(20);
        coordinator.skipShardSyncAtWorkerInitializationIfLeasesExist(true);
        coordinator.schedulerInitializationBackoffTimeMillis(200);
        Scheduler scheduler =
                StreamsSchedulerFactory.createScheduler(
                        configs.checkpointConfig(),
                        coordinator,
                        lease,
                        configs.lifecycleConfig(),
                        configs.metricsConfig().metricsFactory(new NullMetricsFactory()),
                        configs.processorConfig(),
                        retrieval,
                        adapter);
        // With an empty lease table the scheduler first waits for other workers, half a minute at
        // most.
        scheduler.leaseCoordinator().initialize();
        var stream = scheduler.currentStreamConfigMap().values().iterator().next();
        var result =
                lease.leaseManagementFactory(new DynamoDBLeaseSerializer(), false)
                        .createShardSyncTaskManager(new NullMetricsFactory(), stream, null)
                        .callShardSyncTask();
        if (result.getException() != null) {
            throw result.getException();
        }
        return scheduler;
    }

    private final class Processor implements DynamoDBStreamsShardRecordProcessor {
        @Override
        public void processRecords(DynamoDBStreamsProcessRecordsInput input) {
            if (seen.get() == 0 && !input.records().isEmpty()) {
                Reading.begin();
            }
            input.records().forEach(record -> SdkValues.take(record.getRecord()));
            if (seen.addAndGet(input.records().size()) >= expected) {
                all.countDown();
            }
        }

        @Override
        public void initialize(InitializationInput input) {}

        @Override
        public void leaseLost(LeaseLostInput input) {}

        @Override
        public void shardEnded(ShardEndedInput input) {
            try {
                input.checkpointer().checkpoint();
            } catch (Exception failed) {
                throw new IllegalStateException(failed);
            }
        }

        @Override
        public void shutdownRequested(ShutdownRequestedInput input) {}
    }

    /**
     * The adapter takes only ARNs of AWS's regions and shards that begin somewhere, and leaves a
     * closed shard without children unread: the embedded DynamoDB has none of these.
     */
    private record AsAws(String shown, String arn) implements ExecutionInterceptor {
        @Override
        public SdkRequest modifyRequest(Context.ModifyRequest context, ExecutionAttributes unused) {
            if (context.request() instanceof DescribeStreamRequest asked) {
                return asked.toBuilder().streamArn(arn).build();
            } else if (context.request() instanceof GetShardIteratorRequest asked) {
                return asked.toBuilder().streamArn(arn).build();
            }
            return context.request();
        }

        @Override
        public SdkResponse modifyResponse(
                Context.ModifyResponse context, ExecutionAttributes unused) {
            if (!(context.response() instanceof DescribeStreamResponse said)) {
                return context.response();
            }
            var shards =
                    said.streamDescription().shards().stream()
                            .map(
                                    shard ->
                                            shard.toBuilder()
                                                    .sequenceNumberRange(
                                                            r -> r.startingSequenceNumber("1"))
                                                    .build())
                            .toList();
            var description = said.streamDescription().toBuilder().streamArn(shown).shards(shards);
            return said.toBuilder().streamDescription(description.build()).build();
        }
    }
}
