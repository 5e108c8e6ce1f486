// A company's tags with the client that openapi-generator makes (typescript-fetch).
import assert from "node:assert/strict";
import {
  Collection,
  Configuration,
  CustomersettingsV1EntryServiceApi,
  CustomersettingsV1HistoryServiceApi,
  MoegoBusinessSettingV1SettingServiceApi,
  ResponseError,
} from "./generated/fetch";

const [basePath, accessToken] = process.argv.slice(2);
const configuration = new Configuration({ basePath, accessToken });
const entries = new CustomersettingsV1EntryServiceApi(configuration);
const history = new CustomersettingsV1HistoryServiceApi(configuration);
const settings = new MoegoBusinessSettingV1SettingServiceApi(configuration);
const companyId = "cmp_001";
const catalog = { companyId, collection: Collection.CustomerTags };

async function main() {
  const made = await entries.createEntry({
    ...catalog,
    idempotencyKey: "fetch",
    entryInput: { name: "From fetch", color: "#abc" },
  });
  assert.equal(made.color, "#AABBCC");
  assert.ok(made.createdTime instanceof Date);

  const { id } = made;
  const patch = { name: "Changed by fetch", color: null };
  const changed = await entries.updateEntry({ ...catalog, id, ifMatch: made.etag, entryPatch: patch });
  assert.deepEqual([changed.name, changed.color], ["Changed by fetch", ""]);

  const late = entries.updateEntry({ ...catalog, id, ifMatch: made.etag, entryPatch: { name: "Late" } });
  const refused = await late.then(() => assert.fail("not refused"), (error: ResponseError) => error.response);
  assert.equal(refused.status, 409);
  assert.equal((await refused.json()).details[0].reason, "ETAG_MISMATCH");

  const names: string[] = [];
  let pageToken: string | undefined;
  do {
    const page = await entries.listEntries({ ...catalog, pageSize: 1, pageToken });
    names.push(...page.entries.map((entry) => entry.name));
    pageToken = page.nextPageToken;
  } while (pageToken);
  assert.ok(names.length > 1 && names.includes("Changed by fetch"));

  const log = await history.listChangesByEntryId({ companyId, collection: Collection.CustomerTags, entryId: id });
  assert.deepEqual(log.changes.map((change) => change.deltas[0].action), ["UPDATED", "CREATED"]);

  assert.deepEqual((await settings.listCustomerTags({ companyId })).tags.map((tag) => tag.name), names);
  assert.ok((await settings.listCustomerReferralSources({ companyId })).referralSources[0].name);
  assert.equal((await settings.listLeadsLifeCycles({ companyId })).lifeCycles.filter((one) => one.isDefault).length, 1);
  assert.ok((await settings.listLeadsActionStatusByGet({ companyId })).actionStatuses[0].color);
}

main();
