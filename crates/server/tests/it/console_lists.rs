//! Lists in the console: names that change with other things, colors in lines, names of entries that are put away, ideas,
//! and what a person sees of them without all rights.

use customer_settings_server::{catalog::text::Name, service::keys::KeyDraft};
use serde_json::{Value, json};

use crate::{console::Browser, harness::*};

const COMPANY: &str = "/console/c/cmp_001";
const TAGS: &str = "/console/c/cmp_001/customer_tags";

/// Saves a form over the page's etag, and answers the page that says what was done.
async fn save(browser: &Browser<'_>, path: &str, fields: &[(&str, &str)]) -> Answer {
    let etag = Browser::hidden(&browser.get(path).await, "etag");
    let fields: Vec<(&str, &str)> = fields.iter().copied().chain([("etag", &*etag)]).collect();
    browser.follow(&browser.post(path, &fields).await).await
}

async fn put_away(browser: &Browser<'_>, path: &str) {
    let etag = Browser::hidden(&browser.get(path).await, "etag");
    let away = browser.post(&format!("{path}/archive"), &[("etag", &etag)]).await;
    assert_eq!(away.status, 303, "{}", away.text());
}

fn has(page: &Answer, part: &str) {
    assert!(page.text().contains(part), "{part}: {}", page.text());
}

/// The names of the list, those put away too, as they stand on the page.
async fn names(browser: &Browser<'_>, list: &str) -> Vec<String> {
    let page = browser.get(&format!("{list}?archived=1")).await;
    let cells = page.text().split("<div class=\"what\"><a href=\"").skip(1);
    let name = |cell: &str| cell.split_once('>').unwrap().1.split('<').next().unwrap().to_owned();
    cells.map(name).collect()
}

#[tokio::test]
async fn a_new_name_is_told_with_the_old_one_whatever_else_changed() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let tag = format!("{TAGS}/tag_001");
    let cycle = format!("{COMPANY}/life_cycles/lc_002");
    let old = browser.get(&cycle).await;
    let old = old.text().split("<h1>").nth(1).unwrap().split('<').next().unwrap();
    let cycle_told = format!("Renamed “{old}” to “Trial”, and made it the default.");
    let location = format!("{COMPANY}/locations/biz_001");
    let was = browser.get(&location).await;
    let was = was.text().split("<h1>").nth(1).unwrap().split('<').next().unwrap();
    let location_told = format!("Renamed “{was}” to “Harbour”, and changed its ");
    let settings = format!("{COMPANY}/settings");
    for (path, fields, told) in [
        (
            &tag,
            &[("name", "VIP"), ("pick", "none"), ("description", "New")][..],
            "Renamed “VIP Customer” to “VIP”, and changed its description.",
        ),
        (
            &tag,
            &[("name", "Very important"), ("pick", "#C62828"), ("description", "")],
            "Renamed “VIP” to “Very important”, and changed its description and color.",
        ),
        (
            &tag,
            &[("name", "Very important"), ("pick", "none"), ("description", "Again")],
            "Changed description and color of “Very important”.",
        ),
        (&cycle, &[("name", "Trial"), ("pick", "none"), ("default", "1")], &*cycle_told),
        (&location, &[("name", "Harbour"), ("business_phone", "+1 555 0123")], &*location_told),
        (
            &settings,
            &[("name", "Paws"), ("country", "AT"), ("timezone", "America/New_York")],
            "Renamed “Happy Paws Pet Care” to “Paws”, and changed its country",
        ),
    ] {
        has(&save(&browser, path, fields).await, told);
    }
    let history = browser.get(&format!("{COMPANY}/history")).await;
    has(&history, "</strong> renamed “VIP” to “Very important”, and changed its description and");
    let (key, _) = server.issue(everything()).await;
    let path = format!("/console/keys/{}", key.id);
    let page = browser.get(&path).await;
    let [staff, scopes, before] =
        ["staff", "scope", "name"].map(|name| Browser::hidden(&page, &format!("was.{name}")));
    let mut form = vec![("name", "CRM"), ("staff", &*staff), ("coverage", "all")];
    form.extend(scopes.split(' ').map(|scope| ("scope", scope)));
    let renamed = save(&browser, &path, &form).await;
    has(&renamed, &format!("renamed it from “{before}” to “CRM”</div>"));
    form[0].1 = "Booking";
    form.push(("addresses", "127.0.0.0/8"));
    let renamed = save(&browser, &path, &form).await;
    has(&renamed, "renamed it from “CRM” to “Booking”, and changed the addresses</div>");
}

