//! Documents of accounts: values, refused ones, the default, and the brake.

use customer_settings_server::service::document;
use serde_json::{Value, json};

use super::*;

/// A tag of an account with this author and time.
fn tag(id: &str, by: &str, time: Option<&str>) -> Value {
    json!({"id": id, "name": id, "lastUpdatedBy": by, "lastUpdatedTime": time})
}

/// A company of an account with these lists, in the order of the catalogs.
fn reading(lists: [Value; 4], businesses: Value) -> Reading {
    Reading {
        company: Company { id: "c".to_owned(), name: "C".to_owned(), ..Company::default() },
        businesses: serde_json::from_value(businesses).unwrap(),
        lists: lists.map(|list| serde_json::from_value(list).unwrap()),
    }
}

fn tags(list: Value) -> Reading {
    reading([list, json!([]), json!([]), json!([])], json!([]))
}

fn cycles(list: Value) -> Reading {
    reading([json!([]), json!([]), list, json!([])], json!([]))
}

/// A company here.
fn here(company: Value) -> CompanyRow {
    serde_json::from_value(company).unwrap()
}

fn ids(count: usize) -> Value {
    let time = "2023-01-01T10:00:00Z";
    let tag = |i| json!({"id": format!("t{i}"), "name": format!("T{i}"), "lastUpdatedBy": "s", "lastUpdatedTime": time});
    (0..count).map(tag).collect()
}

#[test]
fn everything_that_the_account_has_is_in_the_document() {
    let reading = Reading {
        company: serde_json::from_value(json!(
            {"id": "c", "name": "Paws", "country": "US", "timezone": {"id": "America/New_York"}}
        ))
        .unwrap(),
        ..reading(
            [
                json!([{"id": "t", "name": "VIP", "lastUpdatedBy": "s", "lastUpdatedTime": "2023-01-01T10:00:00Z"}]),
                json!([{"id": "r", "name": "Friend"}]),
                json!([{"id": "x", "name": "New"}, {"id": "y", "name": "Old", "isDefault": true}]),
                json!([{"id": "s", "name": "Called", "color": "#00FF00"}]),
            ],
            json!([{"id": "b", "name": "Here", "email": "a@b.example", "address": {
                "address1": "1 Main", "country": "US", "type": "PRIMARY",
                "coordinate": {"latitude": 1.5, "longitude": -2.0},
            }}]),
        )
    };
    let wanted = wanted(&reading, None, &Allowed::default());
    assert!(wanted.refused.is_empty() && wanted.held_back.is_empty(), "{:?}", wanted.refused);
    assert_eq!(
        serde_json::to_value(&wanted.row).unwrap(),
        json!({
            "id": "c", "name": "Paws", "country": "US", "timezone": "America/New_York",
            "businesses": [{"id": "b", "name": "Here", "email": "a@b.example", "address": {
                "address1": "1 Main", "country": "US", "latitude": 1.5, "longitude": -2.0, "type": "primary",
            }}],
            "customer_tags": [
                {"id": "t", "name": "VIP", "last_updated_by": "s", "last_updated_time": "2023-01-01T10:00:00Z"}
            ],
            "referral_sources": [{"id": "r", "name": "Friend"}],
            "life_cycles": [{"id": "x", "name": "New"}, {"id": "y", "name": "Old", "is_default": true}],
            "action_statuses": [{"id": "s", "name": "Called", "color": "#00FF00"}],
        })
    );
}

#[test]
fn authors_and_times_of_tags_are_those_of_the_account_also_older_ones() {
    let here = here(json!({
        "id": "c", "source": {"kind": "moego", "mode": "mirror"},
        "customerTags": [{
            "id": "a", "name": "a", "lastUpdatedBy": "staff_7", "lastUpdatedTime": "2024-05-05T05:05:05.123456Z",
        }],
    }));
    for time in ["2023-01-01T10:00:00Z", "2024-05-05T05:05:05.123Z", "2024-05-05T05:05:05.123456Z"]
    {
        let wanted = wanted(
            &tags(json!([tag("a", "staff_1", Some(time))])),
            Some(&here),
            &Allowed::default(),
        );
        assert!(wanted.refused.is_empty(), "{:?}", wanted.refused);
        let row = &wanted.row.customer_tags.unwrap()[0];
        assert_eq!(row.last_updated_by.as_deref(), Some("staff_1"));
        assert_eq!(row.last_updated_time.as_deref(), Some(time));
    }
}

