import com.sun.management.OperatingSystemMXBean;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.util.Locale;
import java.util.Map;

/** What the programs share: their arguments, and the words that are exchanged with bench.py. */
final class Reading {
    /** Keeps what was made, so that nothing is left out. */
    static volatile Object sink;

    private static final OperatingSystemMXBean SYSTEM =
            (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();

    private static volatile long begin;
    private static volatile long end;

    private Reading() {}

    /** What the arguments say. */
    record Place(String server, String dynamoDb, String table, int records) {
        static Place of(String[] arguments) {
            int records = Integer.parseInt(arguments[3]);
            return new Place(arguments[0], arguments[1], arguments[2], records);
        }
    }

    /** Every field of a record. */
    record Change(
            String id,
            String type,
            String number,
            Map<String, Object> key,
            Map<String, Object> before,
            Map<String, Object> after) {
        Change {
            if (!after.containsKey("id")) {
                throw new IllegalStateException("a record without its item");
            }
        }
    }

    /** Reads all of it, and says how many records there were. */
    interface Reader {
        int read(Place place);
    }

    /** What was spent before is no part of the reading. */
    static void begin() {
        begin = SYSTEM.getProcessCpuTime();
    }

    /** Nor is what is spent from now on. */
    static void end() {
        end = SYSTEM.getProcessCpuTime();
    }

    /** Reads once to warm up, and again at each line. */
    static void measured(String[] arguments, Reader reader) throws IOException {
        Place place = Place.of(arguments);
        reader.read(place);
        System.out.println("ready");
        var lines = new BufferedReader(new InputStreamReader(System.in));
        while (lines.readLine() != null) {
            begin();
            end = 0;
            int got = reader.read(place);
            double cpu = ((end == 0 ? SYSTEM.getProcessCpuTime() : end) - begin) / 1e9;
            System.out.println(
                    String.format(Locale.ROOT, "{\"records\": %d, \"cpu\": %f}", got, cpu));
        }
    }
}
