import java.math.BigDecimal;
import java.sql.Array;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.LocalDate;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/** The functions that only read. */
abstract class Reads extends Database {
    Reads() throws SQLException {}

    List<Object> twoReads(int number) throws Exception {
        return inTransaction(true, () -> {
            List<Object> seen = new ArrayList<>(query(kept, BY_ID, Database::row, number));
            seen.addAll(query(kept, BY_ID, Database::row, number));
            return seen;
        });
    }

    List<Object> session() throws Exception {
        String query = "SELECT current_user, current_database(), current_setting('application_name')";
        return query(kept, query, row -> Harness.list(row.getString(1), row.getString(2), row.getString(3))).get(0);
    }

    Object rowSimple(int number) throws Exception {
        try (Connection simple = connected(Map.of("preferQueryMode", "simple"))) {
            return query(simple, BY_ID, Database::row, number);
        }
    }

    Object rowBinary(int number) throws Exception {
        // Described on the server first, so that even the first answer can be binary.
        if (binary == null) binary = connected(Map.of("prepareThreshold", "-1"));
        return query(binary, BY_ID, Database::row, number);
    }

    Object rowUnprepared(int number) throws Exception {
        if (unprepared == null) unprepared = connected(Map.of("prepareThreshold", "0"));
        return query(unprepared, BY_ID, Database::row, number);
    }

    Connection unprepared;
    Connection binary;
    PreparedStatement prepared;

    Object rowPrepared(int number) throws Exception {
        if (prepared == null) prepared = kept.prepareStatement(BY_ID);
        prepared.setInt(1, number);
        List<Object> seen = new ArrayList<>();
        try (ResultSet found = prepared.executeQuery()) {
            while (found.next()) seen.add(row(found));
        }
        return seen;
    }

    Object large() throws Exception {
        List<Long> bigs = new ArrayList<>();
        List<String> names = query(kept, "SELECT name, big FROM kinds WHERE id > 0 ORDER BY id", row -> {
            bigs.add(row.getLong(2));
            return row.getString(1);
        });
        return Harness.digest(names, bigs);
    }

    Object inList(List<Integer> numbers) throws Exception {
        Array array = kept.createArrayOf("int4", numbers.toArray());
        return query(kept, "SELECT name FROM kinds WHERE id = ANY(?) ORDER BY id", row -> row.getString(1), array);
    }

    Object typedParameters(int number) throws Exception {
        String[] names = "id name price at day code body tags paid weight big".split(" ");
        String code = Harness.md5(String.valueOf(number));
        String dashed = code.replaceFirst("(.{8})(.{4})(.{4})(.{4})(.{12})", "$1-$2-$3-$4-$5");
        List<Object> seen = new ArrayList<>();
        for (Object name : new Object[] {"name " + number, null}) {
            Object[] values = {
                number, name, BigDecimal.valueOf(number).multiply(new BigDecimal("1.25")),
                OffsetDateTime.of(2026, 1, 1, 0, 0, 0, 0, ZoneOffset.UTC).plusHours(number),
                LocalDate.of(2026, 1, 1).plusDays(number), UUID.fromString(dashed), new byte[] {0, (byte) 255},
                kept.createArrayOf("text", new Object[] {"a", "b" + number}), number % 2 == 0, number / 4.0,
                number * 1000000000000L,
            };
            String query = "SELECT id FROM kinds WHERE " + String.join(" = ? AND ", names) + " = ?";
            try (PreparedStatement statement = kept.prepareStatement(query)) {
                for (int place = 0; place < values.length; place++)
                    if (values[place] == null) statement.setNull(place + 1, java.sql.Types.VARCHAR);
                    else statement.setObject(place + 1, values[place]);
                List<Integer> ids = new ArrayList<>();
                try (ResultSet found = statement.executeQuery()) {
                    while (found.next()) ids.add(found.getInt(1));
                }
                seen.add(ids);
            }
        }
        return seen;
    }

    Object described() throws Exception {
        try (PreparedStatement statement = kept.prepareStatement("SELECT id, name, price, at, detail FROM kinds WHERE id = -1");
                ResultSet found = statement.executeQuery()) {
            List<String> names = new ArrayList<>();
            for (int place = 1; place <= found.getMetaData().getColumnCount(); place++)
                names.add(found.getMetaData().getColumnName(place));
            return names;
        }
    }

    Object settings(int number) throws Exception {
        // On a connection of its own: pgjdbc reads moments in the time zone that it set itself.
        try (Connection own = connected(Map.of())) {
            run(own, "SET TimeZone TO 'UTC'");
            List<Object> seen = new ArrayList<>();
            for (String zone : new String[] {"UTC", "America/New_York", "UTC"}) {
                run(own, "SET TimeZone TO '" + zone + "'");
                for (int time = 0; time < 2; time++) value(own, "SELECT at::text FROM kinds WHERE id = ?", number);
                seen.add(value(own, "SELECT at::text FROM kinds WHERE id = ?", number));
            }
            return seen;
        }
    }

    Object searchPath(int number) throws Exception {
        List<Object> seen = new ArrayList<>();
        for (String path : new String[] {"public", "other, public", "public", "other, public", "public"}) {
            run(kept, "SET search_path TO " + path);
            for (int time = 0; time < 2; time++) name(number);
            seen.add(name(number));
        }
        run(kept, "RESET search_path");
        return seen;
    }

    Object pool(int connections, int reads) throws Exception {
        var threads = Executors.newFixedThreadPool(connections);
        List<Future<List<Object>>> all = new ArrayList<>();
        for (int place = 0; place < connections; place++)
            all.add(threads.submit(() -> {
                try (Connection own = connected(Map.of())) {
                    List<Object> seen = new ArrayList<>();
                    for (int number = 1; number <= reads; number++) seen.add(value(own, NAME, number));
                    return seen;
                }
            }));
        List<Object> seen = new ArrayList<>();
        for (Future<List<Object>> one : all) seen.add(one.get());
        threads.shutdown();
        return seen;
    }

    Object readOnly(int number) throws Exception {
        kept.setReadOnly(true);
        try {
            return twoReads(number);
        } finally {
            kept.setReadOnly(false);
        }
    }

    Object serializable(int number) throws Exception {
        kept.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
        try {
            return twoReads(number);
        } finally {
            kept.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
        }
    }
}