#[test]
fn authors_and_times_that_cannot_be_the_same_here_are_named() {
    let list = json!([
        tag("whole", "s", Some("2024-05-05T05:05:05.123456000Z")),
        tag("nobody", "", Some("2024-05-05T05:05:05Z")),
        tag("never", "s", None),
        tag("fine", "s", Some("2024-05-05T05:05:05.123456789Z")),
    ]);
    let wanted = wanted(&tags(list), None, &Allowed::default());
    let said = |what: &str, id: &str| {
        format!("customer_tags: in the account these have {what}, which is not possible here: {id}")
    };
    assert_eq!(
        wanted.refused,
        [
            said("no author", "nobody"),
            said("no time of the last change", "never"),
            said("a time with more than six digits behind the point", "fine"),
        ]
    );
    let rows = wanted.row.customer_tags.unwrap();
    let copied: Vec<_> = rows
        .iter()
        .map(|row| (row.last_updated_by.as_deref(), row.last_updated_time.as_deref()))
        .collect();
    assert_eq!(copied[1], (None, Some("2024-05-05T05:05:05Z")));
    assert_eq!(copied[2], (Some("s"), None));
    assert_eq!(copied[3], (Some("s"), Some("2024-05-05T05:05:05.123456Z")));
}

#[test]
fn values_that_are_refused_stay_as_they_are_here() {
    let time = "2023-01-01T10:00:00Z";
    let here = here(json!({"id": "c", "timezone": "Old/Zone", "customerTags": [
        {"id": "a", "name": "A"}, {"id": "b", "name": "B"}, {"id": "d", "name": "D", "state": "archived"},
    ]}));
    let reading = Reading {
        company: serde_json::from_value(
            json!({"id": "c", "name": " ", "country": "Narnia", "timezone": {"id": "Nowhere/City"}}),
        )
        .unwrap(),
        ..tags(json!([
            {"id": "a", "name": "VIP", "lastUpdatedBy": "s", "lastUpdatedTime": time},
            {"id": "b", "name": "vip", "lastUpdatedBy": "s", "lastUpdatedTime": time},
            {"id": "d", "name": "vip", "lastUpdatedBy": "s", "lastUpdatedTime": time},
            {"id": "new", "name": "VIP ", "lastUpdatedBy": "s", "lastUpdatedTime": time},
            {"id": "no id", "name": "X", "lastUpdatedBy": "s", "lastUpdatedTime": time},
            {"id": "e", "name": "E", "lastUpdatedBy": "no id", "lastUpdatedTime": "yesterday"},
        ]))
    };
    let wanted = wanted(&reading, Some(&here), &Allowed::default());
    let list: Vec<Value> =
        wanted.row.customer_tags.iter().flatten().map(|row| json!(row)).collect();
    assert_eq!(
        list,
        [
            json!({"id": "a", "name": "VIP", "last_updated_by": "s", "last_updated_time": time}),
            json!({"id": "b", "name": "B"}),
            json!({"id": "e", "name": "E"}),
        ]
    );
    assert_eq!((wanted.row.name, wanted.row.country, wanted.row.timezone), (None, None, None));
    let at: Vec<&str> =
        wanted.refused.iter().map(|problem| problem.split_once(": ").unwrap().0).collect();
    assert_eq!(
        at,
        [
            "company",
            "company",
            "company",
            "customer_tags/b",
            "customer_tags/d",
            "customer_tags/new",
            "customer_tags/\"no id\"",
            "customer_tags/e",
            "customer_tags/e",
        ]
    );
}

