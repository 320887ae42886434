package shardstream;

import io.grpc.ChannelCredentials;
import io.grpc.TlsChannelCredentials;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.Principal;
import java.security.PrivateKey;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Arrays;
import java.util.Base64;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

import javax.net.ssl.SSLEngine;
import javax.net.ssl.X509ExtendedKeyManager;

/**
 * TLS by PEM files.
 *
 * @param ca that of the CA; null means the system's CAs
 * @param certificate for mTLS the client's certificates, read again for each connection, else null
 * @param key and its key: PKCS#8, or as OpenSSL writes those of RSA and EC
 */
public record Tls(Path ca, Path certificate, Path key) {
    private static final Pattern KEY =
            Pattern.compile("-----BEGIN (RSA |EC |)PRIVATE KEY-----([^-]+)-----END");

    /**
     * TLS with a CA of one's own.
     *
     * @param ca its PEM file
     * @return the files
     */
    public static Tls ca(Path ca) {
        return new Tls(ca, null, null);
    }

    ChannelCredentials credentials() {
        TlsChannelCredentials.Builder builder = TlsChannelCredentials.newBuilder();
        try {
            if (ca != null) {
                builder.trustManager(ca.toFile());
            }
            if (certificate != null) {
                builder.keyManager(new Keys());
            }
        } catch (IOException failed) {
            throw new UncheckedIOException(failed);
        } catch (GeneralSecurityException failed) {
            throw new IllegalArgumentException(certificate + ", " + key, failed);
        }
        return builder.build();
    }

    private record Pair(X509Certificate[] chain, PrivateKey key) {}

    private Pair read() throws IOException, GeneralSecurityException {
        X509Certificate[] chain;
        try (InputStream pem = Files.newInputStream(certificate)) {
            chain =
                    CertificateFactory.getInstance("X.509").generateCertificates(pem).stream()
                            .map(X509Certificate.class::cast)
                            .toArray(X509Certificate[]::new);
        }
        Matcher pem = KEY.matcher(Files.readString(key));
        if (chain.length == 0 || !pem.find()) {
            throw new GeneralSecurityException("no certificate, or no key, in PEM");
        }
        byte[] bytes = Base64.getMimeDecoder().decode(pem.group(2));
        byte[] known = chain[0].getPublicKey().getEncoded();
        byte[] wrapped = pem.group(1).isEmpty() ? bytes : wrap(bytes, known);
        KeyFactory factory = KeyFactory.getInstance(chain[0].getPublicKey().getAlgorithm());
        return new Pair(chain, factory.generatePrivate(new PKCS8EncodedKeySpec(wrapped)));
    }

    /**
     * The PKCS#8 of a bare key: a version, the algorithm, which the public key has too, and the
     * key.
     */
    private static byte[] wrap(byte[] key, byte[] known) {
        // A sequence whose first element is a short one: the algorithm.
        int begin = known[1] < 0 ? 2 + (known[1] & 0x7f) : 2;
        byte[] algorithm = Arrays.copyOfRange(known, begin, begin + 2 + known[begin + 1]);
        byte[] version = {2, 1, 0};
        return der(0x30, version, algorithm, der(0x04, key));
    }

    private static byte[] der(int tag, byte[]... parts) {
        var inner = new ByteArrayOutputStream();
        for (byte[] part : parts) {
            inner.writeBytes(part);
        }
        var outer = new ByteArrayOutputStream();
        outer.write(tag);
        int size = inner.size();
        if (size > 0xff) {
            outer.write(0x82);
            outer.write(size >> 8);
        } else if (size > 0x7f) {
            outer.write(0x81);
        }
        outer.write(size);
        outer.writeBytes(inner.toByteArray());
        return outer.toByteArray();
    }

    /** The client's certificate as its files have it at each handshake. */
    private final class Keys extends X509ExtendedKeyManager {
        private static final String ALIAS = "client";

        private volatile Pair newest = read();

        Keys() throws IOException, GeneralSecurityException {}

        @Override
        public String chooseEngineClientAlias(
                String[] types, Principal[] issuers, SSLEngine engine) {
            try {
                newest = read();
            } catch (IOException | GeneralSecurityException halfReplaced) {
                return ALIAS; // What was read before is still there.
            }
            return ALIAS;
        }

        @Override
        public String chooseClientAlias(String[] types, Principal[] issuers, Socket socket) {
            return chooseEngineClientAlias(types, issuers, null);
        }

        @Override
        public String[] getClientAliases(String type, Principal[] issuers) {
            return new String[] {ALIAS};
        }

        @Override
        public X509Certificate[] getCertificateChain(String alias) {
            return newest.chain();
        }

        @Override
        public PrivateKey getPrivateKey(String alias) {
            return newest.key();
        }

        @Override
        public String[] getServerAliases(String type, Principal[] issuers) {
            return new String[0];
        }

        @Override
        public String chooseServerAlias(String type, Principal[] issuers, Socket socket) {
            return null;
        }
    }
}
