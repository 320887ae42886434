// Decodes SubscribeResponses with Java's protobuf as it comes, and prints, for each record, its sequence number and how many lists
// and maps lie around the innermost value of its new image.
//
//     java -cp protobuf-java.jar Decode.java FILE_DESCRIPTOR_SET MESSAGE...

import com.google.protobuf.DescriptorProtos.FileDescriptorProto;
import com.google.protobuf.DescriptorProtos.FileDescriptorSet;
import com.google.protobuf.Descriptors.Descriptor;
import com.google.protobuf.Descriptors.FileDescriptor;
import com.google.protobuf.DynamicMessage;
import com.google.protobuf.Message;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collection;
import java.util.HashMap;
import java.util.Map;

public class Decode {
    public static void main(String[] arguments) throws Exception {
        Descriptor response = null;
        Map<String, FileDescriptor> files = new HashMap<>();
        // Every file comes after those that it imports.
        for (FileDescriptorProto file : FileDescriptorSet.parseFrom(Files.readAllBytes(Path.of(arguments[0]))).getFileList()) {
            FileDescriptor[] imports = file.getDependencyList().stream().map(files::get).toArray(FileDescriptor[]::new);
            FileDescriptor built = FileDescriptor.buildFrom(file, imports);
            files.put(file.getName(), built);
            response = response != null ? response : built.findMessageTypeByName("SubscribeResponse");
        }
        for (int place = 1; place < arguments.length; place++) {
            Message message = DynamicMessage.parseFrom(response, Files.readAllBytes(Path.of(arguments[place])));
            for (Object record : (Collection<?>) field(message, "records")) {
                int deepest = 0;
                for (Object entry : (Collection<?>) field((Message) record, "new_image")) {
                    deepest = Math.max(deepest, depth((Message) field((Message) entry, "value")));
                }
                System.out.println(field((Message) field((Message) record, "meta"), "sequence_number") + " " + deepest);
            }
        }
    }

    private static Object field(Message message, String name) {
        return message.getField(message.getDescriptorForType().findFieldByName(name));
    }

    private static boolean has(Message message, String name) {
        return message.hasField(message.getDescriptorForType().findFieldByName(name));
    }

    private static int depth(Message value) {
        int deepest = 0;
        if (has(value, "m")) {
            for (Object entry : (Collection<?>) field((Message) field(value, "m"), "entries")) {
                deepest = Math.max(deepest, depth((Message) field((Message) entry, "value")));
            }
        } else if (has(value, "l")) {
            for (Object element : (Collection<?>) field((Message) field(value, "l"), "values")) {
                deepest = Math.max(deepest, depth((Message) element));
            }
        } else {
            return 0;
        }
        return 1 + deepest;
    }
}
