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
    KeyLink,
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
}

const fn get(path: &'static str, shows: Shows, calls: &'static [&'static str]) -> Route {
    Route { is_post: false, path, shows, calls }
}

const fn post(path: &'static str, shows: Shows, calls: &'static [&'static str]) -> Route {
    Route { is_post: true, path, shows, calls }
}

const LIST: &str = "EntryService/ListEntries";

/// Every path, those with more fixed parts first.
pub(super) const ROUTES: &[Route] = &[
    get("", Shows::Companies, &[]),
    get("/sign-in", Shows::SignIn, &[]),
    post("/sign-in", Shows::SignIn, &[]),
    get("/link", Shows::Link, &[]),
    post("/link", Shows::Link, &[]),
    post("/sign-out", Shows::SignOut, &[]),
    get("/sessions", Shows::Sessions, &[]),
    post("/sessions/end", Shows::EndSession, &[]),
    get("/companies/new", Shows::NewCompany, &["CompanyService/CreateCompany"]),
    post("/companies/new", Shows::NewCompany, &["CompanyService/CreateCompany"]),
    get("/keys", Shows::Keys, &["KeyService/ListKeys"]),
    get("/keys/new", Shows::NewKey, &["KeyService/CreateKey"]),
    post("/keys/new", Shows::NewKey, &["KeyService/CreateKey"]),
    get("/people/new", Shows::NewPerson, &["KeyService/CreateKey"]),
    post("/people/new", Shows::NewPerson, &["KeyService/CreateKey"]),
    get("/keys/{}", Shows::Key, &["KeyService/GetKey"]),
    post("/keys/{}", Shows::Key, &["KeyService/UpdateKey"]),
    post("/keys/{}/link", Shows::KeyLink, &["KeyService/RotateKey"]),
    post("/keys/{}/rotate", Shows::RotateKey, &["KeyService/RotateKey"]),
    post("/keys/{}/revoke", Shows::RevokeKey, &["KeyService/RevokeKey"]),
    get("/c/{}", Shows::Company, &[LIST]),
    get("/c/{}/revision", Shows::Revision, &[LIST]),
    get("/c/{}/settings", Shows::CompanySettings, &["CompanyService/GetCompany"]),
    post("/c/{}/settings", Shows::CompanySettings, &["CompanyService/UpdateCompany"]),
    post("/c/{}/archive", Shows::CompanyState, &["CompanyService/ArchiveCompany"]),
    post("/c/{}/restore", Shows::CompanyState, &["CompanyService/RestoreCompany"]),
    get("/c/{}/history", Shows::History, &["HistoryService/ListChanges"]),
    get("/c/{}/history/{}", Shows::Change, &["HistoryService/GetChange"]),
    post("/c/{}/history/{}/undo", Shows::Undo, &["HistoryService/UndoChange"]),
    get("/c/{}/history/{}/back", Shows::Back, &["HistoryService/RollBack"]),
    post("/c/{}/history/{}/back", Shows::Back, &["HistoryService/RollBack"]),
    get("/c/{}/locations", Shows::Locations, &["BusinessService/ListBusinesses"]),
    post("/c/{}/locations", Shows::Locations, &["BusinessService/CreateBusiness"]),
    get("/c/{}/locations/{}", Shows::Location, &["BusinessService/GetBusiness"]),
    post("/c/{}/locations/{}", Shows::Location, &["BusinessService/UpdateBusiness"]),
    post("/c/{}/locations/{}/archive", Shows::LocationState, &["BusinessService/ArchiveBusiness"]),
    post("/c/{}/locations/{}/restore", Shows::LocationState, &["BusinessService/RestoreBusiness"]),
    get("/c/{}/{}", Shows::Catalog, &[LIST]),
    get("/c/{}/{}/download", Shows::Download, &[LIST]),
    post("/c/{}/{}/add", Shows::Add, &["EntryService/CreateEntry"]),
    post("/c/{}/{}/add-many", Shows::AddMany, &["EntryService/BatchChangeEntries"]),
    post("/c/{}/{}/order", Shows::Reorder, &["EntryService/ReorderEntries"]),
    post("/c/{}/{}/sort", Shows::Sort, &["EntryService/ReorderEntries"]),
    get("/c/{}/{}/{}", Shows::Entry, &["EntryService/GetEntry"]),
    post("/c/{}/{}/{}", Shows::SaveEntry, &["EntryService/UpdateEntry"]),
    post("/c/{}/{}/{}/archive", Shows::ArchiveEntry, &["EntryService/ArchiveEntry"]),
    post("/c/{}/{}/{}/restore", Shows::RestoreEntry, &["EntryService/RestoreEntry"]),
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
    }
}