#[tokio::test]
async fn a_last_word_that_is_meant_as_a_color_and_is_none_is_refused_at_its_line() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let wrong = ["#GGGGGG", "#12345", "#FF00OO", "#1234567", "#FFD700FF"];
    let plain = [
        "Room #1",
        "Room #456",
        "Room #4567",
        "Suite #2B",
        "Instagram #doglovers",
        "Instagram #dog-walk",
        "#12345",
        "C# #",
        "No.#12345",
    ];
    let lines: Vec<String> = wrong.iter().map(|color| format!("Bad, {color}")).collect();
    let lines = format!("{}\n{}", lines.join("\n"), plain.join("\n"));
    let page = browser.post(&format!("{TAGS}/add-many"), &[("lines", &*lines)]).await;
    has(&page, "<h1>Add 9 tags?</h1>");
    for (color, line) in wrong.iter().zip(1..) {
        let told = format!("Line {line}: The color must be a color as &#34;#RRGGBB&#34;");
        has(&page, &told);
        has(&page, &format!(" If “{color}” belongs to the name, add this one by itself."));
    }
    for name in plain {
        has(&page, &format!("<bdi>{name}</bdi>"));
    }
    // A color of a file is never a part of the name.
    let file = browser.post(&format!("{TAGS}/add-many"), &[("lines", "Bad\t#GGGGGG")]).await;
    has(&file, "Line 1: The color must be a color");
    assert!(!file.text().contains("belongs to the name"), "{}", file.text());
}

#[tokio::test]
async fn a_name_that_is_put_away_is_added_twice_only_by_somebody_who_knows() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    put_away(&browser, &format!("{TAGS}/tag_001")).await;
    let add = format!("{TAGS}/add");
    let typed = [("name", "vip customer"), ("description", "Typed"), ("request", "a")];
    let page = browser.post(&add, &typed).await;
    assert_eq!(page.status, 400);
    has(&page, "id=\"name-wrong\">“VIP Customer” is put away: take it back instead");
    has(&page, "<a href=\"/console/c/cmp_001/customer_tags/tag_001\">The one that is put away</a>");
    has(&page, "value=\"Typed\"");
    let sure = Browser::hidden(&page, "sure");
    let sent = [("name", "VIP Customer"), ("sure", &*sure), ("request", "b")];
    let added = browser.post(&add, &sent).await;
    has(&browser.follow(&added).await, "Added the tag “VIP Customer”.");
    // A double click writes once.
    let again = browser.post(&add, &sent).await;
    assert_eq!(again.header("location"), added.header("location"));
    put_away(&browser, &format!("{TAGS}/tag_002")).await;
    let other = browser.post(&add, &[("name", "First-time Customer"), ("sure", &sure)]).await;
    has(&other, "“First-time Customer” is put away");
    let writer = server.key(with_scopes(&["settings:write"])).await;
    let writer = Browser::with_key(&server, &writer).await;
    let added = writer.post(&add, &[("name", "First-time Customer")]).await;
    assert_eq!(added.status, 303, "who may not see the list is asked nothing: {}", added.text());
}

