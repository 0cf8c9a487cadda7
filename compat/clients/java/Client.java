import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.LoggerContext;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.AppenderBase;
import com.alibaba.nacos.api.PropertyKeyConst;
import com.alibaba.nacos.api.naming.NamingFactory;
import com.alibaba.nacos.api.naming.NamingService;
import com.alibaba.nacos.api.naming.listener.EventListener;
import com.alibaba.nacos.api.naming.listener.NamingEvent;
import com.alibaba.nacos.api.naming.pojo.Instance;
import com.alibaba.nacos.api.naming.pojo.ListView;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.function.Predicate;
import org.slf4j.LoggerFactory;

/** The script of ../README.md on the official Java client. */
public final class Client {

    private static final long CHANGE_LIMIT_MS = 25_000;
    private static final long WATCH_MS = 20_000;
    /** Past the query that follows a subscription after a second: what comes next is told by push or much later. */
    private static final long SETTLE_MS = 1_500;
    /** The last push is still acknowledged. */
    private static final long LINGER_MS = 3_000;
    private static final String PUSH_MARK = "received push data: ";
    private static final ObjectMapper JSON =
        new ObjectMapper().configure(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES, false);
    /** Taken before anything can log to it. */
    private static final FileOutputStream OUT = new FileOutputStream(FileDescriptor.out);
    private static final long BEGAN = System.nanoTime();

    private final Map<String, String> args = new HashMap<>();
    private final String service;
    private final String group;
    private NamingService writer;
    private NamingService subscriber;
    private boolean failed;

    /** What a push or a callback brought, and when. */
    private static final class Told {
        private final long at;
        private final List<Map<String, Object>> hosts;

        private Told(long at, List<Map<String, Object>> hosts) {
            this.at = at;
            this.hosts = hosts;
        }
    }

    private final List<Told> pushes = Collections.synchronizedList(new ArrayList<>());
    private final List<Told> callbacks = Collections.synchronizedList(new ArrayList<>());

    private final EventListener listener = event -> {
        if (event instanceof NamingEvent) {
            callbacks.add(new Told(now(), plain(((NamingEvent) event).getInstances())));
        }
    };

    private Client(String[] given) {
        for (int i = 0; i + 1 < given.length; i += 2) {
            args.put(given[i], given[i + 1]);
        }
        service = args.get("--service");
        group = args.get("--group");
    }

    public static void main(String[] given) {
        // Standard output is for the report alone.
        ((Logger) LoggerFactory.getLogger(Logger.ROOT_LOGGER_NAME)).detachAndStopAllAppenders();
        Client client = new Client(given);
        try {
            client.run();
        } catch (Stopped stopped) {
            // The step has been reported; those after it have nothing to stand on.
        }
        System.exit(client.failed ? 1 : 0);
    }

