package shardstream;

/** A bearer token that is kept until it is refused. */
final class Bearer {
    private final Credentials credentials;
    private String token;

    /**
     * A token, or none.
     *
     * @param token empty when it is fetched, or none is sent
     * @param credentials null when it is not fetched
     */
    Bearer(String token, Credentials credentials) {
        this.token = token;
        this.credentials = credentials;
    }

    synchronized String get() {
        if (token.isEmpty() && credentials != null) {
            token = credentials.fetch();
        }
        return token;
    }

    /**
     * Whether a refused token can be replaced. Of many streams that are refused the first alone
     * drops it.
     */
    synchronized boolean refused(String refused) {
        if (credentials != null && token.equals(refused)) {
            token = "";
        }
        return credentials != null;
    }
}
