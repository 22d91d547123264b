// node-postgres: unnamed statements, or named ones where a query has a name.
import { pipeline as streamed } from "node:stream/promises";
import { Readable } from "node:stream";
import pg from "pg";
import Cursor from "pg-cursor";
import { from as copyFrom, to as copyTo } from "pg-copy-streams";
import {
  COLUMNS, PARAMETER_COLUMNS, RUNNING, URL_OF_DATABASE, digest, parametersOf, plainRow, range, refused, serve, versionOf,
} from "./harness.mjs";

const BY_ID = `SELECT ${COLUMNS} FROM kinds WHERE id = $1`;
const NAME = "SELECT name FROM kinds WHERE id = $1";
const NOTE = "SELECT body FROM notes WHERE id = $1";
const COUNT = "SELECT count(*)::int FROM notes";
const INSERT = "INSERT INTO notes VALUES ($1, $2)";

let kept;
async function connected(url = URL_OF_DATABASE) {
  const client = new pg.Client({ connectionString: url, enableChannelBinding: url.includes("channel_binding=require") });
  await client.connect();
  return client;
}
const client = async () => (kept ??= await connected());
async function rows(query, values) {
  const found = await (await client()).query({ text: query, values, rowMode: "array" });
  return found.rows;
}
const value = async (query, ...values) => (await rows(query, values))[0]?.[0] ?? null;
const name = (number) => value(NAME, number);
async function cleared() {
  await (await client()).query("DELETE FROM notes");
  return client();
}
async function inTransaction(begin, end, run) {
  const connection = await client();
  await connection.query(begin);
  const seen = await run(connection);
  await connection.query(end);
  return seen;
}
async function twoReads(begin, number) {
  return inTransaction(begin, "COMMIT", async () => {
    const seen = [];
    for (let time = 0; time < 2; time++) seen.push(...(await rows(BY_ID, [number])).map(plainRow));
    return seen;
  });
}
async function counts(end) {
  await cleared();
  const seen = await inTransaction("BEGIN", end, async (connection) => {
    for (const number of [1, 2]) await connection.query(INSERT, [number, "body"]);
    return [await value(COUNT)];
  });
  return [...seen, await value(COUNT)];
}

