"""Python's grpcio against the server, with the descriptors of reflection alone."""

import json

import grpc
import pytest
from conftest import run
from google.protobuf import descriptor_pool, json_format, message_factory
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status
from test_program import DOCUMENTED

SETTING = "moego.business.setting.v1.SettingService"


class Client:
    def __init__(self, address, key, compression=None, options=None):
        self.channel = grpc.insecure_channel(address, compression=compression, options=options)
        self.pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(self.channel))
        self.metadata = [("authorization", f"Bearer {key}")] if key else []

    def call(self, service, method, request):
        rpc = self.pool.FindServiceByName(service).FindMethodByName(method)
        make = message_factory.GetMessageClass
        stub = self.channel.unary_unary(
            f"/{service}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=make(rpc.output_type).FromString,
        )
        answer = stub(make(rpc.input_type)(**request), metadata=self.metadata, timeout=120)
        return json_format.MessageToDict(answer)


@pytest.fixture
def client(demo):
    return Client(demo.address, demo.key)


def test_the_documented_example(client):
    assert client.call(SETTING, "ListCustomerTags", {"company_id": "cmp_001"}) == DOCUMENTED


def test_the_largest_company_needs_a_client_that_takes_large_answers(start, tmp_path):
    """docs/api.md says how large, and what a client with its defaults is told."""
    # A machine with other work may need longer than a request usually has.
    patient = {"CUSTOMER_SETTINGS_LIMITS_REQUEST_TIMEOUT_MS": "120000"}
    server = start("--data-dir", str(tmp_path / "data"), env=patient)
    dog = "\U0001f436"
    entry = lambda at: {"name": f"{at:04}" + dog * 96, "description": dog * 500, "color": "#AABBCC"}
    lists = ["customer_tags", "referral_sources", "life_cycles", "action_statuses"]
    company = {"id": "full", "name": dog * 100, **{one: [entry(at) for at in range(1000)] for one in lists}}
    document = json.dumps({"companies": [company]}, ensure_ascii=False)
    assert 9_000_000 < len(document.encode()) < 16 << 20 < len(json.dumps(company))
    run("load", "-", "--data-dir", server.data_dir, stdin=document)
    key = run("key", "create", "--data-dir", server.data_dir, "--name", "ci", "--scope", "*").stdout.strip()
    export = ("customersettings.v1.SettingsService", "ExportSettings", {"company_ids": ["full"], "with_ids": True})
    with pytest.raises(grpc.RpcError, match="larger than max") as refused:
        Client(server.address, key).call(*export)
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    client = Client(server.address, key, options=[("grpc.max_receive_message_length", 32 << 20)])
    [exported] = client.call(*export)["document"]["companies"]
    assert [len(exported[one]) for one in ("customerTags", "referralSources", "lifeCycles", "actionStatuses")] == [1000] * 4


def test_a_client_that_compresses_all_it_sends(demo):
    client = Client(demo.address, demo.key, grpc.Compression.Gzip)
    assert client.call(SETTING, "ListCustomerTags", {"company_id": "cmp_001"}) == DOCUMENTED
    entry = {"name": "Long", "description": "x" * 500}
    made = client.call(
        "customersettings.v1.EntryService",
        "CreateEntry",
        {"company_id": "cmp_001", "collection": "customer_tags", "entry": entry},
    )
    assert made["description"] == entry["description"]


def test_another_compression_is_told_what_is_taken(demo):
    channel = grpc.insecure_channel(demo.address, compression=grpc.Compression.Deflate)
    list_tags = channel.unary_unary(f"/{SETTING}/ListCustomerTags")
    with pytest.raises(grpc.RpcError) as caught:
        # Long enough that gRPC compresses it.
        list_tags(b"x" * 2_000, metadata=[("authorization", f"Bearer {demo.key}")], timeout=10)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert "gzip" in caught.value.details()


def test_companies_and_businesses_are_found(client):
    companies = client.call("moego.business.company.v1.CompanyService", "ListCompanies", {})["companies"]
    assert [company["id"] for company in companies] == ["cmp_001", "cmp_002"]
    service = "moego.business.business.v1.BusinessService"
    businesses = client.call(service, "ListBusiness", {"company_id": "cmp_001"})["businesses"]
    assert {business["companyId"] for business in businesses} == {"cmp_001"}
    assert client.call(service, "GetBusiness", {"id": businesses[0]["id"]}) == businesses[0]


def test_errors_carry_typed_details(client, demo):
    with pytest.raises(grpc.RpcError) as caught:
        client.call(SETTING, "ListCustomerTags", {"company_id": "no spaces"})
    status = rpc_status.from_call(caught.value)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    assert any(detail.Unpack(info) for detail in status.details)
    assert any(detail.Unpack(request) for detail in status.details)
    assert info.reason == "INVALID_FIELD"
    assert request.field_violations[0].field == "company_id"

    with pytest.raises(grpc.RpcError) as caught:
        Client(demo.address, None).call(SETTING, "ListCustomerTags", {"company_id": "cmp_001"})
    assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED


def test_a_method_that_is_not_ours_is_unimplemented(client):
    stub = client.channel.unary_unary(f"/{SETTING}/ListEverything")
    with pytest.raises(grpc.RpcError) as caught:
        stub(b"", metadata=client.metadata, timeout=10)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_health_answers_without_a_key(demo):
    health = Client(demo.address, None)
    answer = health.call("grpc.health.v1.Health", "Check", {})
    assert answer == {"status": "SERVING"}
    database = ProtoReflectionDescriptorDatabase(health.channel)
    for name in database.get_services():
        assert health.call("grpc.health.v1.Health", "Check", {"service": name}) == answer, name
    with pytest.raises(grpc.RpcError) as caught:
        health.call("grpc.health.v1.Health", "Check", {"service": "moego.Nothing"})
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


def test_a_refusal_about_a_thousand_entries_arrives(client, demo):
    """With the defaults of gRPC's C core, which refuses at random answers with more than 8 KiB of headers."""
    of = {"company_id": "cmp_001", "collection": "customer_tags"}
    create = [
        {"create": {"collection": "customer_tags", "entry_id": f"tag_{i:x<60}", "entry": {"name": f"{i} {'🐕' * 90}"}}}
        for i in range(990)
    ]
    service, history = "customersettings.v1.EntryService", "customersettings.v1.HistoryService"
    client.call(service, "BatchChangeEntries", {"company_id": "cmp_001", "changes": create})
    ids = [entry["id"] for entry in client.call(service, "ListEntries", of)["entries"]]
    for turn in range(1, 4):
        client.call(service, "ReorderEntries", {**of, "ids": ids[turn:] + ids[:turn]})
    for _ in range(20):
        with pytest.raises(grpc.RpcError) as caught:
            client.call(history, "UndoChange", {"company_id": "cmp_001", "revision": 3})
        assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION, caught.value.details()
        info = error_details_pb2.ErrorInfo()
        assert any(detail.Unpack(info) for detail in rpc_status.from_call(caught.value).details)
        assert info.reason == "CHANGED_SINCE" and "more changed again" in caught.value.details()

    where = ["--server", demo.base, "--key-file", demo.data_dir / "demo-key"]
    done = run("history", "undo", "cmp_001", "3", *where, check=False)
    assert done.returncode == 5 and "(CHANGED_SINCE)" in done.stderr, done.stderr
    assert "not known" not in done.stderr
