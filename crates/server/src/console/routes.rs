//! The paths of the console. Each names the methods of the contract that its action calls; a path and the access that
//! it needs stand here together, and nowhere else.

use percent_encoding::percent_decode_str;

/// The page or the action of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shows {
    SignIn,
    Link,
    SignOut,
    Companies,
    NewCompany,
    Company,
    CompanySettings,
    CompanyState,
    Revision,
    Sessions,
    EndSession,
    Bring,
    Take,
    Catalog,
    Download,
    Add,
    AddMany,
    Reorder,
    Sort,
    Entry,
    SaveEntry,
    ArchiveEntry,
    RestoreEntry,
    History,
    Change,
    Undo,
    Back,
    Locations,
    Location,
    LocationState,
    Keys,
    NewKey,
    NewPerson,
    Key,
    KeyChanges,
    KeyLink,
    EndKeySession,
    RotateKey,
    RevokeKey,
}

/// A path of the console, by which one method.
pub(super) struct Route {
    pub(super) is_post: bool,
    /// Below the console's own; `{}` stands for one part.
    pub(super) path: &'static str,
    pub(super) shows: Shows,
    /// The methods without which it is refused.
    pub(super) calls: &'static [&'static str],
    /// The fields of its form, each of which may be there once: `Form::fault` says more.
    pub(super) fields: &'static [&'static str],
}

const fn get(path: &'static str, shows: Shows, calls: &'static [&'static str]) -> Route {
    Route { is_post: false, path, shows, calls, fields: &[] }
}

const fn post(
    path: &'static str,
    shows: Shows,
    calls: &'static [&'static str],
    fields: &'static [&'static str],
) -> Route {
    Route { is_post: true, path, shows, calls, fields }
}

const LIST: &str = "EntryService/ListEntries";

/// The fields of a new key, and of a key that changes.
const NEW_KEY: &[&str] = &[
    "name",
    "staff",
    "scope+",
    "coverage",
    "company+",
    "find",
    "found",
    "addresses",
    "expires",
    "request",
];
const KEY: &[&str] = &[
    "name",
    "staff",
    "scope+",
    "coverage",
    "company+",
    "find",
    "found",
    "addresses",
    "expires",
    "was.*",
    "etag",
    "request",
];
/// The fields of a location.
const LOCATION: &[&str] = &[
    "name",
    "business_phone",
    "email",
    "website",
    "address1",
    "address2",
    "city",
    "region",
    "postal_code",
    "country",
    "was.*",
    "etag",
    "request",
];
const BRING: &[&str] =
    &["text", "file", "list", "prune", "most", "from", "do", "back", "ids", "digest", "request"];
const VERSION: &[&str] = &["etag", "request"];
const ORDER: &[&str] = &["ids", "up", "down", "place", "to.*", "etag", "request"];

