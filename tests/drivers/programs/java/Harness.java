import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.math.BigInteger;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.sql.SQLException;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.stream.Collectors;
import org.postgresql.util.PSQLException;

/** The loop of the program: a line in, a call, a line out. See tests/drivers/programs/__init__.py. */
final class Harness {
    interface Function {
        Object call(JsonArray arguments) throws Exception;
    }

    interface Attempt {
        void run() throws Exception;
    }

    private static final Gson GSON = new GsonBuilder().serializeNulls().disableHtmlEscaping().create();

    private Harness() {}

    static void serve(String driver, String version, Map<String, Function> functions) throws Exception {
        say(Map.of("driver", driver, "version", version, "functions", functions.keySet()));
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line; (line = input.readLine()) != null; ) {
            JsonObject asked = JsonParser.parseString(line).getAsJsonObject();
            Map<String, Object> told = new LinkedHashMap<>();
            try {
                told.put("answer", functions.get(asked.get("run").getAsString()).call(asked.getAsJsonArray("with")));
            } catch (SQLException error) {
                told.put("error", shown(error));
            } catch (Exception error) {
                StringWriter trace = new StringWriter();
                error.printStackTrace(new PrintWriter(trace));
                told.put("crash", trace.toString());
            }
            say(told);
        }
    }

    private static void say(Object line) {
        System.out.println(GSON.toJson(line));
    }

    /** An error of Postgres in the form that all programs show. */
    static Map<String, Object> shown(SQLException error) {
        Map<String, Object> shown = new LinkedHashMap<>();
        var told = error instanceof PSQLException inner ? inner.getServerErrorMessage() : null;
        shown.put("sqlstate", error.getSQLState());
        shown.put("message", told == null ? error.getMessage() : told.getMessage());
        shown.put("detail", told == null ? null : told.getDetail());
        shown.put("constraint", told == null ? null : told.getConstraint());
        return shown;
    }

    static Map<String, Object> refused(Attempt attempt) throws Exception {
        try {
            attempt.run();
        } catch (SQLException error) {
            return shown(error);
        }
        throw new IllegalStateException("an error was to be expected");
    }

    /** The properties of a libpq URL, as pgjdbc calls them, and its JDBC URL under the empty name. */
    static Properties properties(String libpqUrl) {
        URI uri = URI.create(libpqUrl);
        Properties properties = new Properties();
        String[] credentials = uri.getUserInfo().split(":", 2);
        properties.setProperty("user", credentials[0]);
        if (credentials.length > 1) properties.setProperty("password", credentials[1]);
        for (String pair : (uri.getQuery() == null ? "" : uri.getQuery()).split("&")) {
            if (pair.isEmpty()) continue;
            String[] parts = pair.split("=", 2);
            String name = Map.of("application_name", "ApplicationName", "channel_binding", "channelBinding")
                .getOrDefault(parts[0], parts[0]);
            properties.setProperty(name, parts[1]);
        }
        properties.setProperty("", "jdbc:postgresql://" + uri.getHost() + ":" + uri.getPort() + uri.getPath());
        return properties;
    }

    /** What is told of many rows of name and big: their number, a hash and a sum. */
    static List<Object> digest(List<String> names, List<Long> bigs) throws Exception {
        byte[] hash = MessageDigest.getInstance("SHA-256").digest(String.join("\n", names).getBytes(StandardCharsets.UTF_8));
        BigInteger sum = bigs.stream().map(BigInteger::valueOf).reduce(BigInteger.ZERO, BigInteger::add);
        return List.of(names.size(), HexFormat.of().formatHex(hash), sum.toString());
    }

    static String md5(String text) throws Exception {
        return HexFormat.of().formatHex(MessageDigest.getInstance("MD5").digest(text.getBytes(StandardCharsets.UTF_8)));
    }

    static List<Integer> integers(JsonArray array) {
        return array.asList().stream().map(one -> one.getAsInt()).collect(Collectors.toList());
    }

    static List<Object> list(Object... values) {
        return Arrays.asList(values);
    }
}