#[test]
fn an_entry_that_takes_the_name_of_one_that_stays_stays_too() {
    let here = here(json!({"id": "c", "referralSources": [
        {"id": "a", "name": "A"}, {"id": "b", "name": "B"}, {"id": "d", "name": "D"}, {"id": "e", "name": "E"},
    ]}));
    let long = "x".repeat(101);
    // Each entry takes the name of the one before, and the first has none.
    let list = json!([
        {"id": "n", "name": "New"}, {"id": "o", "name": "D"}, {"id": "d", "name": "b"},
        {"id": "b", "name": "A"}, {"id": "a", "name": long}, {"id": "e", "name": "Else"},
    ]);
    let lists = [json!([]), list, json!([]), json!([])];
    let wanted = wanted(&reading(lists, json!([])), Some(&here), &Allowed::default());
    let rows = wanted.row.referral_sources.unwrap();
    let names: Vec<&str> = rows.iter().filter_map(|row| row.name.as_deref()).collect();
    assert_eq!(names, ["New", "D", "B", "A", "Else"]);
    assert_eq!(wanted.refused.len(), 4, "{:?}", wanted.refused);
    let said = r#"referral_sources/d: the name "B" is that of b, which stays as it is"#;
    assert!(wanted.refused.iter().any(|problem| problem == said), "{:?}", wanted.refused);
}

#[test]
fn a_list_that_is_too_long_is_left_alone_and_the_others_are_copied() {
    for (count, is_left_alone) in [(1_000, false), (1_001, true)] {
        let lists = [ids(count), json!([{"id": "r", "name": "R"}]), json!([]), json!([])];
        let wanted = wanted(&reading(lists, json!([])), None, &Allowed::default());
        assert_eq!(wanted.row.customer_tags.is_none(), is_left_alone);
        assert!(wanted.row.referral_sources.is_some());
        assert_eq!(wanted.refused.len(), usize::from(is_left_alone), "{:?}", wanted.refused);
    }
}

#[test]
fn a_list_that_is_too_long_with_its_archived_entries_is_left_alone_and_says_so() {
    let mut there = ids(700);
    there.as_array_mut().unwrap().iter_mut().for_each(|tag| {
        let is_archived = tag["id"].as_str().unwrap() >= "t4";
        tag["state"] = json!(if is_archived { "archived" } else { "active" });
    });
    let here = here(json!({"id": "c", "customerTags": there}));
    let new = |count: usize| -> Vec<Value> {
        let tag = |i| json!({"id": format!("n{i}"), "name": format!("N{i}"), "lastUpdatedBy": "s", "lastUpdatedTime": "2023-01-01T10:00:00Z"});
        (0..count).map(tag).collect()
    };
    for (count, is_left_alone) in [(300, false), (301, true)] {
        let lists = [json!(new(count)), json!([{"id": "r", "name": "R"}]), json!([]), json!([])];
        let allowed = Allowed { accepted: 700, before: "" };
        let wanted = wanted(&reading(lists, json!([])), Some(&here), &allowed);
        assert_eq!(wanted.row.customer_tags.is_none(), is_left_alone);
        assert!(wanted.row.referral_sources.is_some());
        let said = "customer_tags: would have 301 entries and 700 archived ones, which count too, and at most 1000 are \
                    allowed: the list is left alone: to make room, delete archived ones here ('entry delete')";
        let said: &[&str] = if is_left_alone { &[said] } else { &[] };
        assert_eq!(wanted.refused, said);
    }
}

#[test]
fn a_value_that_the_account_has_no_more_is_empty_in_the_document() {
    let here = here(json!({
        "id": "c", "name": "C", "country": "US", "timezone": "UTC",
        "businesses": [
            {"id": "b", "name": "B", "website": "https://a.example", "address": {"city": "Boston"}},
            {"id": "d", "name": "D"},
        ],
    }));
    for address in [json!(null), json!({}), json!({"id": "", "city": ""})] {
        let places = json!([
            {"id": "b", "name": "B", "address": address}, {"id": "d", "name": "D", "address": address},
        ]);
        let none = [json!([]), json!([]), json!([]), json!([])];
        let wanted = wanted(&reading(none, places), Some(&here), &Allowed::default());
        assert!(wanted.refused.is_empty(), "{:?}", wanted.refused);
        let (row, empty) = (&wanted.row, Some(""));
        assert_eq!((row.country.as_deref(), row.timezone.as_deref()), (empty, empty));
        let places = row.businesses.as_ref().unwrap();
        assert_eq!(places[0].website.as_deref(), empty);
        assert_eq!(places[0].address, Some(AddressRow::default()), "{address}");
        assert_eq!(places[1].address, None, "{address}");
    }
}