/// Every path, those with more fixed parts first.
pub(super) const ROUTES: &[Route] = &[
    get("", Shows::Companies, &[]),
    get("/sign-in", Shows::SignIn, &[]),
    post("/sign-in", Shows::SignIn, &[], &["next", "account", "key", "kept.+"]),
    get("/link", Shows::Link, &[]),
    post("/link", Shows::Link, &[], &["token"]),
    post("/sign-out", Shows::SignOut, &[], &[]),
    get("/sessions", Shows::Sessions, &[]),
    post("/sessions/end", Shows::EndSession, &[], &["id"]),
    get("/companies/new", Shows::NewCompany, &["CompanyService/CreateCompany"]),
    post(
        "/companies/new",
        Shows::NewCompany,
        &["CompanyService/CreateCompany"],
        &["name", "country", "timezone", "id", "request"],
    ),
    get("/keys", Shows::Keys, &["KeyService/ListKeys"]),
    get("/keys/new", Shows::NewKey, &["KeyService/CreateKey"]),
    post("/keys/new", Shows::NewKey, &["KeyService/CreateKey"], NEW_KEY),
    get("/people/new", Shows::NewPerson, &["KeyService/CreateKey"]),
    post("/people/new", Shows::NewPerson, &["KeyService/CreateKey"], NEW_KEY),
    get("/keys/{}", Shows::Key, &["KeyService/GetKey", "KeyService/ListSessions"]),
    post("/keys/{}", Shows::Key, &["KeyService/UpdateKey"], KEY),
    get(
        "/keys/{}/changes",
        Shows::KeyChanges,
        &["KeyService/GetKey", "CompanyService/ListCompanies", "HistoryService/ListChanges"],
    ),
    post("/keys/{}/link", Shows::KeyLink, &["KeyService/CreateSignInLink"], &["last"]),
    post("/keys/{}/end-session", Shows::EndKeySession, &["KeyService/EndSession"], &["id"]),
    post(
        "/keys/{}/rotate",
        Shows::RotateKey,
        &["KeyService/RotateKey"],
        &["hours", "etag", "request"],
    ),
    post("/keys/{}/revoke", Shows::RevokeKey, &["KeyService/RevokeKey"], &["created", "request"]),
    get("/c/{}", Shows::Company, &[LIST]),
    get("/c/{}/revision", Shows::Revision, &[LIST]),
    get("/c/{}/settings", Shows::CompanySettings, &["CompanyService/GetCompany"]),
    post(
        "/c/{}/settings",
        Shows::CompanySettings,
        &["CompanyService/UpdateCompany"],
        &["name", "country", "timezone", "was.*", "etag", "request"],
    ),
    post("/c/{}/archive", Shows::CompanyState, &["CompanyService/ArchiveCompany"], VERSION),
    post("/c/{}/restore", Shows::CompanyState, &["CompanyService/RestoreCompany"], VERSION),
    get("/c/{}/history", Shows::History, &["HistoryService/ListChanges"]),
    get("/c/{}/history/{}", Shows::Change, &["HistoryService/GetChange"]),
    post(
        "/c/{}/history/{}/undo",
        Shows::Undo,
        &["HistoryService/UndoChange"],
        &["next", "request"],
    ),
    get(
        "/c/{}/history/{}/back",
        Shows::Back,
        &["HistoryService/RollBack", "HistoryService/ListChanges", "HistoryService/GetChange"],
    ),
    post("/c/{}/history/{}/back", Shows::Back, &["HistoryService/RollBack"], VERSION),
    get("/c/{}/locations", Shows::Locations, &["BusinessService/ListBusinesses"]),
    post(
        "/c/{}/locations",
        Shows::Locations,
        &["BusinessService/CreateBusiness"],
        &["name", "request"],
    ),
    get("/c/{}/locations/{}", Shows::Location, &["BusinessService/GetBusiness"]),
    post("/c/{}/locations/{}", Shows::Location, &["BusinessService/UpdateBusiness"], LOCATION),
    post(
        "/c/{}/locations/{}/archive",
        Shows::LocationState,
        &["BusinessService/ArchiveBusiness"],
        VERSION,
    ),
    post(
        "/c/{}/locations/{}/restore",
        Shows::LocationState,
        &["BusinessService/RestoreBusiness"],
        VERSION,
    ),
    get(
        "/c/{}/import",
        Shows::Bring,
        &["SettingsService/PlanSettings", "SettingsService/ApplySettings"],
    ),
    post(
        "/c/{}/import",
        Shows::Bring,
        &["SettingsService/PlanSettings", "SettingsService/ApplySettings"],
        BRING,
    ),
    get("/c/{}/export", Shows::Take, &["SettingsService/ExportSettings"]),
    get("/c/{}/{}", Shows::Catalog, &[LIST]),
    get("/c/{}/{}/download", Shows::Download, &[LIST]),
    post(
        "/c/{}/{}/add",
        Shows::Add,
        &["EntryService/CreateEntry"],
        &["name", "description", "pick", "own", "ideas", "sure", "request"],
    ),
    post(
        "/c/{}/{}/add-many",
        Shows::AddMany,
        &["EntryService/BatchChangeEntries"],
        &["lines", "sure", "shown", "without", "back+", "request"],
    ),
    post("/c/{}/{}/order", Shows::Reorder, &["EntryService/ReorderEntries"], ORDER),
    post("/c/{}/{}/sort", Shows::Sort, &["EntryService/ReorderEntries"], ORDER),
    get("/c/{}/{}/{}", Shows::Entry, &["EntryService/GetEntry"]),
    post(
        "/c/{}/{}/{}",
        Shows::SaveEntry,
        &["EntryService/UpdateEntry"],
        &["name", "description", "pick", "own", "default", "was.*", "etag", "request"],
    ),
    post(
        "/c/{}/{}/{}/archive",
        Shows::ArchiveEntry,
        &["EntryService/ArchiveEntry"],
        &["successor", "etag", "request"],
    ),
    post("/c/{}/{}/{}/restore", Shows::RestoreEntry, &["EntryService/RestoreEntry"], VERSION),
];