    private void run() throws Stopped {
        step("connect", () -> {
            writer = connect(args.get("--write"));
            subscriber = connect(args.get("--subscribe"));
            watchPushes();
            String status = writer.getServerStatus() + " " + subscriber.getServerStatus();
            return new Seen("UP UP".equals(status), status);
        });
        step("subscribe", () -> {
            subscriber.subscribe(service, group, listener);
            return new Seen(true, plain(subscriber.getAllInstances(service, group)));
        });
        pause(SETTLE_MS);
        long began = now();
        step("register", () -> {
            writer.registerInstance(service, group, first(2, "1"));
            writer.registerInstance(service, group, second());
            return new Seen(true, null);
        });
        change("appear", began, hosts -> hosts.size() == 2);
        step("list", () -> listed(subscriber.getAllInstances(service, group, false), 2));
        step("list-at-writer", () -> eventually(() -> listed(writer.getAllInstances(service, group, false), 2)));
        step("select-cluster", () -> {
            List<String> east = Collections.singletonList("east");
            return listed(subscriber.selectInstances(service, group, east, true, false), 1);
        });
        step("select-healthy", () -> listed(subscriber.selectInstances(service, group, true), 2));
        step("select-one", () -> {
            Instance one = subscriber.selectOneHealthyInstance(service, group);
            // Which one is chance.
            return new Seen(one.isHealthy() && one.getPort() / 10 == 700, "one of the two");
        });
        step("services", () -> {
            ListView<String> services = subscriber.getServicesOfServer(1, 10, group);
            Map<String, Object> saw = new LinkedHashMap<>();
            saw.put("count", services.getCount());
            saw.put("names", services.getData());
            return new Seen(services.getData().equals(Collections.singletonList(service)), saw);
        });
        step("beats", this::beats);
        long updating = now();
        step("update", () -> {
            writer.registerInstance(service, group, first(5, "2"));
            return new Seen(true, null);
        });
        change("updated", updating, hosts -> hosts.stream().anyMatch(it -> Double.valueOf(5).equals(it.get("weight"))
            && "2".equals(((Map<?, ?>) it.get("metadata")).get("rev"))));
        long leaving = now();
        step("deregister", () -> {
            writer.deregisterInstance(service, group, first(5, "2"));
            return new Seen(true, null);
        });
        change("gone", leaving, hosts -> hosts.size() == 1 && Integer.valueOf(7002).equals(hosts.get(0).get("port")));
        step("leave", () -> {
            subscriber.unsubscribe(service, group, listener);
            writer.deregisterInstance(service, group, second());
            return eventually(() -> listed(subscriber.getAllInstances(service, group, false), 0));
        });
        pause(LINGER_MS);
    }

