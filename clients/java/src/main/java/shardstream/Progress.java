package shardstream;

import shardstream.v1.SubscribeResponse;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** How far a stream has come, and which records must not be given a second time. */
final class Progress {
    private static final int MOST_SHARD_TOKENS = 10_000;

    private String token = "";

    /** The newest token of each shard that came after {@link #token}. */
    private final Map<String, String> shardTokens = new LinkedHashMap<>();

    /**
     * The last sequence number given of each shard since the token, and the ids of the changes that
     * bear it.
     */
    private final Map<String, Last> given = new HashMap<>();

    /** The same as of the last resume: until a shard has passed it, its records may be repeats. */
    private final Map<String, Last> repeats = new HashMap<>();

    /** A loss was told that nobody has accepted yet: nothing behind it is covered. */
    private boolean lossy;

    private record Last(String number, List<String> ids) {}

    Progress(String position) {
        for (String part : position.strip().split("\\s+")) {
            if (token.isEmpty()) {
                token = part;
            } else {
                shardTokens.put(part, part);
            }
        }
    }

    String token() {
        return token;
    }

    /** The text that goes on after everything that is covered. Empty before the first token. */
    String position() {
        return joined(shardTokens);
    }

    private String joined(Map<String, String> tokens) {
        return token.isEmpty() || tokens.isEmpty()
                ? token
                : token + " " + String.join(" ", most(tokens));
    }

    /** The same, once the message is covered. */
    String positionBehind(SubscribeResponse raw) {
        if (lossy || token.isEmpty() && raw.getToken().isEmpty()) {
            return position();
        } else if (!raw.getToken().isEmpty()) {
            return raw.getToken();
        }
        Map<String, String> behind = new LinkedHashMap<>(shardTokens);
        keep(behind, raw);
        return joined(behind);
    }

    /** The tokens of shards to send beside the stream's. */
    List<String> tokens() {
        return token.isEmpty() ? List.of() : most(shardTokens);
    }

    private static List<String> most(Map<String, String> tokens) {
        return tokens.values().stream().limit(MOST_SHARD_TOKENS).toList();
    }

    private static void keep(Map<String, String> tokens, SubscribeResponse raw) {
        if (raw.getShardToken().isEmpty()) {
            return;
        }
        String shard =
                switch (raw.getEventCase()) {
                    case GAP -> raw.getGap().getShardId();
                    case UNREADABLE -> raw.getUnreadable().getShardId();
                    default -> raw.getShardId();
                };
        tokens.put(shard.isEmpty() ? raw.getShardId() : shard, raw.getShardToken());
    }

    /** The program is done with this message: its tokens count from now on. */
    void cover(SubscribeResponse raw) {
        if (lossy) {
            return;
        }
        if (raw.getToken().isEmpty()) {
            keep(shardTokens, raw);
        } else {
            token = raw.getToken();
            shardTokens.clear();
            given.clear();
        }
    }

    /**
     * Nothing from here on is covered: whoever starts again is told of the loss again, until it is
     * accepted.
     */
    void lose() {
        lossy = true;
    }

    /** The records of a message that were not given before; they count as given from now on. */
    List<StreamRecord> give(String shard, List<StreamRecord> records) {
        if (records.isEmpty()) {
            return records;
        }
        if (repeats.containsKey(shard)) {
            records.removeIf(record -> isRepeat(shard, record));
        }
        for (StreamRecord record : records) {
            String number = record.sequenceNumber();
            if (number.isEmpty()) {
                continue;
            }
            Last last = given.get(shard);
            if (last == null || compare(number, last.number()) != 0) {
                last = new Last(number, new ArrayList<>(1));
                given.put(shard, last);
            }
            last.ids().add(record.id());
        }
        return records;
    }

    /**
     * A new stream begins. The server repeats nothing when it honours all tokens; this is for when
     * it cannot.
     */
    void resume() {
        lossy = false;
        given.forEach(
                (shard, last) ->
                        repeats.put(shard, new Last(last.number(), List.copyOf(last.ids()))));
    }

    private boolean isRepeat(String shard, StreamRecord record) {
        Last last = repeats.get(shard);
        String number = record.sequenceNumber();
        if (last == null || number.isEmpty()) {
            return false;
        }
        int order = compare(number, last.number());
        if (order > 0) {
            repeats.remove(shard);
        }
        // Streams that are not AWS's may give several records one number.
        return order < 0 || order == 0 && last.ids().contains(record.id());
    }

    /** Compares digits as integers. */
    private static int compare(String one, String other) {
        int left = zeros(one);
        int right = zeros(other);
        int order = Integer.compare(one.length() - left, other.length() - right);
        return order != 0 ? order : one.substring(left).compareTo(other.substring(right));
    }

    /** How many it begins with. */
    private static int zeros(String digits) {
        int zeros = 0;
        while (zeros < digits.length() && digits.charAt(zeros) == '0') {
            zeros++;
        }
        return zeros;
    }
}
