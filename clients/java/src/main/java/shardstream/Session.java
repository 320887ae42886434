package shardstream;

import shardstream.v1.CloseShardRequest;
import shardstream.v1.GetRecordsRequest;
import shardstream.v1.GetShardSessionRequest;
import shardstream.v1.JumpToRequest;
import shardstream.v1.RenewLeaseRequest;
import shardstream.v1.SeekOutcome;
import shardstream.v1.SeekToRequest;
import shardstream.v1.SeekToResponse;
import shardstream.v1.ShardServiceGrpc;
import shardstream.v1.ShardSession;

import java.time.Instant;
import java.util.List;
import java.util.UUID;
import java.util.function.Consumer;

/**
 * A cursor on one shard that the server keeps under a lease, renewed by every call. Not for several
 * threads at once.
 */
public final class Session implements AutoCloseable {
    private final Client client;
    private final String lease;
    private ShardSession state;

    Session(Client client, ShardSession state) {
        this.client = client;
        this.lease = state.getLease().getLeaseId();
        this.state = state;
    }

    /**
     * Where the session stood at the last call.
     *
     * @return as the server said
     */
    public ShardSession state() {
        return state;
    }

    /**
     * Gives the next records. If the answer is lost on its way the same records come again, none is
     * skipped.
     *
     * @return the records
     */
    public Batch read() {
        return read(request -> {});
    }

    /**
     * Gives the next records.
     *
     * @param choices sets fields of the request, such as {@code setWait} and {@code setMaxRecords}
     * @return the records
     */
    public Batch read(Consumer<GetRecordsRequest.Builder> choices) {
        GetRecordsRequest.Builder request = GetRecordsRequest.newBuilder().setLeaseId(lease);
        request.setRequestId(UUID.randomUUID().toString());
        return client.read(request, state.getShardId(), choices);
    }

    /**
     * Moves to a position.
     *
     * @param start where
     */
    public void jump(Start start) {
        JumpToRequest.Builder request = JumpToRequest.newBuilder().setLeaseId(lease);
        if (start.position == null) {
            request.setToken(start.token());
        } else {
            request.setPosition(start.position);
        }
        var method = ShardServiceGrpc.getJumpToMethod();
        state = client.calls.call(method, request.build(), Calls.USUAL).getSession();
    }

    /**
     * Gives the first records made at or after a time; the session stands behind them.
     *
     * @param time the time
     * @return the records
     */
    public Batch seek(Instant time) {
        var request = SeekToRequest.newBuilder().setLeaseId(lease).setTime(Times.raw(time)).build();
        SeekToResponse answer =
                client.calls.call(ShardServiceGrpc.getSeekToMethod(), request, Calls.LONG_SEEK);
        state = answer.getSession();
        return new Batch(
                client.unsplit(state.getShardId(), answer.getRecordsList()),
                answer.getToken(),
                answer.getOutcome() == SeekOutcome.SEEK_OUTCOME_SHARD_ENDED,
                answer.getOutcome() == SeekOutcome.SEEK_OUTCOME_AT_TIP,
                List.of());
    }

    /**
     * The records from where the session stands, as they arrive.
     *
     * @return what can be chosen, and then opened
     */
    public StreamRequest stream() {
        return StreamRequest.session(client, lease);
    }

    /** Asks where the session stands. */
    public void refresh() {
        var request = GetShardSessionRequest.newBuilder().setLeaseId(lease).build();
        var method = ShardServiceGrpc.getGetShardSessionMethod();
        state = client.calls.call(method, request, Calls.USUAL).getSession();
    }

    /** Renews the lease and does nothing else. */
    public void renew() {
        var request = RenewLeaseRequest.newBuilder().setLeaseId(lease).build();
        client.calls.call(ShardServiceGrpc.getRenewLeaseMethod(), request, Calls.USUAL);
    }

    /** Ends the session. */
    @Override
    public void close() {
        var request = CloseShardRequest.newBuilder().setLeaseId(lease).build();
        client.calls.call(ShardServiceGrpc.getCloseShardMethod(), request, Calls.USUAL);
    }
}
