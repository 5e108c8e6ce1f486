// What people would write instead: Fastify on better-sqlite3. Every request checks its key and reads
// the company's tags; there is a schema for the answer, which is how Fastify is fast.
import { createHash } from 'node:crypto'
import { readFileSync, rmSync } from 'node:fs'
import { parseArgs } from 'node:util'
import Database from 'better-sqlite3'
import Fastify from 'fastify'

const text = { type: 'string' }
const { values: options } = parseArgs({
  options: { listen: text, file: text, 'key-file': text, database: text },
})

const COMPANY = 'cmp_100'
const digest = (key) => createHash('sha256').update(key).digest()

for (const suffix of ['', '-wal', '-shm']) rmSync(options.database + suffix, { force: true })
const db = new Database(options.database)
db.pragma('journal_mode = WAL')
db.exec(`
  CREATE TABLE keys (secret BLOB PRIMARY KEY, name TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE tags (
    company_id TEXT NOT NULL, position INTEGER NOT NULL, id TEXT NOT NULL, name TEXT NOT NULL,
    last_updated_by TEXT NOT NULL, last_updated_time TEXT NOT NULL,
    PRIMARY KEY (company_id, position)) WITHOUT ROWID;
`)
db.prepare('INSERT INTO keys VALUES (?, ?)').run(digest(readFileSync(options['key-file'], 'utf8').trim()), 'bench')
const insert = db.prepare('INSERT INTO tags VALUES (?, ?, ?, ?, ?, ?)')
db.transaction((tags) => {
  tags.forEach((tag, i) => insert.run(COMPANY, i, tag.id, tag.name, tag.lastUpdatedBy, tag.lastUpdatedTime))
})(JSON.parse(readFileSync(options.file, 'utf8')).tags)

const findKey = db.prepare('SELECT name FROM keys WHERE secret = ?')
const listTags = db.prepare(`
  SELECT id, name, last_updated_by AS lastUpdatedBy, last_updated_time AS lastUpdatedTime
  FROM tags WHERE company_id = ? ORDER BY position`)

const app = Fastify()

app.addHook('onRequest', async (request, reply) => {
  const [scheme, credential] = (request.headers.authorization ?? '').split(' ')
  const key = Buffer.from(credential ?? '', 'base64').toString().replace(/:$/, '')
  if (scheme !== 'Basic' || !findKey.get(digest(key))) return reply.code(401).send({ message: 'unknown key' })
})

const tag = {
  type: 'object',
  properties: { id: text, name: text, lastUpdatedBy: text, lastUpdatedTime: text },
}
const answer = { type: 'object', properties: { tags: { type: 'array', items: tag } } }
// Two colons are one in the path of a request.
app.get('/v1/setting/companies/:company/customer/tags::list', { schema: { response: { 200: answer } } },
  async (request) => ({ tags: listTags.all(request.params.company) }))

const [host, port] = options.listen.split(':')
await app.listen({ host, port: Number(port) })
