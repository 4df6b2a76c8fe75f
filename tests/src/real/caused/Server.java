import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.util.concurrent.Executors;

/** A server with a pool of threads and one planted cause: {@code Server PORT CAUSE FOLDER THREADS}. */
public class Server {
    private static final Object LOCK = new Object();

    private static void work(String cause) throws InterruptedException {
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
            default:
        }
    }

    public static void main(String[] args) throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(args[0])), 256);
        byte[] body = "ok\n".getBytes("US-ASCII");
        server.setExecutor(Executors.newFixedThreadPool(Integer.parseInt(args[3])));
        server.createContext("/", exchange -> {
            try {
                work(args[1]);
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
