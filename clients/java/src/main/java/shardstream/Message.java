package shardstream;

import shardstream.v1.SubscribeResponse;

import java.util.Iterator;
import java.util.List;
import java.util.Optional;

/** Records of one shard, or one event, or both. */
public final class Message implements Iterable<StreamRecord> {
    private final SubscribeResponse raw;
    private final List<StreamRecord> records;
    private final Event event;
    private final Progress progress;

    Message(SubscribeResponse raw, List<StreamRecord> records, Event event, Progress progress) {
        this.raw = raw;
        this.records = records;
        this.event = event;
        this.progress = progress;
    }

    /**
     * The shard of the records.
     *
     * @return its id, empty when there are none
     */
    public String shardId() {
        return raw.getShardId();
    }

    /**
     * The records.
     *
     * @return in their order
     */
    public List<StreamRecord> records() {
        return records;
    }

    /**
     * What happened beside records.
     *
     * @return empty when nothing did
     */
    public Optional<Event> event() {
        return Optional.ofNullable(event);
    }

    /**
     * The server's token, which covers everything up to here.
     *
     * @return empty when none was due; see {@link #position}
     */
    public String token() {
        return raw.getToken();
    }

    /**
     * What goes on behind this message, on any server, in any process: keep it together with what
     * you made of the message, and give it to {@link Start#from}. To be called before the loop goes
     * on.
     *
     * @return one text, empty while there is no token yet
     */
    public String position() {
        return progress.positionBehind(raw);
    }

    @Override
    public Iterator<StreamRecord> iterator() {
        return records.iterator();
    }

    @Override
    public String toString() {
        return records.isEmpty() ? String.valueOf(event) : records.toString();
    }
}
