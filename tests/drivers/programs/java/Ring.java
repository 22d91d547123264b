import java.io.StringReader;
import java.io.StringWriter;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executors;
import org.postgresql.PGConnection;
import org.postgresql.copy.CopyManager;

/** pgjdbc. A query is prepared on the server from its fifth run on; from then its answers are binary where they can be. */
final class Ring extends Reads {
    private Ring() throws SQLException {}

    private List<Object> counts(boolean commits) throws Exception {
        clear(kept);
        long inside = inTransaction(commits, () -> {
            for (int number : new int[] {1, 2}) update(kept, INSERT, number, "body");
            return count(kept);
        });
        return Harness.list(inside, count(kept));
    }

    private Object readThenWrite() throws Exception {
        clear(kept);
        update(kept, INSERT, 1, "before");
        List<Object> seen = inTransaction(true, () -> {
            Object first = value(kept, NOTE, 1);
            update(kept, "UPDATE notes SET body = 'after' WHERE id = ?", 1);
            return new ArrayList<>(Harness.list(first, value(kept, NOTE, 1)));
        });
        seen.add(value(kept, NOTE, 1));
        return seen;
    }

    private Object savepoint() throws Exception {
        clear(kept);
        Object refused = inTransaction(true, () -> {
            update(kept, INSERT, 1, "body");
            Savepoint here = kept.setSavepoint();
            Object told = Harness.refused(() -> update(kept, INSERT, 1, "body"));
            kept.rollback(here);
            update(kept, INSERT, 2, "body");
            return told;
        });
        return Harness.list(refused, query(kept, "SELECT id FROM notes ORDER BY id", row -> row.getInt(1)));
    }

    private Object writeWhenReadOnly() throws Exception {
        kept.setReadOnly(true);
        try {
            Object refused = inTransaction(false, () -> {
                name(3);
                return Harness.refused(() -> update(kept, INSERT, 1, "body"));
            });
            return Harness.list(refused, name(3));
        } finally {
            kept.setReadOnly(false);
        }
    }

    private Object errorInTransaction() throws Exception {
        List<Object> seen = inTransaction(false, () -> {
            name(3);
            return new ArrayList<>(Harness.list(
                Harness.refused(() -> value(kept, "SELECT 1/0")), Harness.refused(() -> name(3))));
        });
        seen.add(name(3));
        return seen;
    }

    private Object errors() throws Exception {
        List<Object> seen = new ArrayList<>();
        for (String query : new String[] {"SELECT 1/0", "SELECT * FROM missing", "SELEC 1"})
            seen.add(Harness.refused(() -> value(kept, query)));
        seen.add(Harness.refused(() -> update(kept, "INSERT INTO kinds (id) VALUES (?)", 0)));
        seen.add(Harness.refused(() -> value(kept, "SELECT name FROM kinds WHERE id = ?::text::int", "seven")));
        seen.add(name(3));
        return seen;
    }

    private Object writeAndRead(int rounds) throws Exception {
        clear(kept);
        List<Object> seen = new ArrayList<>();
        for (int round = 0; round < rounds; round++) {
            List<Object> now = new ArrayList<>();
            now.add(update(kept, INSERT, 1, "one"));
            now.add(value(kept, NOTE, 1));
            now.add(update(kept, "UPDATE notes SET body = ? WHERE id = ?", "two", 1));
            now.add(value(kept, NOTE, 1));
            now.add(update(kept, "DELETE FROM notes WHERE id = ?", 1));
            now.add(value(kept, NOTE, 1));
            seen.add(now);
        }
        return seen;
    }

    private Object returning() throws Exception {
        clear(kept);
        String query = INSERT + " RETURNING id, body";
        return query(kept, query, row -> Harness.list(row.getInt(1), row.getString(2)), 5, "made");
    }

    private Object batch(int count) throws Exception {
        clear(kept);
        try (PreparedStatement statement = kept.prepareStatement(INSERT)) {
            for (int number = 0; number < count; number++) {
                set(statement, number, "note " + number);
                statement.addBatch();
            }
            statement.executeBatch();
        }
        return Harness.list(count(kept), value(kept, NOTE, count - 1));
    }

    private Object severalStatements() throws Exception {
        List<Object> seen = new ArrayList<>();
        try (Statement statement = kept.createStatement()) {
            boolean more = statement.execute("SELECT 1; SELECT name FROM kinds WHERE id = 3; SELECT 2");
            while (more) {
                ResultSet found = statement.getResultSet();
                found.next();
                seen.add(List.of(found.getString(1)));
                more = statement.getMoreResults();
            }
        }
        return seen;
    }

    private Object cursor(int size) throws Exception {
        return inTransaction(true, () -> {
            try (Statement statement = kept.createStatement()) {
                statement.setFetchSize(size); // a portal that is fetched in parts
                int count = 0;
                long sum = 0;
                Object between = null;
                try (ResultSet found = statement.executeQuery("SELECT id FROM kinds WHERE id BETWEEN 1 AND 1000 ORDER BY id")) {
                    while (found.next()) {
                        if (count++ == size) between = name(3);
                        sum += found.getInt(1);
                    }
                }
                return Harness.list(count, sum, between);
            }
        });
    }

