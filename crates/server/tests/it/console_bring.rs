//! Documents and tables in the console: their plan in words, its application, copies and downloads.

use customer_settings_server::{
    catalog::id::CompanyId, formats::csv, service::document::CompanyRow,
};
use serde_json::{Value, json};

use crate::{console::Browser, harness::*};

const IMPORT: &str = "/console/c/cmp_001/import";
const DOCUMENT: &str = "\
# Kept as it was typed
companies:
- id: cmp_001
  customer_tags:
  - {id: tag_001, name: VIP, color: '#fff'}
  - {name: <New>}
";

fn unescaped(text: &str) -> String {
    [("&#60;", "<"), ("&#62;", ">"), ("&#34;", "\""), ("&#39;", "'"), ("&#38;", "&")]
        .iter()
        .fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

/// The fields that a page with a plan sends on.
fn fields(page: &Answer) -> Vec<(&'static str, String)> {
    let names = ["text", "list", "ids", "digest", "request"];
    names.map(|name| (name, unescaped(&Browser::hidden(page, name)))).to_vec()
}

async fn send(browser: &Browser<'_>, fields: &[(&str, String)], wish: &str) -> Answer {
    let mut fields: Vec<(&str, &str)> =
        fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    fields.push(("do", wish));
    browser.post(IMPORT, &fields).await
}

async fn pasted(browser: &Browser<'_>, text: &str) -> Answer {
    send(browser, &[("text", text.to_owned())], "preview").await
}

/// Sends the form as a browser sends files.
async fn uploaded(browser: &Browser<'_>, name: &str, content: &str, list: &str) -> Answer {
    uploaded_beside(browser, name, content, list, "").await
}

async fn uploaded_beside(
    browser: &Browser<'_>,
    name: &str,
    content: &str,
    list: &str,
    text: &str,
) -> Answer {
    let part = |disposition: &str, value: &str| {
        format!("--x\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{value}\r\n")
    };
    let file = part(&format!("name=\"file\"; filename=\"{name}\""), content);
    let body = part("name=\"text\"", text)
        + &part("name=\"request\"", "r1")
        + &file
        + &part("name=\"list\"", list);
    let body = body + &part("name=\"do\"", "preview") + "--x--\r\n";
    let kind = ("content-type", "multipart/form-data; boundary=x");
    browser.send("POST", IMPORT, &[kind, ("sec-fetch-site", "same-origin")], &body).await
}

async fn tags(server: &Server, company: &str) -> Vec<String> {
    let secret = server.any_key().await;
    let path = format!("/admin/v1/companies/{company}/customer_tags");
    let list = server.get(&path).bearer(&secret).send().await.json();
    let entries = list["entries"].as_array().unwrap().iter();
    entries.map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_document_is_applied_as_it_was_shown() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let form = browser.get(IMPORT).await;
    assert!(form.text().contains("enctype=\"multipart/form-data\""));
    let page = pasted(&browser, DOCUMENT).await;
    assert_eq!(page.status, 200, "{}", page.text());
    for part in [
        "1 added, 1 renamed.",
        "Tag “VIP” <span class=\"badge\">renamed",
        "Tag “&#60;New&#62;” <span class=\"badge\">added",
    ] {
        assert!(page.text().contains(part), "{part}: {}", page.text());
    }
    assert_eq!(fields(&page)[0].1, DOCUMENT);
    assert_eq!(tags(&server, "cmp_001").await.len(), 2);
    let done = send(&browser, &fields(&page), "apply").await;
    let told = browser.follow(&done).await;
    assert!(told.text().contains("class=\"said done\""), "{}", told.text());
    assert!(told.text().contains("/undo\""));
    assert_eq!(tags(&server, "cmp_001").await, ["VIP", "<New>", "First-time Customer"]);
    // A double click, or a reload, writes once.
    let again = send(&browser, &fields(&page), "apply").await;
    assert_eq!(again.header("location"), done.header("location"));
    let again = pasted(&browser, DOCUMENT).await;
    assert!(again.text().contains("Nothing would change"));
}

#[tokio::test]
async fn its_plan_is_that_of_the_api() {
    let server = Server::demo().await;
    let (browser, secret) = (Browser::of(&server).await, server.any_key().await);
    let document = DOCUMENT.replace("{name: <New>}", "{id: tag_new, name: <New>}");
    let page = pasted(&browser, &document).await;
    let sent = json!({"document": {"companies": [{"id": "cmp_001", "customerTags": [
        {"id": "tag_001", "name": "VIP", "color": "#fff"}, {"id": "tag_new", "name": "<New>"},
    ]}]}});
    let planned = server.answer(&secret, "PlanSettings", sent).await;
    assert_eq!(planned["plans"][0]["digest"], Value::String(Browser::hidden(&page, "digest")));
}

#[tokio::test]
async fn a_name_that_was_taken_meanwhile_is_a_plan_that_changed() {
    let server = Server::demo().await;
    let (browser, secret) = (Browser::of(&server).await, server.any_key().await);
    let page = pasted(
        &browser,
        "name
Fresh
",
    )
    .await;
    let taken = server.post("/admin/v1/companies/cmp_001/customer_tags").bearer(&secret);
    assert_eq!(taken.body(r#"{"name":"Fresh"}"#).send().await.status, 200);
    let page = send(&browser, &fields(&page), "apply").await;
    assert_eq!(page.status, 409, "{}", page.text());
    for part in [
        "has changed since, so nothing was done. ",
        " added the tag “Fresh”. ",
        "Order of the tags",
    ] {
        assert!(page.text().contains(part), "{part}: {}", page.text());
    }
}

#[tokio::test]
async fn all_problems_of_a_document_are_told_at_once_with_their_lines() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let document = "companies:
- id: cmp_001
  customer_tags:
  - {id: a b, name: Left out}
  - {name: Red}
  - {name: red}
  - {name: Blue, nmae: x}
";
    let page = pasted(&browser, document).await;
    assert_eq!(page.status, 400, "{}", page.text());
    let text = page.text();
    let mut from = 0;
    for part in [
        "Line 4: the id of tag number 1 must be an id",
        "Line 6: the name of tag number 3 &#34;red&#34; is taken by tag number 2 (line 5)",
        "Line 7: the nmae of tag number 4 is unknown",
    ] {
        let at = text[from..].find(part);
        from += at.unwrap_or_else(|| panic!("{part}: {text}"));
    }
    // A wrong key beside the companies hides nothing.
    let page = pasted(&browser, &format!("verzion: 1\n{document}")).await;
    assert_eq!(page.status, 400, "{}", page.text());
    for part in ["Line 1: ", "verzion", "Line 5: the id of tag number 1", "Line 8: the nmae of tag"]
    {
        assert!(page.text().contains(part), "{part}: {}", page.text());
    }
    // More than fit on a screen.
    let many = "  - {name: ''}\n".repeat(30);
    let page =
        pasted(&browser, &format!("companies:\n- id: cmp_001\n  customer_tags:\n{many}")).await;
    assert!(page.text().contains("Line 33: the name of tag number 30"), "{}", page.text());
    let applied = send(&browser, &[("text", document.to_owned())], "apply").await;
    assert_eq!(applied.status, 400);
    assert_eq!(tags(&server, "cmp_001").await.len(), 2);
}

#[tokio::test]
async fn places_are_counted_from_one() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let turned = "companies: [{id: cmp_001, customer_tags: [{id: tag_002, name: First-time Customer}, \
                  {id: tag_001, name: VIP Customer}]}]";
    let page = pasted(&browser, turned).await;
    let (_, moved) = page.text().split_once("Order of the tags").unwrap();
    let (_, rows) = moved.split_once("<tbody>").unwrap();
    let cells = rows.split("<td>").skip(1).take(2).filter_map(|cell| cell.split("</td>").next());
    let cells: Vec<&str> = cells.collect();
    assert!(cells == ["1", "2"] || cells == ["2", "1"], "{cells:?}");
}

#[tokio::test]
async fn a_plan_that_changed_is_shown_anew_and_nothing_typed_is_lost() {
    let server = Server::demo().await;
    let (browser, secret) = (Browser::of(&server).await, server.any_key().await);
    let page = pasted(&browser, DOCUMENT).await;
    let tag = server.call("PATCH", "/admin/v1/companies/cmp_001/customer_tags/tag_001");
    let renamed = tag.bearer(&secret).body(r#"{"name":"Other"}"#).send().await;
    assert_eq!(renamed.status, 200);
    let page = send(&browser, &fields(&page), "apply").await;
    assert_eq!(page.status, 409, "{}", page.text());
    assert!(page.text().contains("has changed since, so nothing was done"), "{}", page.text());
    assert!(page.text().contains(">Other</td>"), "{}", page.text());
    let (_, told) = page.text().split_once("so nothing was done. ").unwrap();
    let (told, _) = told.split_once("</p>").unwrap();
    let (_, sentence) = told.split_once(" renamed ").unwrap();
    assert_eq!(sentence, "“VIP Customer” to “Other”. This is what would happen now.");
    for internal in ["plan", "key_", "customer_tags", "cmp_001"] {
        assert!(!told.contains(internal), "{internal}: {told}");
    }
    assert_eq!(fields(&page)[0].1, DOCUMENT);
    let edited = send(&browser, &fields(&page), "edit").await;
    assert!(unescaped(edited.text()).contains(DOCUMENT));
    browser.follow(&send(&browser, &fields(&page), "apply").await).await;
    assert_eq!(tags(&server, "cmp_001").await, ["VIP", "<New>", "First-time Customer"]);
}

#[tokio::test]
async fn a_thing_that_would_be_made_has_no_values_yet() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let away = "companies: [{id: cmp_001, customer_tags: [{name: Old, state: archived}]}]";
    let page = pasted(&browser, away).await;
    assert!(page.text().contains("<td>put away</td>"), "{}", page.text());
    assert!(!page.text().contains("in use"), "{}", page.text());
}

#[tokio::test]
async fn a_document_that_is_wrong_stays_in_the_form_with_its_lines() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let wrong = DOCUMENT.replace("'#fff'", "red");
    for (text, told) in [
        (wrong.as_str(), "Line 5: the color of tag number 1"),
        ("{companies: [", "Line 1"),
        ("companies: []", "The document has no company"),
        ("companies: [{id: a}, {id: b}]", "and none is this one: write “id: cmp_001” at the one"),
        (
            "companies: [{id: cmp_001, customer_tags: [{id: tag_001, name: First-time Customer}]}]",
            "taken",
        ),
        ("one;two\n\"", "quotation mark"),
        (" ", "Paste a document"),
    ] {
        let page = pasted(&browser, text).await;
        assert_eq!(page.status, 400, "{text}: {}", page.text());
        assert!(page.text().contains(told), "{text}: {}", page.text());
        assert!(unescaped(page.text()).contains(text), "{text}");
    }
    assert_eq!(tags(&server, "cmp_001").await, ["VIP Customer", "First-time Customer"]);
}

