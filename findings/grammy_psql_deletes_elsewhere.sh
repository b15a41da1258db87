#!/usr/bin/env bash
# grammY's PostgreSQL storage, with a capital in the name of its table: what is deleted is a row
# of another table, or nothing, with an error.
#
# create(), read() and write() put tableName in quotes, so "Sessions" is that table. delete() does
# not, so PostgreSQL looks for sessions. If there is none, ctx.session = null ends the update with
# an error, and the session stays. If there is one, that loses the session of the same chat,
# without a word.
#
# Seen with @grammyjs/storage-psql 2.5.1, on PostgreSQL 17.5 (PGlite 0.3.14); the first one on 18, too:
#   alone:  relation "sessions" does not exist; the session is still there
#   beside a table sessions:  that one's row is gone, the own one is still there
# Works: a name in small letters.
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --ignore-scripts \
    @grammyjs/storage-psql@2.5.1 @electric-sql/pglite@0.3.14

cat > look.cjs <<'JAVASCRIPT'
const { PGlite } = require("@electric-sql/pglite");
const { PsqlAdapter } = require("@grammyjs/storage-psql");

async function deleted(storage) {
  try {
    await storage.delete("42");
    return "without a word";
  } catch (error) {
    return error.message;
  }
}

async function main() {
  const client = await PGlite.create();
  const capital = await PsqlAdapter.create({ client, tableName: "Sessions" });
  await capital.write("42", { of: "Sessions" });
  const alone = [await deleted(capital), (await capital.read("42"))?.of];

  await client.query('CREATE TABLE sessions (key VARCHAR PRIMARY KEY, value TEXT)');
  const small = new PsqlAdapter({ tableName: "sessions", query: capital.query });
  await small.write("42", { of: "sessions" });
  const beside = [await deleted(capital), (await capital.read("42"))?.of, await small.read("42")];

  console.log({ alone, beside });
  const expected = [
    ['relation "sessions" does not exist', "Sessions"],
    ["without a word", "Sessions", undefined],
  ];
  process.exit(JSON.stringify([alone, beside]) === JSON.stringify(expected) ? 0 : 1);
}

main();
JAVASCRIPT

node look.cjs