#[tokio::test]
async fn a_line_with_the_name_of_an_entry_that_is_put_away_takes_it_back() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    put_away(&browser, &format!("{TAGS}/tag_001")).await;
    let many = format!("{TAGS}/add-many");
    let lines = "Puppy\nvip customer #123456\nFirst-time Customer";
    let page = browser.post(&many, &[("lines", lines)]).await;
    has(&page, "<h1>Go on with these 2 tags?</h1>");
    has(&page, ">Do this for the other 2, without this line</button>");
    has(&page, "<a href=\"/console/c/cmp_001/customer_tags/tag_001\">“VIP Customer”</a> is put");
    has(&page, "name=\"back\" value=\"2 tag_001\" checked>");
    let [shown, without] = ["shown", "without"].map(|name| Browser::hidden(&page, name));
    let form = [("lines", lines), ("shown", &*shown), ("without", &*without)];
    // The choice stays when the page is asked for again.
    let again = browser.post(&many, &form).await;
    has(&again, "name=\"back\" value=\"2 tag_001\">");
    has(&again, "<h1>Go on with these 2 tags?</h1>");
    has(&again, ">Do this for the other 2, without this line</button>");
    let mut sent = form.to_vec();
    sent.extend([("back", "2 tag_001"), ("sure", "1"), ("request", "once")]);
    let first = browser.post(&many, &sent).await;
    let done = browser.follow(&first).await;
    // A double click writes once.
    let again = browser.post(&many, &sent).await;
    assert_eq!(again.header("location"), first.header("location"), "{}", again.text());
    has(&done, "Took back the tag “VIP Customer” and added the tag “Puppy”.");
    assert_eq!(names(&browser, TAGS).await, ["VIP Customer", "First-time Customer", "Puppy"]);
    // Without the mark, a second one is added.
    put_away(&browser, &format!("{TAGS}/tag_001")).await;
    let lines = "VIP Customer";
    let page = browser.post(&many, &[("lines", lines)]).await;
    has(&page, "<h1>Go on with this tag?</h1>");
    has(&page, ">Do this</button>");
    let shown = Browser::hidden(&page, "shown");
    let sent = [("lines", lines), ("shown", &*shown), ("without", ""), ("sure", "1")];
    browser.follow(&browser.post(&many, &sent).await).await;
    let expected = ["First-time Customer", "Puppy", "VIP Customer", "VIP Customer"];
    assert_eq!(names(&browser, TAGS).await, expected);
    // Somebody was faster.
    let late = [("lines", "Puppy"), ("back", "1 tag_002"), ("sure", "1")];
    has(&browser.follow(&browser.post(&many, &late).await).await, "Nothing was changed.");
}

#[tokio::test]
async fn an_import_offers_to_take_back_what_it_would_make_a_second_time() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let import = format!("{COMPANY}/import");
    put_away(&browser, &format!("{TAGS}/tag_001")).await;
    let table = "name,color\nvip customer,#123456\nFirst-time Customer,\n";
    let document = "companies: [{id: cmp_001, customer_tags: [{id: new, name: VIP Customer}, \
                    {name: Other, was: First-time Customer}]}]";
    let quiet = [
        "name\nFresh\n",
        "companies: [{id: cmp_001, customer_tags: [{name: VIP Customer, state: archived}, {name: New}]}]",
        "companies: [{id: cmp_001, customer_tags: [{id: tag_001, name: VIP Customer, color: '#fff'}]}]",
        "companies: [{id: cmp_001, customer_tags: [{id: tag_001, name: VIP Customer, state: archived}, {name: VIP Customer}]}]",
        "companies: [{id: cmp_001, customer_tags: [{name: VIP Customer, state: archived}, {name: VIP Customer}]}]",
    ];
    let preview = async |text: &str, wish: &str, back: &str| {
        let form = [("text", text), ("list", "customer_tags"), ("do", wish), ("back", back)];
        browser.post(&import, &form).await
    };
    let told = "“VIP Customer”</a></li>";
    for text in [table, document] {
        let page = preview(text, "preview", "").await;
        assert_eq!(page.status, 200, "{}", page.text());
        has(&page, told);
        has(
            &page,
            "<button form=\"plan\" name=\"do\" value=\"back\">Take it back instead</button>",
        );
        has(&page, "1 added");
        // It is told once, in the words of the page.
        assert!(!page.text().contains("state: active"), "{}", page.text());
        assert!(!page.text().contains("name=\"back\""), "{}", page.text());
        let back = preview(text, "back", "").await;
        has(&back, "1 taken back");
        has(&back, "name=\"back\" value=\"\ncustomer_tags[0] tag_001\"");
        assert!(!back.text().contains(told) && !back.text().contains("1 added"), "{}", back.text());
    }
    for text in quiet {
        let page = preview(text, "preview", "").await;
        assert_eq!(page.status, 200, "{}", page.text());
        assert!(!page.text().contains("value=\"back\""), "{}", page.text());
    }
    let back = preview(table, "back", "").await;
    let [ids, digest] = ["ids", "digest"].map(|name| Browser::hidden(&back, name));
    let apply = [
        ("text", table),
        ("list", "customer_tags"),
        ("back", "customer_tags[0] tag_001"),
        ("ids", &*ids),
        ("digest", &*digest),
        ("request", "once"),
        ("do", "apply"),
    ];
    let done = browser.post(&import, &apply).await;
    assert_eq!(done.status, 303, "{}", done.text());
    // A double click writes once.
    let again = browser.post(&import, &apply).await;
    assert_eq!(again.header("location"), done.header("location"), "{}", again.text());
    assert_eq!(names(&browser, TAGS).await, ["vip customer", "First-time Customer"]);
    assert!(browser.get(&format!("{TAGS}/tag_001")).await.text().contains("#123456"));
}