    private Object copyIn(int count) throws Exception {
        clear(kept);
        StringBuilder text = new StringBuilder();
        for (int number = 0; number < count; number++) text.append(number).append("\tnote ").append(number).append('\n');
        CopyManager copy = kept.unwrap(PGConnection.class).getCopyAPI();
        copy.copyIn("COPY notes FROM STDIN", new StringReader(text.toString()));
        return Harness.list(count(kept), value(kept, NOTE, count - 1));
    }

    private Object copyOut(int count) throws Exception {
        StringWriter text = new StringWriter();
        String query = "COPY (SELECT id, name FROM kinds WHERE id BETWEEN 1 AND " + count + " ORDER BY id) TO STDOUT";
        kept.unwrap(PGConnection.class).getCopyAPI().copyOut(query, text);
        return text.toString();
    }

    private Object listen(List<String> payloads) throws Exception {
        run(kept, "LISTEN news");
        List<Object> heard = new ArrayList<>();
        try (Connection other = connected(Map.of())) {
            for (String payload : payloads) {
                value(other, "SELECT pg_notify('news', ?)", payload);
                for (var told : kept.unwrap(PGConnection.class).getNotifications(10_000)) heard.add(told.getParameter());
            }
        }
        run(kept, "UNLISTEN news");
        return heard;
    }

    private Object notice() throws Exception {
        try (Statement statement = kept.createStatement()) {
            statement.execute("DO $$ BEGIN RAISE NOTICE 'noticed'; END $$");
            return Harness.list(statement.getWarnings().getMessage());
        }
    }

    private Object cancel() throws Exception {
        try (Statement statement = kept.createStatement(); Connection other = connected(Map.of())) {
            var thread = Executors.newSingleThreadExecutor();
            var error = thread.submit(() -> Harness.refused(() -> statement.execute("SELECT pg_sleep(30)")));
            while (value(other, RUNNING) == null) Thread.onSpinWait();
            statement.cancel();
            Object seen = error.get();
            thread.shutdown();
            return Harness.list(seen, name(3));
        }
    }

    private Map<String, Harness.Function> functions() {
        Map<String, Harness.Function> all = new LinkedHashMap<>();
        all.put("connect", with -> {
            try (Connection other = connected(with.get(0).getAsString(), Map.of())) {
                return Harness.list(value(other, "SELECT 1"));
            }
        });
        all.put("session", with -> session());
        all.put("row", with -> query(kept, BY_ID, Database::row, with.get(0).getAsInt()));
        all.put("row_simple", with -> rowSimple(with.get(0).getAsInt()));
        all.put("row_unprepared", with -> rowUnprepared(with.get(0).getAsInt()));
        all.put("row_binary", with -> rowBinary(with.get(0).getAsInt()));
        all.put("row_prepared", with -> rowPrepared(with.get(0).getAsInt()));
        all.put("large", with -> large());
        all.put("list", with -> inList(Harness.integers(with.get(0).getAsJsonArray())));
        all.put("typed_parameters", with -> typedParameters(with.get(0).getAsInt()));
        all.put("described", with -> described());
        all.put("settings", with -> settings(with.get(0).getAsInt()));
        all.put("search_path", with -> searchPath(with.get(0).getAsInt()));
        all.put("pool", with -> pool(with.get(0).getAsInt(), with.get(1).getAsInt()));
        all.put("transaction_reads", with -> twoReads(with.get(0).getAsInt()));
        all.put("read_only_transaction", with -> readOnly(with.get(0).getAsInt()));
        all.put("serializable_transaction", with -> serializable(with.get(0).getAsInt()));
        all.put("commit", with -> counts(true));
        all.put("rollback", with -> counts(false));
        all.put("read_then_write", with -> readThenWrite());
        all.put("savepoint", with -> savepoint());
        all.put("write_when_read_only", with -> writeWhenReadOnly());
        all.put("error_in_transaction", with -> errorInTransaction());
        all.put("errors", with -> errors());
        all.put("write_and_read", with -> writeAndRead(with.get(0).getAsInt()));
        all.put("returning", with -> returning());
        all.put("batch", with -> batch(with.get(0).getAsInt()));
        all.put("several_statements", with -> severalStatements());
        all.put("cursor", with -> cursor(with.get(0).getAsInt()));
        all.put("copy_in", with -> copyIn(with.get(0).getAsInt()));
        all.put("copy_out", with -> copyOut(with.get(0).getAsInt()));
        all.put("listen", with -> listen(with.asList().stream().map(one -> one.getAsString()).toList()));
        all.put("notice", with -> notice());
        all.put("cancel", with -> cancel());
        return all;
    }

    public static void main(String[] arguments) throws Exception {
        Harness.serve("pgjdbc", org.postgresql.util.DriverInfo.DRIVER_VERSION, new Ring().functions());
    }
}
