// postgres.js: every query prepared and cached by its text, pipelined by itself.
import { readFileSync } from "node:fs";
import { pipeline as streamed } from "node:stream/promises";
import { Readable } from "node:stream";
import { checkServerIdentity } from "node:tls";
import postgres from "postgres";
import {
  COLUMNS, PARAMETER_COLUMNS, RUNNING, URL_OF_DATABASE, digest, parametersOf, plainRow, range, refused, serve, versionOf,
} from "./harness.mjs";

const notices = [];
const types = { date: { to: 1082, from: [1082], serialize: (day) => day, parse: (text) => text } };
function connected(url = URL_OF_DATABASE, max = 1) {
  const options = { max, types, onnotice: (told) => notices.push(told.message) };
  const parsed = new URL(url);
  const root = parsed.searchParams.get("sslrootcert");
  if (root) {
    // The driver takes no file's name in the URL, and leaves an address unnamed to TLS.
    options.ssl = {
      ca: readFileSync(root),
      checkServerIdentity: (_, certificate) => checkServerIdentity(parsed.hostname, certificate),
    };
    for (const name of ["sslmode", "sslrootcert"]) parsed.searchParams.delete(name);
  }
  return postgres(parsed.toString(), options);
}
const sql = connected();
const name = async (number, on = sql) => (await on`SELECT name FROM kinds WHERE id = ${number}`)[0]?.name ?? null;
const note = async (number, on = sql) => (await on`SELECT body FROM notes WHERE id = ${number}`)[0]?.body ?? null;
const count = async (on = sql) => (await on`SELECT count(*)::int AS counted FROM notes`)[0].counted;
const insert = (number, body, on = sql) => on`INSERT INTO notes VALUES (${number}, ${body})`;
const cleared = () => sql`DELETE FROM notes`;
const byId = async (number, on = sql) =>
  (await on`SELECT ${on.unsafe(COLUMNS)} FROM kinds WHERE id = ${number}`.values()).map(plainRow);
const twoReads = (options, number) =>
  sql.begin(options, async (on) => [...(await byId(number, on)), ...(await byId(number, on))]);

