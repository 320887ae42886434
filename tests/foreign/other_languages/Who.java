// What a user of gRPC's library for Java sees: calls the server once for each line of stdin, and prints the status.
//
// A line has, between tabs, the server, the CA, the certificate, its key and the token; what there is not is empty.

import io.grpc.Grpc;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsChannelCredentials;
import io.grpc.stub.MetadataUtils;
import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.util.concurrent.TimeUnit;
import shardstream.v1.GetServerInfoRequest;
import shardstream.v1.ServerServiceGrpc;

public class Who {
    public static void main(String[] arguments) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] asked = line.split("\t", -1);
            TlsChannelCredentials.Builder tls = TlsChannelCredentials.newBuilder().trustManager(new File(asked[1]));
            if (!asked[2].isEmpty()) {
                tls.keyManager(new File(asked[2]), new File(asked[3]));
            }
            Metadata headers = new Metadata();
            if (!asked[4].isEmpty()) {
                headers.put(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), "Bearer " + asked[4]);
            }
            ManagedChannel channel = Grpc.newChannelBuilder(asked[0], tls.build())
                    .intercept(MetadataUtils.newAttachHeadersInterceptor(headers)).build();
            System.out.println(call(channel));
            channel.shutdownNow();
        }
    }

    private static String call(ManagedChannel channel) {
        try {
            ServerServiceGrpc.newBlockingStub(channel).withDeadlineAfter(20, TimeUnit.SECONDS)
                    .getServerInfo(GetServerInfoRequest.getDefaultInstance());
            return "OK\t";
        } catch (StatusRuntimeException error) {
            // What a stack trace shows: the status, and beneath it what the connection broke by.
            StringBuilder text = new StringBuilder(String.valueOf(error.getStatus().getDescription()));
            for (Throwable cause = error.getCause(); cause != null; cause = cause.getCause()) {
                text.append("; ").append(cause);
            }
            return error.getStatus().getCode() + "\t" + text.toString().replaceAll("\\s+", " ");
        }
    }
}