#[tokio::test]
async fn an_entry_that_returns_as_the_default_is_told_so() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let path = format!("{COMPANY}/life_cycles/lc_001");
    let page = browser.get(&path).await;
    let (etag, name) = (Browser::hidden(&page, "etag"), Browser::hidden(&page, "was.name"));
    let away = [("etag", &*etag), ("successor", "lc_003"), ("request", "a")];
    assert_eq!(browser.post(&format!("{path}/archive"), &away).await.status, 303);
    let undo = format!("{COMPANY}/history/2/undo");
    let told = browser.follow(&browser.post(&undo, &[("request", "b")]).await).await;
    has(&told, &format!("Took back the life cycle “{name}”, and made it the default."));
}

#[tokio::test]
async fn the_only_life_cycle_says_that_it_cannot_be_put_away_yet() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let text = "companies: [{id: one, name: One, life_cycles: [{id: lc_only, name: Only, is_default: true}]}]";
    load(&server.services, text).await;
    let page = browser.get("/console/c/one/life_cycles/lc_only").await;
    has(&page, "it cannot be put away before there is another one");
    assert!(!page.text().contains("lc_only/archive"), "{}", page.text());
}

#[tokio::test]
async fn own_actions_are_told_with_their_names_without_the_right_to_see_history() {
    let server = Server::demo().await;
    let scopes = ["settings:read", "settings:write", "companies:read", "companies:write"];
    let clerk = server.issue(with_scopes(&scopes)).await.1;
    let clerk = Browser::with_key(&server, &clerk).await;
    let told = |page: &Answer, told: &str| has(page, &format!("role=\"status\"><p>{told}</p>"));
    let add = [("name", "Senior")];
    let page = clerk.follow(&clerk.post(&format!("{TAGS}/add"), &add).await).await;
    told(&page, "Added the tag “Senior”.");
    assert!(!page.text().contains("<button>Undo"), "{}", page.text());
    let tag = format!("{TAGS}/tag_001");
    for (path, fields, sentence) in [
        (tag.clone(), &[("name", "VIP"), ("pick", "none")][..], "Saved the tag “VIP”."),
        (tag.clone(), &[("name", "VIP"), ("pick", "none")], "Nothing was changed."),
    ] {
        told(&save(&clerk, &path, fields).await, sentence);
    }
    let away = "To undo it, open it among those put away, and press “Take back”.";
    for (path, list, thing) in [
        (tag, TAGS.to_owned(), "tag “VIP”"),
        (format!("{COMPANY}/locations/biz_001"), format!("{COMPANY}/locations"), "location “"),
    ] {
        for (action, sentence) in [("archive", "Put away the "), ("restore", "Took back the ")] {
            let etag = Browser::hidden(&clerk.get(&path).await, "etag");
            let sent = clerk.post(&format!("{path}/{action}"), &[("etag", &*etag)]).await;
            assert!(sent.header("location").unwrap().starts_with(&list), "{path}");
            let page = clerk.follow(&sent).await;
            has(&page, &format!("<p>{sentence}{thing}"));
            assert_eq!(page.text().contains(away), action == "archive", "{}", page.text());
        }
    }
    let lines = [("lines", "One\nTwo"), ("sure", "1")];
    let page = clerk.follow(&clerk.post(&format!("{TAGS}/add-many"), &lines).await).await;
    told(&page, "All lines were done, as the page showed them.");
    told(&clerk.get(&format!("{TAGS}?did=away.customer_tags.nothing")).await, "Saved.");
}

