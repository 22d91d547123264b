import com.google.gson.JsonParser;
import java.math.BigDecimal;
import java.sql.Array;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.LocalDate;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Callable;

/** One connection that is kept, and what is asked on it. */
abstract class Database {
    static final String COLUMNS = "id, name, price, at, day, code, detail, body, tags, paid, weight, big";
    static final String BY_ID = "SELECT " + COLUMNS + " FROM kinds WHERE id = ?";
    static final String NAME = "SELECT name FROM kinds WHERE id = ?";
    static final String NOTE = "SELECT body FROM notes WHERE id = ?";
    static final String INSERT = "INSERT INTO notes VALUES (?, ?)";
    static final String RUNNING =
        "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(30)%' AND state = 'active'";

    final Connection kept;

    Database() throws SQLException {
        kept = connected(Map.of());
    }

    static Connection connected(Map<String, String> options) throws SQLException {
        return connected(System.getenv("DATABASE_URL"), options);
    }

    static Connection connected(String url, Map<String, String> options) throws SQLException {
        Properties properties = Harness.properties(url);
        properties.putAll(options);
        String jdbc = (String) properties.remove("");
        return DriverManager.getConnection(jdbc, properties);
    }

    interface Reading<T> {
        T read(ResultSet found) throws Exception;
    }

    static <T> List<T> query(Connection on, String query, Reading<T> reading, Object... values) throws Exception {
        try (PreparedStatement statement = on.prepareStatement(query)) {
            set(statement, values);
            List<T> seen = new ArrayList<>();
            try (ResultSet found = statement.executeQuery()) {
                while (found.next()) seen.add(reading.read(found));
            }
            return seen;
        }
    }

    static int update(Connection on, String query, Object... values) throws SQLException {
        try (PreparedStatement statement = on.prepareStatement(query)) {
            set(statement, values);
            return statement.executeUpdate();
        }
    }

    static void set(PreparedStatement statement, Object... values) throws SQLException {
        for (int place = 0; place < values.length; place++) statement.setObject(place + 1, values[place]);
    }

    static void run(Connection on, String query) throws SQLException {
        try (Statement statement = on.createStatement()) {
            statement.execute(query);
        }
    }

    static Object value(Connection on, String query, Object... values) throws Exception {
        List<Object> found = query(on, query, row -> row.getObject(1), values);
        return found.isEmpty() ? null : found.get(0);
    }

    Object name(int number) throws Exception {
        return value(kept, NAME, number);
    }

    static long count(Connection on) throws Exception {
        return (Long) value(on, "SELECT count(*) FROM notes");
    }

    static List<Object> row(ResultSet found) throws Exception {
        BigDecimal price = found.getBigDecimal("price");
        OffsetDateTime at = found.getObject("at", OffsetDateTime.class);
        LocalDate day = found.getObject("day", LocalDate.class);
        Object code = found.getObject("code");
        String detail = found.getString("detail");
        byte[] body = found.getBytes("body");
        Array tags = found.getArray("tags");
        Object big = found.getObject("big");
        return Harness.list(
            found.getInt("id"), found.getString("name"), price == null ? null : price.toPlainString(),
            at == null ? null : at.withOffsetSameInstant(ZoneOffset.UTC).format(DateTimeFormatter.ofPattern("uuuu-MM-dd'T'HH:mm:ss'Z'")),
            day == null ? null : day.toString(), code == null ? null : code.toString(),
            detail == null ? null : JsonParser.parseString(detail), body == null ? null : HexFormat.of().formatHex(body),
            tags == null ? null : tags.getArray(), found.getObject("paid"), found.getObject("weight"),
            big == null ? null : big.toString());
    }

    static void clear(Connection on) throws SQLException {
        run(on, "DELETE FROM notes");
    }

    <T> T inTransaction(boolean commits, Callable<T> work) throws Exception {
        kept.setAutoCommit(false);
        try {
            T seen = work.call();
            if (commits) kept.commit();
            else kept.rollback();
            return seen;
        } finally {
            kept.setAutoCommit(true);
        }
    }
}
