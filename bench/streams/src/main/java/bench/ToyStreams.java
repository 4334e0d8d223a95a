package bench;

import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.ObjectWriter;
import com.fasterxml.jackson.module.blackbird.BlackbirdModule;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.InvalidStateStoreException;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueBytesStoreSupplier;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.QueryableStoreTypes;
import org.apache.kafka.streams.state.ReadOnlyKeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

/** The toy fold on Kafka Streams, exactly_once_v2: see bench/toy.py for the fold, bench/README.md for settings. */
public final class ToyStreams {
  private static final ObjectMapper JSON =
      new ObjectMapper()
          .registerModule(new BlackbirdModule())
          .configure(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES, false);

  /** An order; all 15 members are decoded. */
  public static final class Order {
    public String platform, order_line_id, user_id, status, paid_at, modified_at, shop_id, shop_title;
    public String item_id, item_title, pid;
    public long version, gross, commission, quantity;
  }

  /** What the table of lines keeps. */
  public static final class Line {
    public long version;
    public String status, user_id;
    public long gross, commission, rebate;
    public String paid_at, modified_at;
  }

  /** The message to the user's log. */
  public static final class Change {
    public String line;
    public long version;
    public String status;
    public long lines, rebate;
  }

  /** What the table of accounts keeps. */
  public static final class Account {
    public long events, lines, rebate;
  }