#[tokio::test]
async fn a_file_with_a_table_is_read_as_convert_reads_it() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let table = "Label;Farbe\r\nGoogle;#00ff00\r\nNips;red\r\nA friend;\r\n";
    let page = uploaded(&browser, "sources.csv", table, "referral_sources").await;
    assert_eq!(page.status, 200, "{}", page.text());
    for part in ["Semicolons; line 1 is the header", "Left out: line 3: color must be", "A friend"]
    {
        assert!(page.text().contains(part), "{part}: {}", page.text());
    }
    assert!(!page.text().contains("This is the file alone"), "{}", page.text());
    let both = uploaded_beside(&browser, "a.csv", table, "referral_sources", "name\nTyped").await;
    assert!(both.text().contains("This is the file alone"), "{}", both.text());
    let done = send(&browser, &fields(&page), "apply").await;
    assert_eq!(done.status, 303, "{}", done.text());
    let workbook = uploaded(&browser, "sources.xlsx", "PK\u{3}\u{4}", "referral_sources").await;
    assert_eq!(workbook.status, 400);
    for part in ["workbook", "<form", "The file was not read"] {
        assert!(workbook.text().contains(part), "{part}: {}", workbook.text());
    }
}

#[tokio::test]
async fn a_list_that_would_lose_much_asks_for_the_number() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let text = "companies: [{id: cmp_001, customer_tags: [{name: New}]}]";
    let asked = async |most: &str| {
        let fields = [("text", text), ("prune", "1"), ("most", most)];
        let fields = fields.map(|(name, value)| (name, value.to_owned()));
        send(&browser, &fields, "preview").await
    };
    for most in ["", "1"] {
        let page = asked(most).await;
        assert_eq!(page.status, 400);
        let told = "<a href=\"#most\">Tags would lose 2 of its 2 active entries";
        assert!(page.text().contains(told), "{}", page.text());
        assert!(page.text().contains("allow as many below, with the number 2"), "{}", page.text());
    }
    assert!(asked("many").await.text().contains("Give a number"));
    let alone = [("text", text.to_owned()), ("most", "3".to_owned())];
    let alone = send(&browser, &alone, "preview").await;
    assert_eq!(alone.status, 400);
    assert!(alone.text().contains("id=\"most-wrong\">This counts only with"), "{}", alone.text());
    let page = asked("2").await;
    assert_eq!(page.status, 200, "{}", page.text());
    let mut sent = fields(&page);
    sent.extend([("prune", "1".to_owned()), ("most", Browser::hidden(&page, "most"))]);
    let done = send(&browser, &sent, "apply").await;
    assert_eq!(done.status, 303, "{}", done.text());
    assert_eq!(tags(&server, "cmp_001").await, ["New"]);
}