#[tokio::test]
async fn a_name_from_right_to_left_stands_by_itself_in_sentences() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let sent = browser.post(&format!("{TAGS}/add"), &[("name", "שלום (VIP)")]).await;
    has(&browser.follow(&sent).await, "Added the tag “\u{2068}שלום (VIP)\u{2069}”.");
}

/// The fields of the form that takes an idea, as a browser sends them.
fn idea(page: &Answer, name: &str) -> Vec<(String, String)> {
    let forms =
        page.text().split("<form").skip(1).map(|form| form.split("</form>").next().unwrap());
    let form = forms.filter(|form| form.contains("name=\"ideas\""));
    let mut form = form.filter(|form| form.contains(&format!("aria-label=\"Add {name}\"")));
    let form = form.next().unwrap_or_else(|| panic!("no {name}: {}", page.text()));
    let field = |field: &str| {
        let (name, rest) = field.split_once("\" value=\"").unwrap();
        (name.to_owned(), rest.split('"').next().unwrap().to_owned())
    };
    form.split("name=\"").skip(1).map(field).collect()
}

/// Takes an idea of a page, and answers the page that follows.
async fn take(browser: &Browser<'_>, list: &str, page: &Answer, name: &str) -> Answer {
    let fields = idea(page, name);
    let fields: Vec<(&str, &str)> =
        fields.iter().map(|(name, value)| (&**name, &**value)).collect();
    let sent = browser.post(&format!("{list}/add"), &fields).await;
    // The browser shows the ideas again, and not the beginning of the page.
    assert!(sent.header("location").unwrap().ends_with("#ideas"), "{:?}", sent.header("location"));
    browser.follow(&sent).await
}

#[tokio::test]
async fn ideas_stay_open_while_they_are_taken_one_by_one() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let company = [("name", "New"), ("id", "cmp_new"), ("request", "a")];
    browser.post("/console/companies/new", &company).await;
    let list = "/console/c/cmp_new/customer_tags";
    let heading = "<h2 id=\"ideas\">Ideas to begin with</h2>";
    let open = "<details class=\"card\" open><summary>";
    let mut page = browser.get(list).await;
    has(&page, heading);
    for vocabulary in ["Grooming", "Boarding", "Daycare", "Training"] {
        has(&page, &format!("<details class=\"card\"><summary>{vocabulary}</summary>"));
    }
    assert!(!page.text().contains("Add Walked by"), "an idea of another list");
    for name in ["Regular groom", "Matted coat", "Show cut"] {
        page = take(&browser, list, &page, name).await;
        has(&page, &format!("Added the tag “{name}”."));
        has(&page, &format!("{open}Grooming</summary>"));
        assert_eq!(page.text().matches(open).count(), 1, "{}", page.text());
        assert!(!page.text().contains(&format!("Add {name}\"")), "this one is there");
        assert!(!page.text().contains(">Ideas to begin with</a>"), "{}", page.text());
    }
    assert!(page.text().contains("fill=\"#2E7D32\""));
    // A list that is not empty any more leads to them.
    for view in ["", "?archived=1"] {
        let later = browser.get(&format!("{list}{view}")).await;
        assert!(!later.text().contains(heading), "{}", later.text());
        let link = later.text().split("\">Ideas to begin with</a>").next().unwrap();
        let link = link.rsplit("href=\"").next().unwrap().replace("&#38;", "&");
        assert!(link.ends_with("#ideas"), "{link}");
        let ideas = browser.get(link.split('#').next().unwrap()).await;
        has(&ideas, heading);
        assert!(!ideas.text().contains(open), "{}", ideas.text());
        assert!(!ideas.text().contains("Add Regular groom"), "this one is there");
    }
    // So does one that never was empty.
    has(&browser.get(TAGS).await, ">Ideas to begin with</a>");
    let searched = browser.get(&format!("{TAGS}?q=VIP&ideas=1")).await;
    assert!(!searched.text().contains("Ideas"), "nobody knows which are left: {}", searched.text());
}

