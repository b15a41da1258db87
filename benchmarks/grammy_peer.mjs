// grammY's session over a database, for the benchmarks: reads "COUNT WORKERS" lines, answers nanoseconds.
import { createInterface } from "node:readline";
import { createRequire } from "node:module";
const require = createRequire(process.argv[2]);
const { Composer, session } = require("grammy");
const [, , , kind, url, chats] = process.argv;

async function open() {
  if (kind === "postgres") {
    const { PsqlAdapter } = require("@grammyjs/storage-psql");
    const { Client } = require("pg");
    const client = new Client({ connectionString: url });
    await client.connect();
    return [await PsqlAdapter.create({ tableName: "grammy", client }), () => client.end()];
  }
  const { RedisAdapter } = require("@grammyjs/storage-redis");
  const Redis = require("ioredis");
  const instance = new Redis(url, { keyPrefix: "grammy:", enableAutoPipelining: kind === "redis-pipelining" });
  return [new RedisAdapter({ instance }), () => instance.disconnect()];
}

const [storage, close] = await open();
const small = () => ({ count: 0, name: "Ann", list: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10] });
const bot = new Composer();
bot.use(session({ initial: small, storage, getSessionKey: (ctx) => ctx.key }));
bot.use((ctx) => { ctx.session.count++; });
const run = bot.middleware();

let number = 0;
async function worker(last) {
  while (number < last) await run({ key: String(number++ % Number(chats)) }, async () => {});
}
for await (const line of createInterface({ input: process.stdin })) {
  const [count, workers] = line.split(" ").map(Number);
  const last = number + count;
  const began = process.hrtime.bigint();
  await Promise.all(Array.from({ length: workers }, () => worker(last)));
  console.log(String(process.hrtime.bigint() - began));
}
await close();