#[tokio::test]
async fn yaml_with_a_wrong_key_is_no_table() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let list = "- id: cmp_001\n  customer_tags:\n  - name: New\n";
    for text in [
        format!("company:\n{list}"),
        format!("# mine\n---\nversion: 1\n\ncompany:\n  {}", list.replace('\n', "\n  ")),
        list.to_owned(),
        "cmp_001:\n  customer_tags: [{name: New}]\n".to_owned(),
    ] {
        let page = pasted(&browser, &text).await;
        assert_eq!(page.status, 400, "{text}: {}", page.text());
        let is_told = ["mean companies?", "companies:", "there are companies"];
        let is_told = is_told.iter().any(|told| page.text().contains(told));
        assert!(is_told, "{text}: {}", page.text());
    }
    for table in ["Name:\nVIP\n", "VIP\n- none -\n", "Friend: Instagram\nFriend: Google\n"] {
        let page = pasted(&browser, table).await;
        assert_eq!(page.status, 200, "{table}: {}", page.text());
    }
}

#[tokio::test]
async fn a_file_with_full_catalogs_is_applied() {
    let server = Server::patient().await;
    let browser = Browser::of(&server).await;
    let mut document = "companies:\n- id: cmp_001\n".to_owned();
    for list in ["customer_tags", "referral_sources", "action_statuses"] {
        document += &format!("  {list}:\n");
        for i in 0..990 {
            document += &format!("  - name: {i:0100}\n    description: {}\n", "d".repeat(500));
        }
    }
    assert!(document.len() > 3 << 19);
    let page = uploaded(&browser, "full.yaml", &document, "customer_tags").await;
    assert!(page.text().contains("2970 added"), "{}", page.status);
    assert!(page.text().contains("And 2770 more."));
    assert_eq!(send(&browser, &fields(&page), "apply").await.status, 303);
    assert_eq!(tags(&server, "cmp_001").await.len(), 992);
}

