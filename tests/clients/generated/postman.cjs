// A company's tags with the collection that openapi-to-postmanv2 makes of the document, run by newman.
const assert = require("node:assert/strict");
const { readFileSync } = require("node:fs");
const converter = require("openapi-to-postmanv2");
const newman = require("newman");

const [baseUrl, bearerToken] = process.argv.slice(2);
const data = readFileSync("openapi.json", "utf8");
// Postman's own settings of an import: the document's examples, and no parameter that may be left out.
const options = { folderStrategy: "Tags", parametersResolution: "Example", enableOptionalParameters: false };

function all(items) {
  return items.flatMap((item) => item.item ? all(item.item) : [item]);
}

// A request of the collection with its example's values, but for these.
function request(requests, name, { body, path = {}, query = {}, headers = {}, expect }) {
  const item = structuredClone(requests.find((one) => one.name === name) ?? assert.fail(`no request ${name}`));
  const { url, header } = item.request;
  for (const variable of url.variable) variable.value = path[variable.key] ?? variable.value;
  for (const one of url.query) if (one.key in query) Object.assign(one, { value: query[one.key], disabled: false });
  for (const one of header) if (one.key in headers) Object.assign(one, { value: headers[one.key], disabled: false });
  if (body) item.request.body.raw = JSON.stringify(body);
  const script = [`const answer = pm.response.json(); pm.test("as expected", () => { ${expect} });`];
  item.event = [{ listen: "test", script: { type: "text/javascript", exec: script } }];
  return item;
}

converter.convertV2({ type: "string", data }, options, (error, { result, reason, output }) => {
  assert.ok(!error && result, reason);
  const collection = output[0].data;
  const requests = all(collection.item);
  const ok = "pm.response.to.have.status(200);";
  const update = "Update an entry";
  const own = { path: { id: "{{id}}", entry_id: "{{id}}" } };
  collection.item = [
    request(requests, "Create an entry", {
      body: { name: "From Postman", color: "#abc" },
      headers: { "Idempotency-Key": "postman" },
      expect: `${ok} pm.collectionVariables.set("id", answer.id); pm.collectionVariables.set("etag", answer.etag);`,
    }),
    request(requests, update, {
      ...own,
      body: { name: "Changed by Postman", color: null },
      headers: { "If-Match": "{{etag}}" },
      expect: `${ok} pm.expect(answer.color).to.equal("");`,
    }),
    request(requests, update, {
      ...own,
      headers: { "If-Match": "{{etag}}" },
      expect: `pm.response.to.have.status(409); pm.expect(answer.details[0].reason).to.equal("ETAG_MISMATCH");`,
    }),
    request(requests, "List the entries of a catalog", {
      query: { pageSize: "1" },
      expect: `${ok} pm.collectionVariables.set("token", answer.nextPageToken);`,
    }),
    request(requests, "List the entries of a catalog", {
      query: { pageSize: "1", pageToken: "{{token}}" },
      expect: `${ok} pm.expect(answer.entries.length).to.equal(1);`,
    }),
    request(requests, "List the changes of a company or an entry (by entry id)", {
      ...own,
      expect: `${ok} pm.expect(answer.changes.length).to.equal(2);`,
    }),
    request(requests, "List the customer tags of a company", {
      expect: `${ok} pm.expect(answer.tags.map((tag) => tag.name)).to.include("Changed by Postman");`,
    }),
    request(requests, "List the referral sources of a company", { expect: `${ok} pm.expect(answer.referralSources).not.to.be.empty;` }),
    request(requests, "List the lead life cycles of a company", { expect: `${ok} pm.expect(answer.lifeCycles).not.to.be.empty;` }),
    request(requests, "List the action statuses of a company", { expect: `${ok} pm.expect(answer.actionStatuses).not.to.be.empty;` }),
  ];
  const envVar = [["baseUrl", baseUrl], ["bearerToken", bearerToken]].map(([key, value]) => ({ key, value }));
  newman.run({ collection, envVar }, (failed, { run }) => {
    assert.ok(!failed, String(failed));
    assert.deepEqual(run.failures.map((failure) => `${failure.source?.name}: ${failure.error.message}`), []);
    assert.equal(run.stats.assertions.total, collection.item.length);
  });
});
