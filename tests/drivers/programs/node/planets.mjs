// The application of the guides that put a cache between Prisma and Postgres: planets over HTTP, and nothing set but
// DATABASE_URL. It prints its port.
import { createServer } from "node:http";
import { PrismaPg } from "@prisma/adapter-pg";
import { PrismaClient } from "./prisma/generated/client.ts";

const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: process.env.DATABASE_URL }) });

async function answer(request) {
  const [, , name] = request.url.split("/").map(decodeURIComponent);
  if (request.method === "POST") {
    let body = "";
    for await (const part of request) body += part;
    return prisma.planets.create({ data: JSON.parse(body) });
  }
  if (name) return prisma.planets.findFirst({ where: { name } });
  return prisma.planets.findMany({ orderBy: { id: "asc" } });
}

const server = createServer(async (request, response) => {
  try {
    response.setHeader("Content-Type", "application/json");
    response.end(JSON.stringify(await answer(request)));
  } catch (error) {
    response.statusCode = 500;
    response.end(JSON.stringify({ error: error.message }));
  }
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
