package shardstream;

import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;

/**
 * Keeps the position in a file, which is replaced whole: killing the program never leaves half a
 * token.
 */
public final class FileTokenStore implements TokenStore {
    private final Path file;
    private final boolean sync;

    /**
     * A store in this file.
     *
     * @param file its path
     */
    public FileTokenStore(Path file) {
        this(file, false);
    }

    /**
     * A store in this file.
     *
     * @param file its path
     * @param sync whether it survives a loss of power, at the price of a disk write for each batch
     */
    public FileTokenStore(Path file, boolean sync) {
        this.file = file.toAbsolutePath();
        this.sync = sync;
    }

    @Override
    public String load() throws IOException {
        try {
            return Files.readString(file).strip();
        } catch (NoSuchFileException none) {
            return "";
        }
    }

    @Override
    public void save(String position) throws IOException {
        String name = file.getFileName() + "." + ProcessHandle.current().pid() + ".new";
        Path draft = file.resolveSibling(name);
        // Not by a channel, which the interrupt of a thread would close.
        try (FileOutputStream output = new FileOutputStream(draft.toFile())) {
            output.write(position.getBytes(StandardCharsets.UTF_8));
            if (sync) {
                output.getFD().sync();
            }
        }
        Files.move(
                draft, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        if (sync) {
            // The new name is safe when its folder is.
            try (FileChannel folder = FileChannel.open(file.getParent(), StandardOpenOption.READ)) {
                folder.force(true);
            }
        }
    }
}
