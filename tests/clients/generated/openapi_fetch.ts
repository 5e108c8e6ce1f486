// A company's tags with openapi-fetch, and the types that openapi-typescript makes.
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { paths } from "./generated/schema";

const [baseUrl, key] = process.argv.slice(2);
const client = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${key}` } });
const catalog = { company_id: "cmp_001", collection: "customer_tags" } as const;
const company = { params: { path: { company_id: "cmp_001" } } } as const;
const entryPath = "/admin/v1/companies/{company_id}/{collection}/{id}";

async function main() {
  const made = await client.POST("/admin/v1/companies/{company_id}/{collection}", {
    params: { path: catalog, header: { "Idempotency-Key": "openapi-fetch" } },
    body: { name: "From openapi-fetch", color: "#abc" },
  });
  assert.ok(made.data);
  const { id, etag } = made.data;

  const params = { path: { ...catalog, id }, header: { "If-Match": etag } };
  const body = { name: "Changed by openapi-fetch", color: null };
  const changed = await client.PATCH(entryPath, { params, body });
  assert.deepEqual([changed.data?.name, changed.data?.color], ["Changed by openapi-fetch", ""]);

  const late = await client.PATCH(entryPath, { params, body: { name: "Late" } });
  assert.equal(late.response.status, 409);
  assert.equal(late.error?.details[0].reason, "ETAG_MISMATCH");

  const names: string[] = [];
  let pageToken: string | undefined;
  do {
    const page = await client.GET("/admin/v1/companies/{company_id}/{collection}", {
      params: { path: catalog, query: { pageSize: 1, pageToken } },
    });
    assert.ok(page.data);
    names.push(...page.data.entries.map((entry) => entry.name));
    pageToken = page.data.nextPageToken;
  } while (pageToken);
  assert.ok(names.length > 1 && names.includes("Changed by openapi-fetch"));

  const log = await client.GET("/admin/v1/companies/{company_id}/{collection}/{entry_id}/changes", {
    params: { path: { ...catalog, entry_id: id } },
  });
  assert.deepEqual(log.data?.changes.map((change) => change.deltas[0].action), ["UPDATED", "CREATED"]);

  const tags = await client.GET("/v1/setting/companies/{company_id}/customer/tags:list", company);
  assert.deepEqual(tags.data?.tags.map((tag) => tag.name), names);
  const sources = await client.POST("/v1/setting/companies/{company_id}/customer/referral_sources:list", company);
  assert.ok(sources.data?.referralSources[0].name);
  const cycles = await client.POST("/v1/setting/companies/{company_id}/leads/life_cycles", company);
  assert.equal(cycles.data?.lifeCycles.filter((one) => one.isDefault).length, 1);
  const statuses = await client.POST("/v1/setting/companies/{company_id}/leads/action_status", company);
  assert.ok(statuses.data?.actionStatuses[0].color);
}

main();