  private static byte[] encoded(ObjectWriter writer, Object value) {
    try {
      return writer.writeValueAsBytes(value);
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  private static <T> T decoded(ObjectReader reader, byte[] value) {
    try {
      return reader.readValue(value);
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  /** Stage 1: an order becomes its line's state and a message to its user. */
  static final class Lines implements Processor<String, byte[], String, byte[]> {
    private final ObjectReader orders = JSON.readerFor(Order.class);
    private final ObjectReader lines = JSON.readerFor(Line.class);
    private final ObjectWriter writeLine = JSON.writerFor(Line.class);
    private final ObjectWriter writeChange = JSON.writerFor(Change.class);
    private ProcessorContext<String, byte[]> context;
    private KeyValueStore<String, byte[]> store;

    @Override
    public void init(ProcessorContext<String, byte[]> given) {
      context = given;
      store = given.getStateStore("lines");
    }

    @Override
    public void process(Record<String, byte[]> record) {
      Order order = decoded(orders, record.value());
      byte[] found = store.get(record.key());
      Line before = found == null ? null : ToyStreams.<Line>decoded(lines, found);
      if (before != null && order.version <= before.version) {
        return;
      }
      Line line = new Line();
      line.version = order.version;
      line.status = order.status;
      line.user_id = order.user_id;
      line.gross = order.gross;
      line.commission = order.commission;
      line.rebate = order.commission * 4_400 / 10_000;
      line.paid_at = order.paid_at;
      line.modified_at = order.modified_at;
      store.put(record.key(), encoded(writeLine, line));
      Change change = new Change();
      change.line = order.platform + ":" + order.order_line_id;
      change.version = order.version;
      change.status = order.status;
      change.lines = before == null ? 1 : 0;
      change.rebate = line.rebate - (before == null ? 0 : before.rebate);
      context.forward(record.withKey(order.user_id).withValue(encoded(writeChange, change)));
    }
  }

  /** Stage 2: a message changes its user's account. */
  static final class Accounts implements Processor<String, byte[], Void, Void> {
    private final ObjectReader changes = JSON.readerFor(Change.class);
    private final ObjectReader accounts = JSON.readerFor(Account.class);
    private final ObjectWriter writeAccount = JSON.writerFor(Account.class);
    private KeyValueStore<String, byte[]> store;

    @Override
    public void init(ProcessorContext<Void, Void> context) {
      store = context.getStateStore("accounts");
    }

    @Override
    public void process(Record<String, byte[]> record) {
      Change change = decoded(changes, record.value());
      byte[] found = store.get(record.key());
      Account account = found == null ? new Account() : ToyStreams.<Account>decoded(accounts, found);
      account.events += 1;
      account.lines += change.lines;
      account.rebate += change.rebate;
      store.put(record.key(), encoded(writeAccount, account));
    }
  }

  private static StoreBuilder<KeyValueStore<String, byte[]>> store(String name, boolean onDisk) {
    KeyValueBytesStoreSupplier supplier =
        onDisk ? Stores.persistentKeyValueStore(name) : Stores.inMemoryKeyValueStore(name);
    return Stores.keyValueStoreBuilder(supplier, Serdes.String(), Serdes.ByteArray()).withCachingEnabled();
  }

  private static Topology topology(String orders, String userLog, boolean onDisk) {
    var text = Serdes.String();
    var bytes = Serdes.ByteArray();
    return new Topology()
        .addSource("orders", text.deserializer(), bytes.deserializer(), orders)
        .addProcessor("order-lines", Lines::new, "orders")
        .addStateStore(store("lines", onDisk), "order-lines")
        .addSink("to-users", userLog, text.serializer(), bytes.serializer(), "order-lines")
        .addSource("users", text.deserializer(), bytes.deserializer(), userLog)
        .addProcessor("accounts", Accounts::new, "users")
        .addStateStore(store("accounts", onDisk), "accounts");
  }

  private static Properties settings(String[] args) {
    Properties given = new Properties();
    given.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, args[0]);
    given.put(StreamsConfig.APPLICATION_ID_CONFIG, args[1]);
    given.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, args[5]);
    given.put(StreamsConfig.STATE_DIR_CONFIG, args[6]);
    given.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    long commitMs = Long.parseLong(args[7]);
    given.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, commitMs);
    given.put(StreamsConfig.POLL_MS_CONFIG, Math.min(100, commitMs));
    given.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, "1");
    given.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 64L << 20);
    given.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
    given.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), "5000");
    given.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG), 4 << 20);
    given.put(StreamsConfig.consumerPrefix(ConsumerConfig.FETCH_MAX_WAIT_MS_CONFIG), "10");
    given.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 512 << 10);
    given.put(StreamsConfig.producerPrefix(ProducerConfig.BUFFER_MEMORY_CONFIG), 128L << 20);
    return given;
  }

  /** Answers GET /v1/users/U/balance by an interactive query: the account as JSON, 404 when there is none. */
  private static void serve(KafkaStreams streams, int port) throws IOException {
    var wanted =
        StoreQueryParameters.fromNameAndType(
            "accounts", QueryableStoreTypes.<String, byte[]>keyValueStore());
    HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 0);
    server.createContext(
        "/v1/users/",
        exchange -> {
          byte[] found = null;
          try {
            ReadOnlyKeyValueStore<String, byte[]> accounts = streams.store(wanted);
            found = accounts.get(exchange.getRequestURI().getPath().split("/")[3]);
          } catch (InvalidStateStoreException rebalancing) {
            answer(exchange, 503, new byte[] {'-'});
            return;
          }
          answer(exchange, found == null ? 404 : 200, found == null ? new byte[] {'-'} : found);
        });
    server.start();
  }

  private static void answer(HttpExchange exchange, int status, byte[] body) throws IOException {
    exchange.sendResponseHeaders(status, body.length);
    exchange.getResponseBody().write(body);
    exchange.close();
  }

  public static void main(String[] args) throws IOException {
    Topology topology = topology(args[2], args[3], args[4].equals("rocksdb"));
    KafkaStreams streams = new KafkaStreams(topology, settings(args));
    Runtime.getRuntime()
        .addShutdownHook(
            new Thread(
                () -> {
                  streams.close(Duration.ofSeconds(10));
                  Runtime.getRuntime().halt(0);
                }));
    streams.start();
    serve(streams, Integer.parseInt(System.getenv("BENCH_PORT")));
  }
}
