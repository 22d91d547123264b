// Where `prisma generate` finds the schema. It asks for an address and connects to none.
import { defineConfig } from "prisma/config";

export default defineConfig({ schema: "prisma/schema.prisma", datasource: { url: "postgresql://nowhere" } });
