import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.nio.file.Path;
import org.opensearch.common.logging.LogConfigurator;
import org.opensearch.common.settings.Settings;
import org.opensearch.env.Environment;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;
import org.opensearch.plugins.Plugin;

/** A home folder with config/opensearch.yml -> one OpenSearch node, until SIGTERM. A module that is missing is an error. */
public final class OpenSearchNode extends Node {
    private static final List<String> MODULES = List.of(
        "org.opensearch.transport.Netty4Plugin",
        "org.opensearch.analysis.common.CommonAnalysisPlugin",
        "org.opensearch.painless.PainlessPlugin",
        "org.opensearch.index.mapper.MapperExtrasPlugin",
        "org.opensearch.index.reindex.ReindexPlugin",
        "org.opensearch.search.aggregations.matrix.MatrixAggregationPlugin",
        "org.opensearch.geo.GeoModulePlugin",
        "org.opensearch.ingest.common.IngestCommonPlugin",
        "org.opensearch.script.expression.ExpressionPlugin",
        "org.opensearch.script.mustache.MustachePlugin");

    private OpenSearchNode(Environment environment, Collection<Class<? extends Plugin>> modules) {
        super(environment, modules, true);
    }

    public static void main(String[] arguments) throws Exception {
        Settings home = Settings.builder().put(Environment.PATH_HOME_SETTING.getKey(), Path.of(arguments[0])).build();
        Environment environment = InternalSettingsPreparer.prepareEnvironment(home, Map.of(), null, () -> "opensearch");
        LogConfigurator.setNodeName("opensearch");
        LogConfigurator.configure(environment);
        List<Class<? extends Plugin>> modules = new ArrayList<>();
        for (String name : MODULES) {
            modules.add(Class.forName(name).asSubclass(Plugin.class));
        }
        try {
            Node node = new OpenSearchNode(environment, modules);
            CountDownLatch closed = new CountDownLatch(1);
            Runtime.getRuntime().addShutdownHook(new Thread(() -> {
                try {
                    node.close();
                } catch (Exception error) {
                    error.printStackTrace();
                }
                closed.countDown();
            }));
            node.start();
            closed.await();
        } catch (Throwable error) {
            error.printStackTrace();
            for (Throwable cause = error; cause != null; cause = cause.getCause()) {
                System.err.println("cannot start: " + cause); // once more, where who reads the end of the log sees it
            }
            Runtime.getRuntime().halt(1); // threads of a half-built node would keep the process alive
        }
    }
}