#[tokio::test]
async fn the_lists_of_another_company_are_copied() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let there = "/console/c/cmp_002/import";
    let page = browser.post(there, &[("from", "cmp_001"), ("do", "preview")]).await;
    assert!(page.text().contains("badge\">added"), "{}", page.text());
    assert!(!page.text().contains("Company “"), "{}", page.text());
    let sent = fields(&page);
    let mut sent: Vec<(&str, &str)> = sent.iter().map(|(n, v)| (*n, v.as_str())).collect();
    sent.push(("do", "apply"));
    assert_eq!(browser.post(there, &sent).await.status, 303);
    let names = tags(&server, "cmp_002").await;
    assert!(tags(&server, "cmp_001").await.iter().all(|name| names.contains(name)));
    for own in ["cmp_001", "happy paws PET care"] {
        let own = send(&browser, &[("from", own.to_owned())], "preview").await;
        assert!(own.text().contains("This is the company itself"), "{}", own.text());
    }
    let absent = send(&browser, &[("from", "cmp_404".to_owned())], "preview").await;
    assert_eq!(absent.status, 404);
    // People know names.
    let named = browser.post(there, &[("from", "happy paws PET care"), ("do", "preview")]).await;
    assert!(named.text().contains("Nothing would change"), "{}", named.text());
    let unknown = browser.post(there, &[("from", "Nobody at all"), ("do", "preview")]).await;
    assert_eq!(unknown.status, 400);
    let told = "No company has this id or this name.";
    assert!(unknown.text().contains(told), "{}", unknown.text());
    for id in ["cmp_twin", "cmp_other"] {
        let twin = [("name", "Twin Paws"), ("id", id), ("request", id)];
        assert_eq!(browser.post("/console/companies/new", &twin).await.status, 303);
    }
    let twins = browser.post(there, &[("from", "twin paws"), ("do", "preview")]).await;
    assert!(twins.text().contains("Several companies have this name"), "{}", twins.text());
    let one = browser.post(there, &[("from", "cmp_twin"), ("do", "preview")]).await;
    assert_eq!(one.status, 200, "{}", one.text());
    // The page offers no more than 200.
    let many = (0..200).map(|number| format!("- {{id: cmp_a{number}, name: A {number}}}\n"));
    load(&server.services, &format!("companies:\n{}", many.collect::<String>())).await;
    load(&server.services, "companies: [{id: cmp_last, name: Zoo}]").await;
    assert!(!browser.get(there).await.text().contains("cmp_last"));
    let last = browser.post(there, &[("from", "zoo"), ("do", "preview")]).await;
    assert_eq!(last.status, 200, "{}", last.text());
}

