// SPDX-License-Identifier: MIT
// Client.java commands|write|read|down PREFIX: spymemcached, in the mode that PROTOCOL says (compiled and run by conftest.py). With
// a SASL_USER it authenticates. down takes several prefixes, with commas.
import java.net.InetSocketAddress;
import java.util.*;
import net.spy.memcached.*;
import net.spy.memcached.auth.AuthDescriptor;
import net.spy.memcached.auth.PlainCallbackHandler;

public final class Client {
    private static final String[] SESSION = {"plain", "value", "overwritten", "first", "overwritten", "second",
                                             "deleted", "gone", "counter", "10", "touched", "longer"};
    private final MemcachedClient client;
    private final String prefix;

    private Client(int port, String prefix, long patienceMs) throws Exception {
        ConnectionFactory factory = "binary".equals(System.getenv("PROTOCOL")) ? binary(patienceMs)
                : new ConnectionFactoryBuilder().setProtocol(ConnectionFactoryBuilder.Protocol.TEXT)
                        .setOpTimeout(patienceMs).build();
        client = new MemcachedClient(factory, List.of(new InetSocketAddress("127.0.0.1", port)));
        this.prefix = prefix;
    }

    private static ConnectionFactory binary(long patienceMs) {
        String user = System.getenv("SASL_USER");
        AuthDescriptor descriptor = user == null ? null : new AuthDescriptor(new String[] {"PLAIN"},
                new PlainCallbackHandler(user, System.getenv("SASL_PASSWORD")));
        return new BinaryConnectionFactory() {
            @Override
            public long getOperationTimeout() {
                return patienceMs;
            }

            @Override
            public AuthDescriptor getAuthDescriptor() {
                return descriptor;
            }
        };
    }

    private static void same(Object found, Object expected, String what) {
        boolean equal = found instanceof byte[] && expected instanceof byte[]
                ? Arrays.equals((byte[]) found, (byte[]) expected) : Objects.equals(found, expected);
        if (!equal) {
            System.out.println("not ok: " + what + ": " + found + " is not " + expected);
            System.exit(1);
        }
    }

    private static byte[] binary() {
        byte[] bytes = new byte[263];
        for (int i = 0; i < 256; i++) {
            bytes[i] = (byte) i;
        }
        System.arraycopy("\r\nEND\r\n".getBytes(), 0, bytes, 256, 7);
        return bytes;
    }

    private static byte[] big() {
        return "0123456789".repeat(20000).getBytes();
    }

    private void commands() throws Exception {
        String key = prefix + "k";
        same(client.get(key), null, "a miss");
        same(client.set(key, 0, "v").get(), true, "set");
        same(client.get(key), "v", "get");
        same(client.add(key, 0, "w").get(), false, "add what is there");
        same(client.replace(prefix + "none", 0, "w").get(), false, "replace what is not there");
        same(client.append(key, "-end").get(), true, "append");
        same(client.prepend(key, "start-").get(), true, "prepend");
        same(client.get(key), "start-v-end", "appended and prepended");
        List<String> keys = new ArrayList<>();
        for (int i = 0; i < 300; i++) {
            keys.add(prefix + i);
            client.set(prefix + i, 0, "value " + i).get();
        }
        keys.add(prefix + "none");
        Map<String, Object> found = client.getBulk(keys);
        same(found.size(), 300, "getBulk");
        same(found.get(prefix + "299"), "value 299", "its last value");
        CASValue<Object> token = client.gets(key);
        same(client.cas(key, token.getCas(), "second"), CASResponse.OK, "cas");
        same(client.cas(key, token.getCas(), "third"), CASResponse.EXISTS, "cas with an old token");
        client.set(prefix + "n", 0, "10").get();
        same(client.incr(prefix + "n", 5), 15L, "incr");
        same(client.decr(prefix + "n", 100), 0L, "decr stops at 0");
        same(client.touch(key, 100).get(), true, "touch");
        same(client.delete(key).get(), true, "delete");
        same(client.delete(key).get(), false, "delete what is not there");
        client.set(prefix + "binary", 0, binary()).get();
        same(client.get(prefix + "binary"), binary(), "binary value");
        client.set(prefix + "big", 0, big()).get(); // compressed by the client, which the flags say
        same(client.get(prefix + "big"), big(), "big value");
        client.set(prefix + "list", 0, new ArrayList<>(List.of(1, "two"))).get();
        same(client.get(prefix + "list"), List.of(1, "two"), "an object");
        client.set(prefix + "short", 1, "v").get();
        client.set(prefix + "long", 100, "v").get();
        for (int i = 0; i < 200 && client.get(prefix + "short") != null; i++) {
            Thread.sleep(100);
        }
        same(client.get(prefix + "short"), null, "expired");
        same(client.get(prefix + "long"), "v", "not expired");
        same(client.getStats().size(), 1, "stats");
        same(client.flush().get(), true, "flush");
    }

    private void write() throws Exception {
        for (int i = 0; i < SESSION.length; i += 2) {
            same(client.set(prefix + SESSION[i], 600, SESSION[i + 1]).get(), true, SESSION[i]);
        }
        same(client.set(prefix + "binary", 600, binary()).get(), true, "binary");
        same(client.set(prefix + "big", 600, big()).get(), true, "big");
        same(client.delete(prefix + "deleted").get(), true, "delete");
        same(client.incr(prefix + "counter", 2), 12L, "incr");
        same(client.touch(prefix + "touched", 3600).get(), true, "touch");
    }

    private void read() {
        same(client.get(prefix + "plain"), "value", "plain");
        same(client.get(prefix + "overwritten"), "second", "overwritten");
        same(client.get(prefix + "deleted"), null, "deleted");
        same(client.get(prefix + "touched"), "longer", "touched");
        same(client.get(prefix + "counter").toString().trim(), "12", "counter");
        same(client.get(prefix + "binary"), binary(), "binary");
        same(client.get(prefix + "big"), big(), "big");
    }

    /** What test_backend_down.py asks. */
    private void down() {
        for (String what : List.of("get", "many")) {
            String word = "miss";
            try {
                if (what.equals("get")) {
                    client.get(prefix + "k");
                } else {
                    client.getBulk(List.of(prefix + "here", prefix + "k"));
                }
            } catch (RuntimeException failure) {
                word = "failure";
            }
            System.out.println(prefix + what + " " + word);
        }
    }

    private static void play(String part, String prefix) {
        try {
            int port = Integer.parseInt(System.getenv("PORT"));
            Client self = new Client(port, prefix, part.equals("down") ? 5000 : 20000);
            switch (part) {
                case "commands" -> self.commands();
                case "write" -> self.write();
                case "down" -> self.down();
                default -> self.read();
            }
            self.client.shutdown();
        } catch (Exception failure) {
            failure.printStackTrace();
            System.exit(1);
        }
    }

    public static void main(String[] arguments) {
        System.setProperty("net.spy.log.LoggerImpl", "net.spy.memcached.compat.log.SunLogger");
        java.util.logging.Logger.getLogger("net.spy").setLevel(java.util.logging.Level.WARNING);
        for (String prefix : arguments[1].split(",")) { // side by side, as some wait long; the program ends with the last
            new Thread(() -> play(arguments[0], prefix)).start();
        }
    }
}
