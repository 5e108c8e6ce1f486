//! The compatible surface at the wire: each row of what callers send and expect back
//! (docs/api.md), over HTTP and, where it applies, over gRPC.

mod answers;
mod credentials;
mod errors;
mod paging;
mod requests;

const TAGS: &str = "/v1/setting/companies/cmp_001/customer/tags:list";

/// Company, referral sources, life cycles and action statuses of nothing at all.
const BARE: &str =
    "companies:\n- {id: bare, name: Bare, businesses: [{id: biz_bare, name: Bare}]}\n";