#[tokio::test]
async fn a_download_is_what_export_writes() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let id = CompanyId::parse("id", "cmp_001").unwrap();
    let mut exported = String::new();
    let write = |text: &str| {
        exported.push_str(text);
        Ok(())
    };
    // Others may not give authors and times to another company.
    let trim = CompanyRow::without_audit;
    server.services.load.export(std::slice::from_ref(&id), trim, write).await.unwrap();
    let yaml = browser.get("/console/c/cmp_001/export").await;
    assert_eq!(yaml.header("content-disposition"), Some("attachment; filename=\"cmp_001.yaml\""));
    assert_eq!(yaml.text(), exported);
    let row = server.services.load.row(&id).await.unwrap();
    let table = csv::write(&row).unwrap();
    assert_eq!(browser.get("/console/c/cmp_001/export?as=csv").await.body, table);
    // Both come back unchanged.
    for text in [exported.as_str(), std::str::from_utf8(&table).unwrap()] {
        let page = pasted(&browser, text).await;
        assert!(page.text().contains("Nothing would change"), "{}", page.text());
    }
}

#[tokio::test]
async fn a_key_that_only_reads_may_download_and_nothing_else() {
    let server = Server::demo().await;
    let scopes = ["settings:read", "companies:read"];
    let reader = Browser::with_key(&server, &server.key(with_scopes(&scopes)).await).await;
    let page = reader.get("/console/c/cmp_001/settings").await;
    assert!(page.text().contains("/export") && !page.text().contains("/import"));
    assert_eq!(reader.get(IMPORT).await.status, 403);
    assert_eq!(pasted(&reader, DOCUMENT).await.status, 403);
    let editor = ["settings:read", "companies:read", "settings:write"];
    let editor = Browser::with_key(&server, &server.key(with_scopes(&editor)).await).await;
    let lists = pasted(&editor, DOCUMENT).await;
    for offered in ["change that can be undone", "value=\"apply\">Do this"] {
        assert!(lists.text().contains(offered), "{}", lists.text());
    }
    let company = pasted(&editor, "companies: [{id: cmp_001, name: Other}]").await;
    assert_eq!(company.status, 200);
    for told in ["right “Change companies and locations”", "<li>Company “Other”</li>"] {
        assert!(company.text().contains(told), "{told}: {}", company.text());
    }
    for offered in ["can be undone", "Do this"] {
        assert!(!company.text().contains(offered), "{offered}: {}", company.text());
    }
    let refused = send(&editor, &fields(&company), "apply").await;
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert!(refused.text().contains("name: Other"), "{}", refused.text());
}