const functions = {
  async connect(url) {
    const other = await connected(url);
    const found = await other.query({ text: "SELECT 1", rowMode: "array" });
    await other.end();
    return found.rows[0];
  },
  async session() {
    return (await rows("SELECT current_user, current_database(), current_setting('application_name')"))[0];
  },
  row: async (number) => (await rows(BY_ID, [number])).map(plainRow),
  row_simple: async (number) => (await rows(BY_ID.replace("$1", number))).map(plainRow),
  row_unprepared: async (number) => (await rows(BY_ID, [number])).map(plainRow), // without a name, as always
  async row_prepared(number) {
    const found = await (await client()).query({ name: "by_id", text: BY_ID, values: [number], rowMode: "array" });
    return found.rows.map(plainRow);
  },
  large: async () => digest(await rows("SELECT name, big FROM kinds WHERE id > 0 ORDER BY id")),
  list: async (numbers) =>
    (await rows("SELECT name FROM kinds WHERE id = ANY($1) ORDER BY id", [numbers])).map(([found]) => found),
  async typed_parameters(number) {
    const condition = PARAMETER_COLUMNS.map((column, place) => `${column} = $${place + 1}`).join(" AND ");
    const values = parametersOf(number);
    const seen = [];
    for (const given of [values, [number, null, ...values.slice(2)]])
      seen.push((await rows(`SELECT id FROM kinds WHERE ${condition}`, given)).map(([id]) => id));
    return seen;
  },
  async described() {
    const found = await (await client()).query("SELECT id, name, price, at, detail FROM kinds WHERE id = $1", [-1]);
    return found.fields.map((field) => field.name);
  },
  async settings(number) {
    const seen = [];
    for (const command of ["RESET TimeZone", "SET TimeZone TO 'America/New_York'", "RESET TimeZone"]) {
      await rows(command);
      for (let time = 0; time < 2; time++) await value("SELECT at::text FROM kinds WHERE id = $1", number);
      seen.push(await value("SELECT at::text FROM kinds WHERE id = $1", number));
    }
    return seen;
  },
  async search_path(number) {
    const seen = [];
    const there = "SET search_path TO other, public";
    for (const command of ["RESET search_path", there, "RESET search_path", there, "RESET search_path"]) {
      await rows(command);
      for (let time = 0; time < 2; time++) await name(number);
      seen.push(await name(number));
    }
    return seen;
  },
  async pool(connections, reads) {
    const pool = new pg.Pool({ connectionString: URL_OF_DATABASE, max: connections });
    const use = async () => {
      const seen = [];
      for (const number of range(1, reads)) seen.push((await pool.query(NAME, [number])).rows[0].name);
      return seen;
    };
    const seen = await Promise.all(range(1, connections).map(use));
    await pool.end();
    return seen;
  },
  transaction_reads: (number) => twoReads("BEGIN", number),
  read_only_transaction: (number) => twoReads("BEGIN READ ONLY", number),
  serializable_transaction: (number) => twoReads("BEGIN ISOLATION LEVEL SERIALIZABLE", number),
  commit: () => counts("COMMIT"),
  rollback: () => counts("ROLLBACK"),
  async read_then_write() {
    await (await cleared()).query(INSERT, [1, "before"]);
    const seen = await inTransaction("BEGIN", "COMMIT", async (connection) => {
      const first = await value(NOTE, 1);
      await connection.query("UPDATE notes SET body = 'after' WHERE id = $1", [1]);
      return [first, await value(NOTE, 1)];
    });
    return [...seen, await value(NOTE, 1)];
  },
  async savepoint() {
    await cleared();
    const error = await inTransaction("BEGIN", "COMMIT", async (connection) => {
      await connection.query(INSERT, [1, "body"]);
      await connection.query("SAVEPOINT here");
      const told = await refused(() => connection.query(INSERT, [1, "body"]));
      await connection.query("ROLLBACK TO SAVEPOINT here");
      await connection.query(INSERT, [2, "body"]);
      return told;
    });
    return [error, (await rows("SELECT id FROM notes ORDER BY id")).map(([id]) => id)];
  },
  async write_when_read_only() {
    const error = await inTransaction("BEGIN READ ONLY", "ROLLBACK", async (connection) => {
      await name(3);
      return refused(() => connection.query(INSERT, [1, "body"]));
    });
    return [error, await name(3)];
  },
  async error_in_transaction() {
    const seen = await inTransaction("BEGIN", "ROLLBACK", async () => {
      await name(3);
      return [await refused(() => rows("SELECT 1/0")), await refused(() => name(3))];
    });
    return [...seen, await name(3)];
  },
  async errors() {
    const seen = [];
    for (const query of ["SELECT 1/0", "SELECT * FROM missing", "SELEC 1"]) seen.push(await refused(() => rows(query)));
    seen.push(await refused(() => rows("INSERT INTO kinds (id) VALUES ($1)", [0])));
    seen.push(await refused(() => rows("SELECT name FROM kinds WHERE id = $1::text::int", ["seven"])));
    return [...seen, await name(3)];
  },
  async write_and_read(rounds) {
    const connection = await cleared();
    const written = async (query, values) => [(await connection.query(query, values)).rowCount, await value(NOTE, 1)];
    const seen = [];
    for (let round = 0; round < rounds; round++)
      seen.push([
        ...(await written(INSERT, [1, "one"])),
        ...(await written("UPDATE notes SET body = $1 WHERE id = $2", ["two", 1])),
        ...(await written("DELETE FROM notes WHERE id = $1", [1])),
      ]);
    return seen;
  },
  async returning() {
    await cleared();
    return rows(`${INSERT} RETURNING id, body`, [5, "made"]);
  },
  async batch(count) {
    const connection = await cleared();
    await Promise.all(range(0, count - 1).map((number) => connection.query(INSERT, [number, `note ${number}`])));
    return [await value(COUNT), await value(NOTE, count - 1)];
  },
  async pipeline(count) {
    return Promise.all(range(1, count).map(name)); // the client's queue
  },
  async pipeline_of_both() {
    const connection = await cleared();
    const all = await Promise.all([
      connection.query(INSERT, [1, "one"]),
      connection.query(NOTE, [1]),
      connection.query("UPDATE notes SET body = 'two' WHERE id = 1"),
      connection.query(NOTE, [1]),
      connection.query(NAME, [3]),
    ]);
    return [all[1].rows[0].body, all[3].rows[0].body, all[4].rows[0].name];
  },
  pipeline_with_an_error: () => Promise.all([name(3), refused(() => rows("SELECT 1/0")), name(4)]),
  async several_statements() {
    const query = { text: "SELECT 1; SELECT name FROM kinds WHERE id = 3; SELECT 2", rowMode: "array" };
    return (await (await client()).query(query)).map((result) => result.rows[0].map(String));
  },
  async cursor(size) {
    return inTransaction("BEGIN", "COMMIT", async (connection) => {
      const query = "SELECT id FROM kinds WHERE id BETWEEN $1 AND $2 ORDER BY id";
      const portal = connection.query(new Cursor(query, [1, 1000], { rowMode: "array" }));
      const numbers = [];
      for (let part; (part = await portal.read(size)).length; ) numbers.push(...part.map(([id]) => id));
      await portal.close();
      return [numbers.length, numbers.reduce((total, id) => total + id, 0), await name(3)];
    });
  },
  async copy_in(count) {
    const lines = range(0, count - 1).map((number) => `${number}\tnote ${number}\n`);
    await streamed(Readable.from(lines), (await cleared()).query(copyFrom("COPY notes FROM STDIN")));
    return [await value(COUNT), await value(NOTE, count - 1)];
  },
  async copy_out(count) {
    const query = `COPY (SELECT id, name FROM kinds WHERE id BETWEEN 1 AND ${count} ORDER BY id) TO STDOUT`;
    let text = "";
    for await (const part of (await client()).query(copyTo(query))) text += part;
    return text;
  },
  async listen(...payloads) {
    const connection = await client();
    await connection.query("LISTEN news");
    const other = await connected();
    const heard = [];
    for (const payload of payloads) {
      const told = new Promise((resolve) => connection.once("notification", resolve));
      await other.query("SELECT pg_notify('news', $1)", [payload]);
      heard.push((await told).payload);
    }
    await other.end();
    await connection.query("UNLISTEN news");
    return heard;
  },
  async notice() {
    const noticed = [];
    const connection = await client();
    const note = (told) => noticed.push(told.message);
    connection.on("notice", note);
    await connection.query("DO $$ BEGIN RAISE NOTICE 'noticed'; END $$");
    connection.off("notice", note);
    return noticed;
  },
  async cancel() {
    const connection = await client();
    const query = new pg.Query("SELECT pg_sleep(30)");
    const error = new Promise((resolve) => query.once("error", resolve));
    connection.query(query);
    const other = await connected();
    while (!(await other.query(RUNNING)).rows.length);
    await other.end();
    const canceller = new pg.Client({ connectionString: URL_OF_DATABASE });
    canceller.cancel(connection, query);
    return [await refused(async () => { throw await error; }), await name(3)];
  },
};

serve("node-postgres", versionOf("pg"), functions);
