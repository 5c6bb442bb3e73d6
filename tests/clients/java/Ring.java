// SPDX-License-Identifier: MIT
// Ring.java place|read NUMBER [VALUE]: spymemcached over the nodes of PORTS, on the ring that test_ring.py documents (run from its source).
// read tells how many keys were found, missing and refused.
import java.net.*;
import java.util.*;
import net.spy.memcached.*;

public final class Ring {
    private static ConnectionFactory ring() {
        return new KetamaConnectionFactory(DefaultConnectionFactory.DEFAULT_OP_QUEUE_LEN,
                DefaultConnectionFactory.DEFAULT_READ_BUFFER_SIZE, DefaultConnectionFactory.DEFAULT_OP_QUEUE_MAX_BLOCK_TIME,
                DefaultHashAlgorithm.KETAMA_HASH, KetamaNodeKeyFormatter.Format.LIBMEMCACHED, new HashMap<>()) {
            @Override
            public FailureMode getFailureMode() {
                return FailureMode.Cancel;
            }
        };
    }

    public static void main(String[] arguments) throws Exception {
        System.setProperty("net.spy.log.LoggerImpl", "net.spy.memcached.compat.log.SunLogger");
        java.util.logging.Logger.getLogger("net.spy").setLevel(java.util.logging.Level.OFF);
        List<InetSocketAddress> nodes = new ArrayList<>();
        for (String port : System.getenv("PORTS").split(",")) {
            // With its name, or the format would look one up, and libmemcached has this one.
            InetAddress address = InetAddress.getByAddress("127.0.0.1", new byte[] {127, 0, 0, 1});
            nodes.add(new InetSocketAddress(address, Integer.parseInt(port)));
        }
        MemcachedClient client = new MemcachedClient(ring(), nodes);
        int found = 0, missing = 0, failed = 0;
        for (int i = 0; i < Integer.parseInt(arguments[1]); i++) {
            try {
                if (arguments[0].equals("place")) {
                    client.set("sess:" + i, 0, arguments[2]).get();
                } else if (client.get("sess:" + i) != null) {
                    found++;
                } else {
                    missing++;
                }
            } catch (RuntimeException failure) {
                failed++;
            }
        }
        System.out.println(found + " " + missing + " " + failed);
        client.shutdown();
    }
}