#[tokio::test]
async fn ids_whose_entries_were_undone_are_told_with_the_way_out() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let text = "companies: [{id: cmp_001, referral_sources: [{id: rs_new, name: New}]}]";
    let done = send(&browser, &fields(&pasted(&browser, text).await), "apply").await;
    let revision = done.header("location").unwrap().split("changed=").nth(1).unwrap().to_owned();
    let undo = format!("/console/c/cmp_001/history/{revision}/undo");
    assert_eq!(browser.post(&undo, &[("request", "b")]).await.status, 303);
    let page = pasted(&browser, text).await;
    for told in ["rs_new belongs to an entry that was deleted", "Take the ids (the column “id”"]
    {
        assert!(page.text().contains(told), "{told}: {}", page.text());
    }
    let others = pasted(&browser, &text.replace("id: rs_new, ", "")).await;
    assert!(others.text().contains("1 added"), "{}", others.text());
}

#[tokio::test]
async fn authors_and_times_are_offered_to_those_alone_who_may_copy_them() {
    let server = Server::demo().await;
    let scopes = ["settings:read", "companies:read", "settings:write"];
    let editor = Browser::with_key(&server, &server.key(with_scopes(&scopes)).await).await;
    let by = "created_by: ana, created_time: 2026-01-02T03:04:05Z";
    let new = format!("{{id: tag_001, name: VIP Customer}}, {{name: New, {by}}}");
    let own = "{id: tag_001, name: VIP, last_updated_time: 2026-01-02T03:04:05Z}".to_owned();
    let right = "right “Copy from another system, with its authors and times”";
    for (tags, heading) in [(new, "<li>Tag “New”</li>"), (own, "<li>Tag “VIP”</li>")] {
        let text = format!("companies: [{{id: cmp_001, customer_tags: [{tags}]}}]");
        let page = pasted(&editor, &text).await;
        assert_eq!(page.status, 200, "{}", page.text());
        for told in [right, heading] {
            assert!(page.text().contains(told), "{told}: {}", page.text());
        }
        assert!(!page.text().contains("Do this"), "{}", page.text());
        let refused = send(&editor, &fields(&page), "apply").await;
        assert_eq!(refused.status, 403, "{}", refused.text());
        let page = pasted(&Browser::of(&server).await, &text).await;
        assert!(page.text().contains("Do this") && !page.text().contains(right), "{}", page.text());
        assert!(!page.text().contains("<th scope=\"row\">created_"), "{}", page.text());
    }
    // All of it is there already.
    let id = CompanyId::parse("id", "cmp_001").unwrap();
    let mut whole = String::new();
    let write = |text: &str| {
        whole.push_str(text);
        Ok(())
    };
    server.services.load.export(std::slice::from_ref(&id), |row| row, write).await.unwrap();
    assert!(whole.contains("created_time"), "{whole}");
    let page = pasted(&editor, &whole).await;
    assert!(page.text().contains("Nothing would change"), "{}", page.text());
}

