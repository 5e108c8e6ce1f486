"""A company's tags with the client that openapi-python-client makes."""

import json
import sys

from client import AuthenticatedClient
from client.api.customersettings_v_1_entry_service import create_entry, list_entries, update_entry
from client.api.customersettings_v_1_history_service import list_changes_by_entry_id
from client.api.moego_business_setting_v_1_setting_service import (
    list_customer_referral_sources,
    list_customer_tags,
    list_leads_action_status,
    list_leads_life_cycles_by_get,
)
from client.models import Collection, EntryInput, EntryPatch, ListLeadsActionStatusBody
from client.models import ListCustomerReferralSourcesBody, ListCustomerTagsBody

base_url, token = sys.argv[1:]
client = AuthenticatedClient(base_url=base_url, token=token)
catalog = ("cmp_001", Collection.CUSTOMER_TAGS)

new = EntryInput(name="From Python", color="#abc")
made = create_entry.sync(*catalog, client=client, body=new, idempotency_key="python")
assert made.color == "#AABBCC" and made.created_time.year > 2000

patch = EntryPatch(name="Changed by Python", color=None)
changed = update_entry.sync(*catalog, made.id, client=client, body=patch, if_match=made.etag)
assert (changed.name, changed.color) == ("Changed by Python", "")

late = update_entry.sync_detailed(*catalog, made.id, client=client, body=EntryPatch(name="Late"), if_match=made.etag)
assert late.status_code == 409
assert json.loads(late.content)["details"][0]["reason"] == "ETAG_MISMATCH"
assert late.parsed.code == 10, "an error has a type too"

names, token = [], ""
while True:
    page = list_entries.sync(*catalog, client=client, page_size=1, page_token=token)
    names += [entry.name for entry in page.entries]
    token = page.next_page_token
    if not token:
        break
assert len(names) > 1 and "Changed by Python" in names

log = list_changes_by_entry_id.sync(*catalog, made.id, client=client)
assert [change.deltas[0].action.value for change in log.changes] == ["UPDATED", "CREATED"]

tags = list_customer_tags.sync("cmp_001", client=client, body=ListCustomerTagsBody())
assert [tag.name for tag in tags.tags] == names
sources = list_customer_referral_sources.sync("cmp_001", client=client, body=ListCustomerReferralSourcesBody())
assert sources.referral_sources[0].name
cycles = list_leads_life_cycles_by_get.sync("cmp_001", client=client)
assert sum(cycle.is_default for cycle in cycles.life_cycles) == 1
statuses = list_leads_action_status.sync("cmp_001", client=client, body=ListLeadsActionStatusBody())
assert statuses.action_statuses[0].color