/// The route of a request.
pub(super) enum Found {
    /// With the parts of the path that it leaves open.
    Route(&'static Route, Vec<String>),
    /// The path has a route, but not by this method.
    OtherMethod,
    /// There is no such path.
    Nothing,
}

/// The path of the page that has the form of this path.
pub(super) fn page_of(path: &str) -> String {
    let Found::Route(form, _) = find(true, path) else { return String::new() };
    let is_page = |route: &Route| !route.is_post && route.path == form.path;
    if ROUTES.iter().any(is_page) {
        return path.to_owned();
    }
    let up = path.rsplit_once('/').map_or("", |(up, _)| up);
    match form.shows {
        Shows::CompanyState => format!("{up}/settings"),
        _ => up.to_owned(),
    }
}

/// The first route that fits a path below the console's own.
pub(super) fn find(is_post: bool, path: &str) -> Found {
    let path = path.strip_suffix('/').unwrap_or(path);
    let first = ROUTES.iter().find_map(|route| Some((route, captures(route.path, path)?)));
    let Some((first, captures)) = first else { return Found::Nothing };
    let fits = |route: &&Route| route.path == first.path && route.is_post == is_post;
    match ROUTES.iter().find(fits) {
        Some(route) => Found::Route(route, captures),
        None => Found::OtherMethod,
    }
}

fn captures(pattern: &str, path: &str) -> Option<Vec<String>> {
    let (mut wanted, mut parts) = (pattern.split('/'), path.split('/'));
    let mut captures = Vec::new();
    loop {
        match (wanted.next(), parts.next()) {
            (None, None) => return Some(captures),
            (Some("{}"), Some(part)) if !part.is_empty() => {
                captures.push(percent_decode_str(part).decode_utf8().ok()?.into_owned());
            }
            (Some(wanted), Some(part)) if wanted == part => {}
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_finds_the_route_with_the_most_fixed_parts() {
        let found = |is_post, path| match find(is_post, path) {
            Found::Route(route, captures) => Some((route.shows, captures)),
            Found::OtherMethod | Found::Nothing => None,
        };
        let parts =
            |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>();
        assert_eq!(found(false, ""), Some((Shows::Companies, vec![])));
        assert_eq!(found(false, "/"), Some((Shows::Companies, vec![])));
        assert_eq!(found(false, "/c/a/history"), Some((Shows::History, parts(&["a"]))));
        let tags = parts(&["a", "customer_tags"]);
        assert_eq!(found(false, "/c/a/customer_tags"), Some((Shows::Catalog, tags.clone())));
        assert_eq!(found(true, "/c/a/customer_tags/add"), Some((Shows::Add, tags)));
        let entry = parts(&["a", "customer_tags", "t/1"]);
        assert_eq!(found(false, "/c/a/customer_tags/t%2F1"), Some((Shows::Entry, entry)));
        assert!(matches!(find(true, "/c/a"), Found::OtherMethod));
        assert!(matches!(find(false, "/c/a/archive"), Found::OtherMethod));
        assert!(matches!(find(false, "/c//x"), Found::Nothing));
        for (form, page) in [
            ("/c/a/customer_tags/add", "/c/a/customer_tags"),
            ("/c/a/customer_tags/t", "/c/a/customer_tags/t"),
            ("/c/a/history/2/undo", "/c/a/history/2"),
            ("/sessions/end", "/sessions"),
            ("/c/a/archive", "/c/a/settings"),
            ("/sign-out", ""),
        ] {
            assert_eq!(page_of(form), page);
        }
    }
}