#[tokio::test]
async fn an_entry_that_is_changed_and_moved_shows_both() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let list = "[{id: as_003, name: Not Interested, color: \"#123456\"}, {id: as_001, name: First}, \
                {id: as_002, name: Waiting for Answer}]";
    let text = format!("companies: [{{id: cmp_001, action_statuses: {list}}}]");
    let page = pasted(&browser, &text).await;
    let place = "<th scope=\"row\">Place</th>\n<td>3</td>\n<td>1</td>";
    assert!(page.text().contains(place), "{}", page.text());
    assert!(page.text().contains("<th scope=\"row\">Color</th>"), "{}", page.text());
}

#[tokio::test]
async fn nothing_is_put_away_while_lines_are_left_out() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let table = "name,color\nVIP Customer,gold?\nFirst-time Customer,\n";
    let sent = [("text", table), ("list", "customer_tags"), ("prune", "1"), ("most", "5")];
    let sent = sent.map(|(name, value)| (name, value.to_owned()));
    let page = send(&browser, &sent, "preview").await;
    assert_eq!(page.status, 400, "{}", page.text());
    for part in [
        "id=\"prune-wrong\">Lines of the table cannot be taken",
        "Left out: line 2: color",
        "VIP Customer,gold?",
        "name=\"prune\" value=\"1\" checked",
    ] {
        assert!(page.text().contains(part), "{part}: {}", page.text());
    }
    let kept = send(&browser, &[sent[0].clone(), sent[1].clone()], "preview").await;
    assert_eq!(kept.status, 200, "{}", kept.text());
    // The way back is to the table with all its lines, so the mark is refused after it too.
    let mut back = fields(&kept);
    let form = send(&browser, &back, "edit").await;
    assert!(form.text().contains(&format!("\n{table}</textarea>")), "{}", form.text());
    assert!(form.text().contains("value=\"customer_tags\" selected"), "{}", form.text());
    back.extend([("prune", "1".to_owned()), ("most", "5".to_owned())]);
    for wish in ["preview", "apply"] {
        let page = send(&browser, &back, wish).await;
        assert_eq!(page.status, 400, "{}", page.text());
        assert!(page.text().contains("Lines of the table cannot be taken"), "{}", page.text());
    }
    assert_eq!(send(&browser, &back[..5], "apply").await.status, 303);
    assert_eq!(tags(&server, "cmp_001").await.len(), 2);
}

#[tokio::test]
async fn a_document_with_another_company_and_a_former_name_of_two_is_told_in_plain_words() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let two = "companies: [{id: cmp_001, customer_tags: [{name: VIP Customer}, {name: First-time Customer}]}, \
               {id: other, name: Other}]";
    let page = pasted(&browser, two).await;
    let told = "1 other company of the document is left out";
    assert!(page.text().contains(told), "{}", page.text());
    let text = "companies: [{id: cmp_001, customer_tags: [{name: VIP Customer, was: First-time Customer}]}]";
    let page = pasted(&browser, text).await;
    let told = "ine 1: the former name of tag number 1 does not tell which one is meant: “First-time Customer” is \
                another one in the list.";
    assert!(page.text().contains(told), "{}", page.text());
    assert!(!page.text().contains("tag_00"), "{}", page.text());
}

#[tokio::test]
async fn a_table_that_is_too_long_is_told_with_the_heading_of_the_list() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let table: String = (0..=1_000).map(|number| format!("Name {number}\n")).collect();
    let page = pasted(&browser, &format!("name\n{table}")).await;
    assert_eq!(page.status, 400);
    let told =
        "The list “Tags” has more than 1000 entries from line 1002 on, and a list holds 1000";
    assert!(page.text().contains(told), "{}", page.text());
}
