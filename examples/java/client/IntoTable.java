// Copies a table into SQLite, each change exactly once: items and position are kept in one
// transaction.
//
//     mvn install -DskipTests -f clients/java
//     cd examples/java/client
//     mvn compile exec:java -Dexec.mainClass=IntoTable -Dexec.args="TABLE DATABASE [HOST:PORT]"
//     mvn compile exec:java -Dexec.mainClass=IntoTable -Dexec.args="DATABASE"      prints the copy

import shardstream.Client;
import shardstream.Message;
import shardstream.StreamRecord;
import shardstream.TokenStore;

import java.io.IOException;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;

/** The items and the position, in one file. It is the subscription's token store, too. */
public final class IntoTable implements TokenStore, AutoCloseable {
    private final Connection database;

    private IntoTable(String file) throws SQLException {
        database = DriverManager.getConnection("jdbc:sqlite:" + file);
        database.setAutoCommit(false);
        try (Statement statement = database.createStatement()) {
            statement.execute(
                    "CREATE TABLE IF NOT EXISTS items (key TEXT PRIMARY KEY, item TEXT, changes"
                            + " INTEGER)");
            statement.execute(
                    "CREATE TABLE IF NOT EXISTS position (only INTEGER PRIMARY KEY, tokens TEXT)");
        }
    }

    public static void main(String[] arguments) throws SQLException {
        if (arguments.length < 1 || arguments.length > 3) {
            System.err.println("usage: IntoTable TABLE DATABASE [HOST:PORT]");
            System.exit(2);
        } else if (arguments.length == 1) {
            tell(arguments[0]);
            return;
        }
        // Runs until it is stopped.
        String server = arguments.length > 2 ? arguments[2] : "localhost:50051";
        try (var copy = new IntoTable(arguments[1]);
                var client = Client.connect(server);
                var messages = client.subscribe(arguments[0]).store(copy).open()) {
            for (Message message : messages) {
                for (StreamRecord record : message) {
                    copy.apply(record);
                }
            }
        }
    }

    /** One change. It is kept when `save` is called, which is when its batch is done. */
    private void apply(StreamRecord record) throws SQLException {
        String key = record.key().toString();
        if (record.type().equals("REMOVE")) {
            run("DELETE FROM items WHERE key = ?", key);
            return;
        }
        String item = record.newImage().orElseThrow().toString();
        run(
                "INSERT INTO items VALUES (?, ?, 1)"
                        + " ON CONFLICT DO UPDATE SET item = excluded.item, changes = changes + 1",
                key,
                item);
    }

    private void run(String change, String... values) throws SQLException {
        try (PreparedStatement statement = database.prepareStatement(change)) {
            for (int i = 0; i < values.length; i++) {
                statement.setString(i + 1, values[i]);
            }
            statement.executeUpdate();
        }
    }

    /** Where to go on; empty at first. */
    @Override
    public String load() throws IOException {
        try (Statement statement = database.createStatement();
                ResultSet found = statement.executeQuery("SELECT tokens FROM position")) {
            return found.next() ? found.getString(1) : "";
        } catch (SQLException failed) {
            throw new IOException(failed);
        }
    }

    /** Keeps the position, and with it everything since the last. */
    @Override
    public void save(String position) throws IOException {
        try {
            run("INSERT OR REPLACE INTO position VALUES (0, ?)", position);
            database.commit();
        } catch (SQLException failed) {
            throw new IOException(failed);
        }
    }

    @Override
    public void close() throws SQLException {
        database.close();
    }

    /** Each item of the copy, and how often it was changed. */
    private static void tell(String file) throws SQLException {
        try (var copy = new IntoTable(file);
                Statement statement = copy.database.createStatement();
                ResultSet row = statement.executeQuery("SELECT * FROM items")) {
            while (row.next()) {
                System.out.println(row.getString(1) + " " + row.getString(2) + " " + row.getInt(3));
            }
        }
    }
}
