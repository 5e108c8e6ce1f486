//! The compatible surface at the wire: each row of requests and expected answers (docs/api.md), over HTTP
//! and, where it applies, over gRPC.

mod answers;
mod credentials;
mod errors;
mod paging;
mod requests;

const TAGS: &str = "/v1/setting/companies/cmp_001/customer/tags:list";

/// A company with referral sources, life cycles and action statuses that are empty.
const BARE: &str =
    "companies:\n- {id: bare, name: Bare, businesses: [{id: biz_bare, name: Bare}]}\n";
