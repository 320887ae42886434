package shardstream;

/** Fetches a bearer token. What it throws ends the call or the stream that needed it. */
@FunctionalInterface
public interface Credentials {
    /**
     * Fetches a token.
     *
     * @return the token, without "Bearer"
     */
    String fetch();
}