#[tokio::test]
async fn an_idea_that_is_refused_leaves_its_ideas_open() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let page = browser.get(&format!("{TAGS}?ideas=1")).await;
    let after = take(&browser, TAGS, &page, "Regular groom").await;
    let path = after.text().split("<a href=\"").find(|rest| rest.contains(">Regular groom<"));
    put_away(&browser, path.unwrap().split('"').next().unwrap()).await;
    let page = browser.get(&format!("{TAGS}?ideas=1")).await;
    let fields = idea(&page, "Regular groom");
    let fields: Vec<(&str, &str)> =
        fields.iter().map(|(name, value)| (&**name, &**value)).collect();
    let refused = browser.post(&format!("{TAGS}/add"), &fields).await;
    assert_eq!(refused.status, 400);
    has(&refused, "“Regular groom” is put away");
    has(&refused, "open><summary>Grooming</summary>");
}

#[tokio::test]
async fn a_person_who_may_only_see_is_offered_the_downloads_and_no_ideas() {
    let server = Server::demo().await;
    let owner = Browser::of(&server).await;
    let company = [("name", "New"), ("id", "cmp_new"), ("request", "a")];
    owner.post("/console/companies/new", &company).await;
    let names = format!("<a href=\"{TAGS}/download\">Download names and colors</a>");
    let table = format!("<a href=\"{COMPANY}/export?as=csv\">All lists with descriptions");
    for (scopes, has_table) in
        [(&["settings:read", "companies:read"][..], true), (&["settings:read"], false)]
    {
        let reader = Browser::with_key(&server, &server.key(with_scopes(scopes)).await).await;
        let page = reader.get(TAGS).await;
        has(&page, &names);
        has(&page, "<span class=\"soft\">2 tags</span>");
        assert_eq!(page.text().contains(&table), has_table, "{}", page.text());
        let file = reader.get(&format!("{TAGS}/download")).await;
        assert!(file.text().starts_with("VIP Customer"), "{}", file.text());
        let found = reader.get(&format!("{TAGS}?q=VIP")).await;
        assert!(!found.text().contains(&names), "not all are shown: {}", found.text());
        for path in [TAGS.to_owned(), format!("{TAGS}?ideas=1"), TAGS.replace("001", "new")] {
            let page = reader.get(&path).await;
            assert!(!page.text().contains("Ideas"), "{path}: {}", page.text());
        }
    }
}

#[tokio::test]
async fn what_was_undone_is_told_without_the_right_to_see_history() {
    let server = Server::demo().await;
    let owner = Browser::of(&server).await;
    let scopes = ["settings:read", "settings:write", "companies:read", "companies:write"];
    let clerk = Browser::with_key(&server, &server.key(with_scopes(&scopes)).await).await;
    owner.post(&format!("{TAGS}/add"), &[("name", "New")]).await;
    owner.post(&format!("{TAGS}/add"), &[("name", "Newer")]).await;
    let etag = Browser::hidden(&owner.get(&format!("{COMPANY}/history/1/back")).await, "etag");
    let (undo, back) = (format!("{COMPANY}/history/3/undo"), format!("{COMPANY}/history/1/back"));
    let undone = "The change was undone.";
    for (path, field, told) in [
        (&back, ("etag", &*etag), "The company is as it was at that moment again."),
        (&undo.replace('3', "4"), ("next", "/c/cmp_001/customer_tags"), undone),
        (&undo, ("next", ""), undone),
    ] {
        let page = clerk.follow(&clerk.post(path, &[field]).await).await;
        assert_eq!(page.status, 200, "{path}: {}", page.text());
        has(&page, &format!("role=\"status\"><p>{told}</p>"));
    }
    let list = owner.get(TAGS).await;
    has(&list, ">New<");
    assert!(!list.text().contains(">Newer<"), "{}", list.text());
    let settings = format!("{COMPANY}/settings");
    let saved = save(
        &clerk,
        &settings,
        &[("name", "Paws"), ("country", "AT"), ("timezone", "Europe/Vienna")],
    )
    .await;
    has(&saved, "<p>Saved the company “Paws”.</p>");
}

