package shardstream;

import java.io.IOException;

/**
 * Keeps how far a subscription has come: one text, the stream's newest token, then newer tokens of
 * its shards, separated by blanks. Clients in all languages write the same, so a program in one
 * goes on where one in another stopped.
 */
public interface TokenStore {
    /**
     * The position that was kept last.
     *
     * @return the text; empty when there is none
     * @throws IOException if it cannot be read
     */
    String load() throws IOException;

    /**
     * Keeps the position. Called when your code is done with what it covers, never before.
     *
     * @param position the text
     * @throws IOException if it cannot be kept
     */
    void save(String position) throws IOException;

    /**
     * A store that lasts as long as the program.
     *
     * @return the store, empty
     */
    static TokenStore inMemory() {
        return new TokenStore() {
            private volatile String position = "";

            @Override
            public String load() {
                return position;
            }

            @Override
            public void save(String position) {
                this.position = position;
            }
        };
    }
}
