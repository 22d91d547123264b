// Prisma 7 with its driver adapter for node-postgres; run with tsx, since Prisma generates TypeScript.
import { PrismaPg } from "@prisma/adapter-pg";
import { PrismaClient } from "./prisma/generated/client.ts";
import {
  PARAMETER_COLUMNS, URL_OF_DATABASE, digest, parametersOf, plainRow, range, serve, shownError, versionOf,
} from "./harness.mjs";

// One connection, so that what is set on it is there for the next query.
const connected = (connectionString = URL_OF_DATABASE, max = 1) =>
  new PrismaClient({ adapter: new PrismaPg({ connectionString, max }), log: [] });
const prisma = connected();

const COLUMNS = ["id", "name", "price", "at", "day", "code", "detail", "body", "tags", "paid", "weight", "big"];

function valuesOf(found) {
  const values = COLUMNS.map((column) => found[column]);
  if (values[2] !== null) values[2] = values[2].toFixed(2);
  if (values[4] !== null) values[4] = values[4].toISOString().slice(0, 10);
  if (found.name === null) values[8] = null; // Prisma has no NULL for lists
  return plainRow(values);
}

// Prisma wraps what Postgres says: the driver's error stands in its meta, or it is put into words of its own.
function show(error) {
  const cause = error.meta?.driverAdapterError?.cause;
  if (!cause?.originalCode) return error.code ? shownError(error) : null;
  const constraint = cause.constraint?.fields?.join() ?? null;
  return { sqlstate: cause.originalCode, message: cause.originalMessage, detail: null, constraint };
}

async function refused(attempt) {
  try {
    await attempt();
  } catch (error) {
    const shown = show(error);
    if (shown) return [shown.sqlstate, shown.message];
    throw error;
  }
  throw new Error("an error was to be expected");
}

const byId = async (number, on = prisma) => (await on.kinds.findMany({ where: { id: number } })).map(valuesOf);
const name = async (number, on = prisma) => (await on.kinds.findUnique({ where: { id: number } })).name;
const note = async (id, on = prisma) => (await on.notes.findUnique({ where: { id } }))?.body ?? null;
const twoReads = (options, number) =>
  prisma.$transaction(async (on) => [...(await byId(number, on)), ...(await byId(number, on))], options);

async function counts(fail) {
  await prisma.notes.deleteMany();
  const undone = new Error("roll it back");
  let seen;
  await prisma
    .$transaction(async (on) => {
      for (const id of [1, 2]) await on.notes.create({ data: { id, body: "body" } });
      seen = await on.notes.count();
      if (fail) throw undone;
    })
    .catch((error) => {
      if (error !== undone) throw error;
    });
  return [seen, await prisma.notes.count()];
}

const functions = {
  async connect(url) {
    const other = connected(url);
    const [found] = await other.$queryRaw`SELECT 1 AS one`;
    await other.$disconnect();
    return [found.one];
  },
  async session() {
    const [found] = await prisma.$queryRaw`
      SELECT current_user::text, current_database()::text, current_setting('application_name') AS name`;
    return Object.values(found);
  },
  async row(number) {
    const found = await prisma.kinds.findUnique({ where: { id: number } });
    return found ? [valuesOf(found)] : [];
  },
  row_raw: async (number) => (await prisma.$queryRaw`SELECT * FROM kinds WHERE id = ${number}`).map(valuesOf),
  async large() {
    const found = await prisma.kinds.findMany({
      where: { id: { gt: 0 } }, orderBy: { id: "asc" }, select: { name: true, big: true },
    });
    return digest(found.map((one) => [one.name, one.big]));
  },
  async list(numbers) {
    const found = await prisma.kinds.findMany({ where: { id: { in: numbers } }, orderBy: { id: "asc" } });
    return found.map((one) => one.name);
  },
  async typed_parameters(number) {
    const values = Object.fromEntries(PARAMETER_COLUMNS.map((column, place) => [column, parametersOf(number)[place]]));
    const where = { ...values, day: new Date(values.day), big: BigInt(values.big), tags: { equals: values.tags } };
    const seen = [];
    for (const given of [where, { ...where, name: "no such name" }])
      seen.push((await prisma.kinds.findMany({ where: given, select: { id: true } })).map((one) => one.id));
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
    await pool.$disconnect();
    return seen;
  },
  transaction_reads: (number) => twoReads({}, number),
  serializable_transaction: (number) => twoReads({ isolationLevel: "Serializable" }, number),
  // Several queries in one array: one transaction.
  request: async (number) =>
    (await prisma.$transaction([
      prisma.kinds.findUnique({ where: { id: number } }), prisma.kinds.findUnique({ where: { id: number } }),
    ])).map(valuesOf),
  commit: () => counts(false),
  rollback: () => counts(true),
  async read_then_write() {
    await prisma.notes.deleteMany();
    await prisma.notes.create({ data: { id: 1, body: "before" } });
    const seen = await prisma.$transaction(async (on) => {
      const first = await note(1, on);
      await on.notes.update({ where: { id: 1 }, data: { body: "after" } });
      return [first, await note(1, on)];
    });
    return [...seen, await note(1)];
  },
  async errors_in_other_words() {
    const seen = [await refused(() => prisma.$queryRawUnsafe("SELECT 1/0"))];
    seen.push(await refused(() => prisma.$queryRawUnsafe("SELECT * FROM missing")));
    seen.push(await refused(() => prisma.$queryRawUnsafe("SELEC 1")));
    seen.push(await refused(() => prisma.kinds.create({ data: { id: 0 } })));
    return [...seen, await name(3)];
  },
  async write_and_read(rounds) {
    await prisma.notes.deleteMany();
    const seen = [];
    for (let round = 0; round < rounds; round++) {
      await prisma.notes.create({ data: { id: 1, body: "one" } });
      seen.push([1, await note(1)]);
      const { count } = await prisma.notes.updateMany({ where: { id: 1 }, data: { body: "two" } });
      seen[round].push(count, await note(1));
      seen[round].push((await prisma.notes.deleteMany({ where: { id: 1 } })).count, await note(1));
    }
    return seen;
  },
  async returning() {
    await prisma.notes.deleteMany();
    const made = await prisma.notes.create({ data: { id: 5, body: "made" } });
    return [[made.id, made.body]];
  },
  async batch(count) {
    await prisma.notes.deleteMany();
    await prisma.notes.createMany({ data: range(0, count - 1).map((id) => ({ id, body: `note ${id}` })) });
    return [await prisma.notes.count(), await note(count - 1)];
  },
  pipeline: (count) => Promise.all(range(1, count).map((number) => name(number))),
};

serve("Prisma", versionOf("@prisma/client"), functions, show);