#[test]
fn what_is_back_is_restored_and_what_is_gone_is_not_named() {
    let here = here(json!({"id": "c", "customerTags": [
        {"id": "a", "name": "A"}, {"id": "b", "name": "B", "state": "archived"},
        {"id": "d", "name": "D"}, {"id": "e", "name": "E"},
    ]}));
    let list =
        json!([{"id": "b", "name": "B"}, {"id": "a", "name": "A"}, {"id": "d", "name": "D"}]);
    let wanted = wanted(&tags(list), Some(&here), &Allowed::default());
    let list: Vec<Value> =
        wanted.row.customer_tags.iter().flatten().map(|row| json!(row)).collect();
    let restored = json!({"id": "b", "name": "B", "state": "active"});
    assert_eq!(list, [restored, json!({"id": "a", "name": "A"}), json!({"id": "d", "name": "D"})]);
    assert_eq!(wanted.lost, 1);
}

#[test]
fn a_third_of_a_list_may_go_at_once_and_its_last_entry_never() {
    for (before, after, is_braked) in [
        (9, 6, false),
        (9, 5, true),
        (3, 2, false),
        (3, 1, true),
        (2, 1, true),
        (1, 0, true),
        (0, 0, false),
        (1_000, 667, false),
        (1_000, 666, true),
        (1_000, 0, true),
        (4, 9, false),
    ] {
        let here = here(json!({"id": "c", "customerTags": ids(before)}));
        let wanted = |allowed: &Allowed<'_>| wanted(&tags(ids(after)), Some(&here), allowed);
        let first = wanted(&Allowed::default());
        let held = first.held_back.join(" ");
        assert_eq!(held.starts_with("customer_tags:"), is_braked, "{before} {after}");
        assert_eq!(first.row.customer_tags.is_none(), is_braked, "{before} {after}");
        assert_eq!(first.warnings.len(), usize::from(is_braked));
        if is_braked {
            let lost = before - after;
            let accepted = wanted(&Allowed { accepted: lost, before: "" });
            assert!(accepted.row.customer_tags.is_some() && accepted.lost == lost);
            assert!(
                wanted(&Allowed { accepted: lost - 1, before: "" }).row.customer_tags.is_none()
            );
            // A second round that finds the same agrees.
            for before in [held.clone(), format!("businesses:1 {held}")] {
                let agreed = wanted(&Allowed { accepted: 0, before: &before });
                assert!(agreed.row.customer_tags.is_some() && agreed.held_back.is_empty());
            }
            let other = held.replace("customer_tags", "businesses");
            for before in [&other, &held[..held.len() - 1]] {
                assert_eq!(wanted(&Allowed { accepted: 0, before }).held_back, first.held_back);
            }
        }
    }
}

#[test]
fn locations_have_the_same_brake_and_are_archived() {
    let places = |count: usize| -> Value {
        (0..count).map(|i| json!({"id": format!("b{i}"), "name": "B"})).collect()
    };
    let none = || [json!([]), json!([]), json!([]), json!([])];
    let here = here(json!({"id": "c", "businesses": places(3)}));
    let two = wanted(&reading(none(), places(2)), Some(&here), &Allowed::default());
    let last = two.row.businesses.unwrap().pop().unwrap();
    assert_eq!((last.id.as_deref(), last.state.as_deref()), (Some("b2"), Some("archived")));
    let one = wanted(&reading(none(), places(1)), Some(&here), &Allowed::default());
    assert!(one.row.businesses.is_none() && one.held_back[0].starts_with("businesses:"));
}