    private static void pause(long ms) {
        try {
            Thread.sleep(ms);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    // === the parts of the script ===

    private NamingService connect(String address) throws Exception {
        Properties properties = new Properties();
        properties.put(PropertyKeyConst.SERVER_ADDR, address);
        properties.put(PropertyKeyConst.NAMESPACE, args.get("--namespace"));
        return NamingFactory.createNamingService(properties);
    }

    private Instance first(double weight, String rev) {
        Map<String, String> more = new HashMap<>();
        more.put("rev", rev);
        more.put("note", "naïve & 北=京");
        return instance("127.0.0.21", 7001, "east", weight, more);
    }

    private Instance second() {
        return instance("127.0.0.22", 7002, "west", 1, Collections.singletonMap("rev", "1"));
    }

    private static Instance instance(String ip, int port, String cluster, double weight, Map<String, String> more) {
        Instance instance = new Instance();
        instance.setIp(ip);
        instance.setPort(port);
        instance.setClusterName(cluster);
        instance.setWeight(weight);
        instance.setEphemeral(true);
        Map<String, String> metadata = new HashMap<>(more);
        metadata.put("preserved.heart.beat.interval", "1000");
        metadata.put("preserved.heart.beat.timeout", "11000");
        metadata.put("preserved.ip.delete.timeout", "12000");
        instance.setMetadata(metadata);
        return instance;
    }

    /** Both instances are there and healthy for longer than they would be without heartbeats. */
    private Seen beats() throws Exception {
        long end = now() + WATCH_MS;
        while (now() < end) {
            List<Instance> healthy = subscriber.selectInstances(service, group, new ArrayList<>(), true, false);
            if (healthy.size() != 2) {
                return new Seen(false, plain(healthy));
            }
            Thread.sleep(500);
        }
        return new Seen(true, "both healthy at every look");
    }

    /** Waits until the subscriber has been told, and says by what. */
    private void change(String name, long since, Predicate<List<Map<String, Object>>> wanted) throws Stopped {
        step(name, () -> {
            long end = now() + CHANGE_LIMIT_MS;
            while (true) {
                Told told = find(callbacks, since, Long.MAX_VALUE, wanted);
                if (told != null) {
                    Seen seen = new Seen(true, told.hosts);
                    seen.way = find(pushes, since, told.at, wanted) == null ? "poll" : "push";
                    seen.afterMs = told.at - since;
                    return seen;
                }
                if (now() > end) {
                    return new Seen(false, callbacks.isEmpty() ? null : callbacks.get(callbacks.size() - 1).hosts);
                }
                Thread.sleep(2);
            }
        });
    }

    private static Told find(List<Told> list, long from, long to, Predicate<List<Map<String, Object>>> wanted) {
        for (Told told : list.toArray(new Told[0])) {
            if (told.at >= from && told.at <= to && wanted.test(told.hosts)) {
                return told;
            }
        }
        return null;
    }

    /** The client logs every packet it receives, before it does anything with it. */
    private void watchPushes() {
        Logger logger = ((LoggerContext) LoggerFactory.getILoggerFactory()).getLogger("com.alibaba.nacos.client.naming");
        AppenderBase<ILoggingEvent> appender = new AppenderBase<ILoggingEvent>() {
            @Override
            protected void append(ILoggingEvent event) {
                String text = event.getFormattedMessage();
                if (!text.startsWith(PUSH_MARK)) {
                    return;
                }
                try {
                    String packet = text.substring(PUSH_MARK.length(), text.lastIndexOf(" from "));
                    JsonNode data = JSON.readTree(JSON.readTree(packet).get("data").asText());
                    Instance[] hosts = JSON.treeToValue(data.get("hosts"), Instance[].class);
                    pushes.add(new Told(now(), plain(Arrays.asList(hosts))));
                } catch (Exception e) {
                    System.err.println("a push that is not understood: " + text + ": " + e);
                }
            }
        };
        appender.setContext(logger.getLoggerContext());
        appender.start();
        logger.setLevel(Level.INFO);
        logger.addAppender(appender);
    }

    private static Seen listed(List<Instance> instances, int wanted) {
        return new Seen(instances.size() == wanted, plain(instances));
    }

    /** Asks again for a moment: an acknowledged write may show a little later. */
    private static Seen eventually(Call call) throws Exception {
        Seen seen = call.get();
        for (long end = now() + 5_000; !seen.ok && now() < end; seen = call.get()) {
            Thread.sleep(100);
        }
        return seen;
    }

    private static List<Map<String, Object>> plain(List<Instance> instances) {
        List<Map<String, Object>> out = new ArrayList<>();
        for (Instance it : instances) {
            Map<String, Object> map = new TreeMap<>();
            map.put("id", it.getInstanceId());
            map.put("ip", it.getIp());
            map.put("port", it.getPort());
            map.put("cluster", it.getClusterName());
            map.put("service", it.getServiceName());
            map.put("weight", it.getWeight());
            map.put("healthy", it.isHealthy());
            map.put("enabled", it.isEnabled());
            map.put("ephemeral", it.isEphemeral());
            map.put("metadata", new TreeMap<>(it.getMetadata()));
            out.add(map);
        }
        out.sort(Comparator.comparing(it -> (Integer) it.get("port")));
        return out;
    }

    // === reporting ===

    private interface Call {
        Seen get() throws Exception;
    }

    private static final class Seen {
        private final boolean ok;
        private final Object saw;
        private String way;
        private long afterMs;

        private Seen(boolean ok, Object saw) {
            this.ok = ok;
            this.saw = saw;
        }
    }

    private static final class Stopped extends Exception {}

    private static long now() {
        return (System.nanoTime() - BEGAN) / 1_000_000;
    }

    private void step(String name, Call call) throws Stopped {
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("step", name);
        boolean ok = false;
        try {
            Seen seen = call.get();
            ok = seen.ok;
            line.put("saw", seen.saw);
            if (seen.way != null) {
                line.put("way", seen.way);
                line.put("after_ms", seen.afterMs);
            }
        } catch (Exception e) {
            line.put("detail", e.toString());
        }
        line.put("ok", ok);
        line.put("at_ms", now());
        try {
            OUT.write((JSON.writeValueAsString(line) + "\n").getBytes(StandardCharsets.UTF_8));
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
        failed |= !ok;
        if (!ok && Arrays.asList("connect", "register").contains(name)) {
            throw new Stopped();
        }
    }
}