const functions = {
  async connect(url) {
    const other = connected(url);
    const found = await other`SELECT 1`.values();
    await other.end();
    return found[0];
  },
  session: async () =>
    (await sql`SELECT current_user, current_database(), current_setting('application_name')`.values())[0],
  row: (number) => byId(number),
  row_simple: async (number) =>
    (await sql.unsafe(`SELECT ${COLUMNS} FROM kinds WHERE id = ${number}`).simple().values()).map(plainRow),
  row_prepared: async (number) =>
    (await sql.unsafe(`SELECT ${COLUMNS} FROM kinds WHERE id = $1`, [number], { prepare: true }).values()).map(plainRow),
  row_unprepared: async (number) =>
    (await sql.unsafe(`SELECT ${COLUMNS} FROM kinds WHERE id = $1`, [number]).values()).map(plainRow),
  large: async () => digest(await sql`SELECT name, big FROM kinds WHERE id > 0 ORDER BY id`.values()),
  list: async (numbers) =>
    (await sql`SELECT name FROM kinds WHERE id = ANY(${numbers}) ORDER BY id`).map((found) => found.name),
  async typed_parameters(number) {
    const condition = PARAMETER_COLUMNS.map((column, place) => `${column} = $${place + 1}`).join(" AND ");
    const values = parametersOf(number);
    const seen = [];
    for (const given of [values, [number, null, ...values.slice(2)]])
      seen.push((await sql.unsafe(`SELECT id FROM kinds WHERE ${condition}`, given, { prepare: true })).map((one) => one.id));
    return seen;
  },
  async described() {
    const found = await sql`SELECT id, name, price, at, detail FROM kinds WHERE id = ${-1}`;
    return found.columns.map((column) => column.name);
  },
  async settings(number) {
    const seen = [];
    for (const command of ["RESET TimeZone", "SET TimeZone TO 'America/New_York'", "RESET TimeZone"]) {
      await sql.unsafe(command);
      let moment;
      for (let time = 0; time < 3; time++)
        [{ moment }] = await sql`SELECT at::text AS moment FROM kinds WHERE id = ${number}`;
      seen.push(moment);
    }
    return seen;
  },
  async search_path(number) {
    const seen = [];
    const there = "SET search_path TO other, public";
    for (const command of ["RESET search_path", there, "RESET search_path", there, "RESET search_path"]) {
      await sql.unsafe(command);
      for (let time = 0; time < 2; time++) await name(number);
      seen.push(await name(number));
    }
    return seen;
  },
  async pool(connections, reads) {
    const pool = connected(URL_OF_DATABASE, connections);
    const use = async () => {
      const seen = [];
      for (const number of range(1, reads)) seen.push(await name(number, pool));
      return seen;
    };
    const seen = await Promise.all(range(1, connections).map(use));
    await pool.end();
    return seen;
  },
  transaction_reads: (number) => twoReads("", number),
  read_only_transaction: (number) => twoReads("READ ONLY", number),
  serializable_transaction: (number) => twoReads("ISOLATION LEVEL SERIALIZABLE", number),
  async commit() {
    await cleared();
    const seen = await sql.begin(async (on) => {
      for (const number of [1, 2]) await insert(number, "body", on);
      return count(on);
    });
    return [seen, await count()];
  },
  async rollback() {
    await cleared();
    let seen;
    const undone = new Error("roll it back");
    await sql
      .begin(async (on) => {
        for (const number of [1, 2]) await insert(number, "body", on);
        seen = await count(on);
        throw undone;
      })
      .catch((error) => {
        if (error !== undone) throw error;
      });
    return [seen, await count()];
  },
  async read_then_write() {
    await cleared();
    await insert(1, "before");
    const seen = await sql.begin(async (on) => {
      const first = await note(1, on);
      await on`UPDATE notes SET body = 'after' WHERE id = ${1}`;
      return [first, await note(1, on)];
    });
    return [...seen, await note(1)];
  },
  async savepoint() {
    await cleared();
    const error = await sql.begin(async (on) => {
      await insert(1, "body", on);
      const told = await refused(() => on.savepoint((inner) => insert(1, "body", inner)));
      await insert(2, "body", on);
      return told;
    });
    return [error, (await sql`SELECT id FROM notes ORDER BY id`).map((one) => one.id)];
  },
  async write_when_read_only() {
    const error = await refused(() =>
      sql.begin("READ ONLY", async (on) => {
        await name(3, on);
        await insert(1, "body", on);
      }),
    );
    return [error, await name(3)];
  },
  async error_in_transaction() {
    const seen = [];
    await refused(() =>
      sql.begin(async (on) => {
        await name(3, on);
        seen.push(await refused(() => on`SELECT 1/0`), await refused(() => name(3, on)));
        throw new Error("roll it back");
      }),
    );
    return [...seen, await name(3)];
  },
  async errors() {
    const seen = [await refused(() => sql`SELECT 1/0`), await refused(() => sql`SELECT * FROM missing`)];
    seen.push(await refused(() => sql`SELEC 1`), await refused(() => sql`INSERT INTO kinds (id) VALUES (${0})`));
    seen.push(await refused(() => sql`SELECT name FROM kinds WHERE id = ${"seven"}::text::int`));
    return [...seen, await name(3)];
  },
  async write_and_read(rounds) {
    await cleared();
    const seen = [];
    for (let round = 0; round < rounds; round++)
      seen.push([
        (await insert(1, "one")).count, await note(1),
        (await sql`UPDATE notes SET body = ${"two"} WHERE id = ${1}`).count, await note(1),
        (await sql`DELETE FROM notes WHERE id = ${1}`).count, await note(1),
      ]);
    return seen;
  },
  async returning() {
    await cleared();
    return sql`INSERT INTO notes VALUES (${5}, ${"made"}) RETURNING id, body`.values();
  },
  async batch(total) {
    await cleared();
    await Promise.all(range(0, total - 1).map((number) => insert(number, `note ${number}`)));
    return [await count(), await note(total - 1)];
  },
  pipeline: (total) => Promise.all(range(1, total).map((number) => name(number))),
  async pipeline_of_both() {
    await cleared();
    // A query is sent when it is awaited, or told to.
    const all = await Promise.all([
      insert(1, "one").execute(),
      sql`SELECT body FROM notes WHERE id = ${1}`.execute(),
      sql`UPDATE notes SET body = 'two' WHERE id = ${1}`.execute(),
      sql`SELECT body FROM notes WHERE id = ${1}`.execute(),
      sql`SELECT name FROM kinds WHERE id = ${3}`.execute(),
    ]);
    return [all[1][0].body, all[3][0].body, all[4][0].name];
  },
  pipeline_with_an_error: () => Promise.all([name(3), refused(() => sql`SELECT 1/0`), name(4)]),
  async several_statements() {
    const found = await sql.unsafe("SELECT 1 AS one; SELECT name FROM kinds WHERE id = 3; SELECT 2 AS two").simple();
    return found.map((result) => Object.values(result[0]).map(String));
  },
  async cursor(size) {
    return sql.begin(async (on) => {
      const numbers = [];
      for await (const part of on`SELECT id FROM kinds WHERE id BETWEEN ${1} AND ${1000} ORDER BY id`.cursor(size))
        numbers.push(...part.map((one) => one.id));
      return [numbers.length, numbers.reduce((total, id) => total + id, 0), await name(3, on)];
    });
  },
  async copy_in(total) {
    await cleared();
    const lines = range(0, total - 1).map((number) => `${number}\tnote ${number}\n`);
    await streamed(Readable.from(lines), await sql`COPY notes FROM STDIN`.writable());
    return [await count(), await note(total - 1)];
  },
  async copy_out(total) {
    let text = "";
    const query = `COPY (SELECT id, name FROM kinds WHERE id BETWEEN 1 AND ${total} ORDER BY id) TO STDOUT`;
    for await (const part of await sql.unsafe(query).readable()) text += part;
    return text;
  },
  async listen(...payloads) {
    const heard = [];
    let arrived;
    const listening = await sql.listen("news", (payload) => arrived(payload));
    for (const payload of payloads) {
      const told = new Promise((resolve) => (arrived = resolve));
      await sql.notify("news", payload);
      heard.push(await told);
    }
    await listening.unlisten();
    return heard;
  },
  async notice() {
    notices.length = 0;
    await sql`DO $$ BEGIN RAISE NOTICE 'noticed'; END $$`.simple();
    return [...notices];
  },
  async cancel() {
    const query = sql`SELECT pg_sleep(30)`;
    const error = refused(() => query);
    const other = connected();
    while (!(await other.unsafe(RUNNING)).length);
    await other.end();
    query.cancel();
    return [await error, await name(3)];
  },
};

serve("postgres.js", versionOf("postgres"), functions);
