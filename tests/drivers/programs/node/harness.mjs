// The loop of every Node program: a line in, a call, a line out. See tests/drivers/programs/__init__.py.
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";

export const URL_OF_DATABASE = process.env.DATABASE_URL;
export const COLUMNS = "id, name, price, at, day, code, detail, body, tags, paid, weight, big";
export const PARAMETER_COLUMNS = ["id", "name", "price", "at", "day", "code", "body", "tags", "paid", "weight", "big"];
export const RUNNING =
  "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(30)%' AND state = 'active'";

// An error of Postgres in the form that all programs show.
export function shownError(error) {
  return {
    sqlstate: error.code ?? null,
    message: error.message,
    detail: error.detail ?? null,
    constraint: error.constraint ?? error.constraint_name ?? null,
  };
}

// A row of `kinds` in the form that all programs share.
export function plainRow(values) {
  const [id, name, price, at, day, code, detail, body, tags, paid, weight, big] = values;
  return [
    id, name, price === null ? null : String(price), at && at.toISOString().replace(".000Z", "Z"), plainDay(day), code,
    detail, body && Buffer.from(body).toString("hex"), tags, paid, weight, big === null ? null : String(big),
  ];
}

function plainDay(day) {
  if (!(day instanceof Date)) return day;
  const two = (number) => String(number).padStart(2, "0");
  return `${day.getFullYear()}-${two(day.getMonth() + 1)}-${two(day.getDate())}`;
}

// What is told of many rows of name and big: their number, a hash and a sum.
export function digest(pairs) {
  const names = pairs.map(([name]) => name).join("\n");
  const sum = pairs.reduce((total, [, big]) => total + BigInt(big), 0n);
  return [pairs.length, createHash("sha256").update(names).digest("hex"), String(sum)];
}

// The values of PARAMETER_COLUMNS in a row of `kinds`, as JavaScript has them.
export function parametersOf(number) {
  const moment = new Date(Date.UTC(2026, 0, 1, number));
  const day = new Date(Date.UTC(2026, 0, 1 + number)).toISOString().slice(0, 10);
  const code = createHash("md5").update(String(number)).digest("hex");
  return [
    number, `name ${number}`, (number * 1.25).toFixed(2), moment, day, code, Buffer.from([0, 255]), ["a", `b${number}`],
    number % 2 === 0, number / 4, String(BigInt(number) * 1000000000000n),
  ];
}

export async function refused(attempt) {
  try {
    await attempt();
  } catch (error) {
    return shownError(error);
  }
  throw new Error("an error was to be expected");
}

export const range = (first, last) => Array.from({ length: last - first + 1 }, (_, place) => first + place);

// The version of an installed package, whether or not it lets its package.json be imported.
export function versionOf(name) {
  const places = createRequire(import.meta.url).resolve.paths(name).map((place) => join(place, name, "package.json"));
  return JSON.parse(readFileSync(places.find(existsSync))).version;
}

export async function serve(driver, version, functions, show = (error) => (error.code ? shownError(error) : null)) {
  say({ driver, version, functions: Object.keys(functions) });
  for await (const line of createInterface({ input: process.stdin })) {
    const asked = JSON.parse(line);
    try {
      say({ answer: await functions[asked.run](...asked.with) });
    } catch (error) {
      const shown = show(error);
      say(shown ? { error: shown } : { crash: error.stack });
    }
  }
  process.exit(0);
}

function say(line) {
  process.stdout.write(JSON.stringify(line, (_, value) => (typeof value === "bigint" ? Number(value) : value)) + "\n");
}