#[tokio::test]
async fn an_entry_that_is_renamed_and_put_away_at_once_is_told_with_its_old_name() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let secret = server.any_key().await;
    let list = "life_cycles";
    let batch = async |changes: Value| {
        let body = json!({"companyId": "cmp_001", "changes": changes});
        server.grpc_as(&secret, "BatchChangeEntries", body).await.unwrap();
    };
    let old = browser.get(&format!("{COMPANY}/{list}/lc_002")).await;
    let old = old.text().split("<h1>").nth(1).unwrap().split('<').next().unwrap();
    let one = |field: &str, value: Value| {
        let mut entry = json!({});
        entry[field] = value;
        let update =
            json!({"collection": list, "id": "lc_002", "entry": entry, "updateMask": field});
        json!({"update": update})
    };
    let id = json!({"collection": list, "id": "lc_002"});
    batch(json!([one("name", "Gone".into()), {"archive": id}])).await;
    batch(json!([{"restore": id}, one("name", "Back".into())])).await;
    batch(json!([one("name", "Again".into()), {"archive": id}])).await;
    let default =
        json!([{"restore": id}, one("name", "Best".into()), one("isDefault", true.into())]);
    batch(default).await;
    let history = browser.get(&format!("{COMPANY}/history")).await;
    for told in [
        format!("renamed “{old}” to “Gone”, and put it away"),
        "renamed “Gone” to “Back”, and took it back".to_owned(),
        "renamed “Back” to “Again”, and put it away".to_owned(),
        "renamed “Again” to “Best”, took it back, and made it the default".to_owned(),
    ] {
        has(&history, &format!(" {told}</a>"));
    }
}

#[tokio::test]
async fn an_author_whose_name_is_written_from_right_to_left_stands_alone() {
    let server = Server::demo().await;
    let name = "דנה (VIP)";
    let draft = KeyDraft { name: Name::parse("name", name).unwrap(), ..everything() };
    let (key, secret) = server.issue(draft).await;
    let dana = Browser::with_key(&server, &secret).await;
    let page = dana.get(&format!("{TAGS}/tag_001")).await;
    let etag = Browser::hidden(&page, "etag");
    has(&page, &format!("<bdi>{name}</bdi></a>"));
    dana.post(&format!("{TAGS}/tag_001"), &[("name", "Of Dana"), ("etag", &*etag)]).await;
    let owner = Browser::of(&server).await;
    let shown = format!("<bdi>{name}</bdi>");
    let key_page = format!("/console/keys/{}", key.id);
    for path in ["/console/c/cmp_001/history", "/console/c/cmp_001/history/2", "/console/keys"] {
        has(&owner.get(path).await, &shown);
    }
    has(&owner.get(&key_page).await, &shown);
    let alone = format!("\u{2068}{name}\u{2069}");
    has(&owner.get(&format!("{key_page}/changes")).await, &format!("<h1>What {alone} did</h1>"));
    let late = owner.post(&format!("{TAGS}/tag_001"), &[("name", "Mine"), ("etag", &*etag)]).await;
    has(&late, &format!("Changed last by {alone}, <time"));
    has(&late, &format!("Saved meanwhile by {alone}</h2>"));
    let link = owner.post(&format!("{key_page}/link"), &[("last", "")]).await;
    has(&link, &format!("<h1>A link for {alone}</h1>"));
}
