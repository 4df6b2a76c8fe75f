import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.concurrent.Executors;

/** A server with a pool of threads and one planted cause: {@code Server PORT CAUSE FOLDER THREADS}. */
public class Server {
    private static final Object LOCK = new Object();

    private static final ByteBuffer BLOCK = ByteBuffer.allocateDirect(4 << 20);
    private static FileChannel one;
    private static final ThreadLocal<FileChannel> OWN = new ThreadLocal<>();

    private static FileChannel open(String folder, String name) throws IOException {
        return FileChannel.open(Path.of(folder, name), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
    }

    private static void work(String cause, String folder) throws IOException, InterruptedException {
        switch (cause) {
            case "monitor":
                synchronized (LOCK) {
                    Thread.sleep(3);
                }
                break;
            case "sleep":
                Thread.sleep(20);
                break;
            case "burn":
                long end = System.nanoTime() + 6_000_000;
                while (System.nanoTime() < end) {
                    Thread.onSpinWait();
                }
                break;
            case "one-file":
                one.write(BLOCK.duplicate(), 0);
                break;
            case "own-files":
                if (OWN.get() == null) {
                    OWN.set(open(folder, Thread.currentThread().getName()));
                }
                OWN.get().write(BLOCK.duplicate(), 0);
                break;
            case "join":
                for (int turn = 0; turn < 8; turn++) {
                    Thread thread = new Thread(() -> { });
                    thread.start();
                    thread.join();
                }
                break;
            default:
        }
    }

    public static void main(String[] args) throws Exception {
        one = open(args[2], "one");
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(args[0])), 256);
        byte[] body = "ok\n".getBytes("US-ASCII");
        server.setExecutor(Executors.newFixedThreadPool(Integer.parseInt(args[3])));
        server.createContext("/", exchange -> {
            try {
                work(args[1], args[2]);
            } catch (InterruptedException error) {
                Thread.currentThread().interrupt();
            }
            exchange.sendResponseHeaders(200, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
        server.start();
    }
}
