package bench;

import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.ObjectWriter;
import com.fasterxml.jackson.module.blackbird.BlackbirdModule;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.Properties;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.serialization.AbstractDeserializationSchema;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.producer.ProducerRecord;

/** The toy fold on Flink, exactly once: see bench/toy.py for the fold, bench/README.md for settings. */
public final class ToyFlink {
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

  /** What the state of a line is. */
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

  /** A message and its user. */
  public static final class UserChange {
    public String user;
    public Change change;
  }

  /** What the state of an account is. */
  public static final class Account {
    public long events, lines, rebate;
  }

  /** An account and its user. */
  public static final class UserAccount {
    public String user;
    public Account account;
  }

  /** Decodes orders. */
  static final class Orders extends AbstractDeserializationSchema<Order> {
    private static final ObjectReader READER = JSON.readerFor(Order.class);

    Orders() {
      super(Order.class);
    }

    @Override
    public Order deserialize(byte[] value) throws IOException {
      return READER.readValue(value);
    }
  }

  /** Stage 1: an order becomes its line's state and a message to its user. */
  static final class Lines extends KeyedProcessFunction<String, Order, UserChange> {
    private transient ValueState<Line> state;

    @Override
    public void open(OpenContext context) {
      state = getRuntimeContext().getState(new ValueStateDescriptor<>("line", Line.class));
    }

    @Override
    public void processElement(Order order, Context context, Collector<UserChange> out) throws Exception {
      Line before = state.value();
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
      state.update(line);
      UserChange sent = new UserChange();
      sent.user = order.user_id;
      sent.change = new Change();
      sent.change.line = context.getCurrentKey();
      sent.change.version = order.version;
      sent.change.status = order.status;
      sent.change.lines = before == null ? 1 : 0;
      sent.change.rebate = line.rebate - (before == null ? 0 : before.rebate);
      out.collect(sent);
    }
  }

  /** Stage 2: a message changes its user's account, which is written. */
  static final class Accounts extends KeyedProcessFunction<String, UserChange, UserAccount> {
    private transient ValueState<Account> state;

    @Override
    public void open(OpenContext context) {
      state = getRuntimeContext().getState(new ValueStateDescriptor<>("account", Account.class));
    }

    @Override
    public void processElement(UserChange taken, Context context, Collector<UserAccount> out)
        throws Exception {
      Account account = state.value();
      if (account == null) {
        account = new Account();
      }
      account.events += 1;
      account.lines += taken.change.lines;
      account.rebate += taken.change.rebate;
      state.update(account);
      UserAccount written = new UserAccount();
      written.user = taken.user;
      written.account = account;
      out.collect(written);
    }
  }

  /** Encodes messages under their user's id. */
  static final class Changes implements KafkaRecordSerializationSchema<UserChange> {
    private static final ObjectWriter WRITER = JSON.writerFor(Change.class);
    private final String topic;

    Changes(String topic) {
      this.topic = topic;
    }

    @Override
    public ProducerRecord<byte[], byte[]> serialize(
        UserChange sent, KafkaSinkContext context, Long timestamp) {
      return record(topic, sent.user, WRITER, sent.change);
    }
  }

  /** Encodes accounts under their user's id. */
  static final class States implements KafkaRecordSerializationSchema<UserAccount> {
    private static final ObjectWriter WRITER = JSON.writerFor(Account.class);
    private final String topic;

    States(String topic) {
      this.topic = topic;
    }

    @Override
    public ProducerRecord<byte[], byte[]> serialize(
        UserAccount written, KafkaSinkContext context, Long timestamp) {
      return record(topic, written.user, WRITER, written.account);
    }
  }

  private static ProducerRecord<byte[], byte[]> record(
      String topic, String user, ObjectWriter writer, Object value) {
    try {
      byte[] key = user.getBytes(StandardCharsets.UTF_8);
      return new ProducerRecord<>(topic, key, writer.writeValueAsBytes(value));
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  private static <T> KafkaSink<T> sink(
      String broker, String name, KafkaRecordSerializationSchema<T> schema) {
    Properties producer = new Properties();
    producer.put("transaction.timeout.ms", "600000");
    producer.put("batch.size", Integer.toString(512 << 10));
    producer.put("linger.ms", "20");
    producer.put("buffer.memory", Integer.toString(64 << 20));
    return KafkaSink.<T>builder()
        .setBootstrapServers(broker)
        .setKafkaProducerConfig(producer)
        .setDeliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE)
        .setTransactionalIdPrefix(name)
        .setRecordSerializer(schema)
        .build();
  }

  private static Configuration settings(String folder, String parallelism) {
    Configuration given = new Configuration();
    given.setString("parallelism.default", parallelism);
    given.setString("taskmanager.numberOfTaskSlots", parallelism);
    given.setString("taskmanager.memory.managed.size", "256m");
    given.setString("state.backend.type", "rocksdb");
    given.setString("execution.checkpointing.incremental", "true");
    given.setString("execution.checkpointing.interval", "1s");
    given.setString("execution.checkpointing.mode", "EXACTLY_ONCE");
    given.setString("execution.checkpointing.dir", "file://" + folder + "/checkpoints");
    given.setString("pipeline.object-reuse", "true");
    return given;
  }

  public static void main(String[] args) throws Exception {
    String broker = args[0];
    String name = args[1];
    StreamExecutionEnvironment flink =
        StreamExecutionEnvironment.createLocalEnvironment(settings(args[5], args[6]));
    KafkaSource<Order> source =
        KafkaSource.<Order>builder()
            .setBootstrapServers(broker)
            .setTopics(args[2])
            .setGroupId(name)
            .setStartingOffsets(OffsetsInitializer.earliest())
            .setValueOnlyDeserializer(new Orders())
            .setProperty("isolation.level", "read_committed")
            .setProperty("max.poll.records", "5000")
            .setProperty("fetch.max.wait.ms", "10")
            .setProperty("max.partition.fetch.bytes", Integer.toString(4 << 20))
            .build();
    DataStream<UserChange> changes =
        flink
            .fromSource(source, WatermarkStrategy.noWatermarks(), "orders")
            .keyBy(order -> order.platform + ":" + order.order_line_id)
            .process(new Lines());
    changes.sinkTo(sink(broker, name + "-user-log", new Changes(args[3])));
    changes
        .keyBy(change -> change.user)
        .process(new Accounts())
        .sinkTo(sink(broker, name + "-accounts", new States(args[4])));
    flink.execute("toy");
  }
}