#[test]
fn lists_of_other_ids_or_in_another_order_have_other_hashes() {
    let lists: [&[&str]; 6] = [&[], &[""], &["a", "b"], &["b", "a"], &["ab"], &["a", "b", ""]];
    let hashes: HashSet<String> = lists.iter().map(|ids| fingerprint(ids)).collect();
    assert_eq!(hashes.len(), lists.len());
    assert!(hashes.iter().all(|hash| hash.len() == 32));
}

#[test]
fn the_default_is_the_one_that_the_account_has() {
    let here = here(json!({"id": "c", "lifeCycles": [
        {"id": "x", "name": "X", "isDefault": true}, {"id": "y", "name": "Y"}, {"id": "z", "name": "Z"},
    ]}));
    let entry = |id: &str, is_default: bool| json!({"id": id, "name": id, "isDefault": is_default});
    for (list, default, refused) in [
        (vec![entry("x", true), entry("y", false), entry("z", false)], Some("x"), 0),
        (vec![entry("x", false), entry("y", true), entry("z", false)], Some("y"), 0),
        // Nothing moves where nothing, or too much, is said.
        (vec![entry("x", false), entry("y", false), entry("z", false)], Some("x"), 1),
        (vec![entry("x", false), entry("y", true), entry("z", true)], Some("x"), 1),
        (vec![entry("y", true), entry("z", false)], Some("y"), 0),
        // The list is left alone.
        (vec![entry("y", false), entry("z", false)], None, 1),
    ] {
        let wanted = wanted(&cycles(json!(list)), Some(&here), &Allowed::default());
        let rows = wanted.row.life_cycles.iter().flatten();
        let defaults: Vec<_> = rows
            .filter(|row| row.is_default == Some(true))
            .map(|row| row.id.clone().unwrap())
            .collect();
        assert_eq!(defaults.first().map(String::as_str), default, "{list:?}");
        assert!(defaults.len() <= 1);
        assert_eq!(wanted.refused.len(), refused, "{list:?}: {:?}", wanted.refused);
    }
}

/// The rules that the server has are those that were asked before.
#[test]
fn whatever_an_account_says_the_document_is_one_that_the_reader_takes() {
    let long = "x".repeat(501);
    for bad in
        ["", " ", "red", "#12", "a b", "no@", "http://", "\u{1b}[31m", "\u{200b}", long.as_str()]
    {
        let entry = json!([
            {"id": "e", "name": bad, "color": bad, "lastUpdatedBy": bad, "lastUpdatedTime": bad},
            {"id": "f", "name": "F", "color": bad, "lastUpdatedBy": bad, "lastUpdatedTime": bad},
            {"id": bad, "name": "G"},
        ]);
        let place = |id: &str, name: &str| {
            json!({
                "id": id, "name": name, "avatar": bad, "phone": bad, "businessPhone": bad, "email": bad,
                "website": bad, "facebook": bad, "instagram": bad, "yelp": bad, "google": bad,
                "address": {
                    "id": bad, "address1": bad, "address2": bad, "city": bad, "state": bad, "postalCode": bad,
                    "country": bad, "type": bad, "coordinate": {"latitude": 91.0, "longitude": 0.0},
                },
            })
        };
        let lists = [entry.clone(), entry.clone(), entry.clone(), entry];
        let mut reading =
            reading(lists, json!([place("b", bad), place("c", "C"), place(bad, "D")]));
        reading.company = serde_json::from_value(
            json!({"id": "c", "name": bad, "country": bad, "timezone": {"id": bad}}),
        )
        .unwrap();
        let here = here(json!({
            "id": "c", "customerTags": [{"id": "e", "name": "E"}], "businesses": [{"id": "b", "name": "B"}],
        }));
        for here in [None, Some(&here)] {
            let wanted = wanted(&reading, here, &Allowed::default());
            let read = document::read(&wanted.row);
            let problems: Vec<String> =
                read.problems.told().iter().map(ToString::to_string).collect();
            assert!(problems.is_empty(), "{bad:?}: {problems:?}");
        }
    }
}
