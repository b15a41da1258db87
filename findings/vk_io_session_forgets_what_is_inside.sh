#!/usr/bin/env bash
# @vk-io/session 2.2.1 and @puregram/session 2.0.0: changes inside of a value are not stored, unless the
# storage is the one in memory.
#
# session.cart = {...} is noticed by a Proxy around the session, session.cart.pizza += 1 is not: the
# update ends with storage.touch() instead of storage.set().  With the MemoryStorage that both come
# with, nobody sees it, since the object that was changed is the one that is kept.  With any other,
# Redis or a file, three orders are counted as none, without an error.  (vk-io and puregram are
# frameworks for VKontakte and Telegram; their session packages have the same core.)
#
# Seen, in both: "in memory: 3, as JSON: 0".
# Works: "as JSON, assigned again: 3", session.cart = session.cart.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --ignore-scripts \
    @vk-io/session@2.2.1 @puregram/session@2.0.0 puregram@2.27.0 vk-io@4.10.1

cat > look.cjs <<'JAVASCRIPT'
class JsonStorage {
  texts = new Map();
  async get(key) { return this.texts.has(key) ? JSON.parse(this.texts.get(key)) : undefined; }
  async set(key, value) { this.texts.set(key, JSON.stringify(value)); return true; }
  async delete(key) { return this.texts.delete(key); }
  async touch() {}
}

async function counted(SessionManager, options, order) {
  const manager = new SessionManager(options);
  async function update(handler) {
    const context = { senderId: 3 };
    await manager.middleware(context, async () => handler(context.session));
  }
  await update((session) => { session.cart = { pizza: 0 }; });
  for (let n = 0; n < 3; n++) await update(order);
  let pizza;
  await update((session) => { pizza = session.cart.pizza; });
  return pizza;
}

function inside(session) {
  session.cart.pizza += 1;
}

function again(session) {
  session.cart.pizza += 1;
  session.cart = session.cart;
}

async function main() {
  let asExpected = true;
  for (const name of ["@vk-io/session", "@puregram/session"]) {
    const { SessionManager } = require(name);
    const memory = await counted(SessionManager, {}, inside);
    const json = await counted(SessionManager, { storage: new JsonStorage() }, inside);
    const works = await counted(SessionManager, { storage: new JsonStorage() }, again);
    console.log(`${name}: in memory: ${memory}, as JSON: ${json}, as JSON, assigned again: ${works}`);
    asExpected &&= memory === 3 && json === 0 && works === 3;
  }
  process.exit(asExpected ? 0 : 1);
}

main();
JAVASCRIPT

node look.cjs
