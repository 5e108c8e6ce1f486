// A company's tags with connect-node over gRPC and connect-web over gRPC-Web, and the code that protoc-gen-es makes.
import assert from "node:assert/strict";
import { type Interceptor, type Transport, Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { EntryService } from "./generated/connect/customersettings/v1/entries_pb";
import { HistoryService } from "./generated/connect/customersettings/v1/history_pb";
import { SettingService } from "./generated/connect/moego/business/setting/v1/setting_service_pb";
import { ErrorInfoSchema } from "./generated/connect/google/rpc/error_details_pb";

const [baseUrl, key] = process.argv.slice(2);
const withKey: Interceptor = (next) => (request) => {
  request.header.set("Authorization", `Bearer ${key}`);
  return next(request);
};

async function story(name: string, transport: Transport) {
  const entries = createClient(EntryService, transport);
  const catalog = { companyId: "cmp_001", collection: "customer_tags" };
  const made = await entries.createEntry({ ...catalog, requestId: name, entry: { name: `From ${name}`, color: "#abc" } });
  assert.equal(made.color, "#AABBCC");

  const { id, etag } = made;
  const entry = { name: `Changed by ${name}`, color: "" };
  const changed = await entries.updateEntry({ ...catalog, id, etag, entry });
  assert.deepEqual([changed.name, changed.color], [entry.name, ""]);

  const late = entries.updateEntry({ ...catalog, id, etag, entry: { name: "Late" } });
  const refused = await late.then(() => assert.fail("not refused"), ConnectError.from);
  assert.equal(refused.code, Code.Aborted);
  assert.equal(refused.findDetails(ErrorInfoSchema)[0].reason, "ETAG_MISMATCH");

  const names: string[] = [];
  let pageToken = "";
  do {
    const page = await entries.listEntries({ ...catalog, pageSize: 1, pageToken });
    names.push(...page.entries.map((one) => one.name ?? ""));
    pageToken = page.nextPageToken;
  } while (pageToken);
  assert.ok(names.length > 1 && names.includes(entry.name));

  const history = createClient(HistoryService, transport);
  const log = await history.listChanges({ ...catalog, entryId: id });
  assert.equal(log.changes.length, 2);

  const settings = createClient(SettingService, transport);
  const company = { companyId: "cmp_001" };
  assert.deepEqual((await settings.listCustomerTags(company)).tags.map((tag) => tag.name), names);
  assert.ok((await settings.listCustomerReferralSources(company)).referralSources[0].name);
  assert.equal((await settings.listLeadsLifeCycles(company)).lifeCycles.filter((one) => one.isDefault).length, 1);
  assert.ok((await settings.listLeadsActionStatus(company)).actionStatuses[0].color);
}

async function main() {
  const interceptors = [withKey];
  await story("gRPC", createGrpcTransport({ baseUrl, interceptors }));
  await story("gRPC-Web", createGrpcWebTransport({ baseUrl, interceptors }));
}

main();
