import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * A bare count of sightings per server, exactly once, in memory with a changelog: what Kafka Streams does about as fast as it can.
 *
 * <p>Arguments: bootstrap, topic, state directory, and "key" (the record's key is the server, its value is not looked at) or
 * "value" (the server's name is read out of the JSON). Each line on standard input is an application id: the topic is then
 * counted from its beginning, in this same, by then warm, machine. It ends with the input.
 */
public final class CountPerServer {
    private static final String STORE = "counts";

    private CountPerServer() {}

    public static void main(String[] args) throws IOException {
        Topology topology = args[3].equals("value") ? byValue(args[1]) : byKey(args[1]);
        BufferedReader ids = new BufferedReader(new InputStreamReader(System.in));
        for (String id = ids.readLine(); id != null; ) {
            try (KafkaStreams streams = new KafkaStreams(topology, settings(args[0], args[2], id))) {
                streams.start();
                id = ids.readLine();
                streams.close(Duration.ofSeconds(10));
            }
        }
    }

    private static Properties settings(String bootstrap, String stateDir, String id) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, id);
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, stateDir);
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
        return settings;
    }

    private static Topology byKey(String topic) {
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(topic, Consumed.with(Serdes.String(), Serdes.ByteArray()))
            .groupByKey(Grouped.with(Serdes.String(), Serdes.ByteArray()))
            .count(Materialized.<String, Long>as(Stores.inMemoryKeyValueStore(STORE))
                .withKeySerde(Serdes.String())
                .withValueSerde(Serdes.Long()));
        return builder.build();
    }

    /** The same without a repartition topic: the store is kept by a processor, cached and logged as a count's is. */
    private static Topology byValue(String topic) {
        StreamsBuilder builder = new StreamsBuilder();
        builder.addStateStore(
            Stores.keyValueStoreBuilder(Stores.inMemoryKeyValueStore(STORE), Serdes.String(), Serdes.Long())
                .withCachingEnabled()
                .withLoggingEnabled(Map.of()));
        builder.stream(topic, Consumed.with(Serdes.ByteArray(), Serdes.ByteArray())).process(Count::new, STORE);
        return builder.build();
    }

    private static final class Count implements Processor<byte[], byte[], Void, Void> {
        private final ObjectMapper json = new ObjectMapper();
        private KeyValueStore<String, Long> counts;

        @Override
        public void init(ProcessorContext<Void, Void> context) {
            counts = context.getStateStore(STORE);
        }

        @Override
        public void process(Record<byte[], byte[]> sighting) {
            try {
                String server = json.readTree(sighting.value()).path("facts").path("name").asText();
                Long seen = counts.get(server);
                counts.put(server, seen == null ? 1L : seen + 1L);
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
        }
    }
}
