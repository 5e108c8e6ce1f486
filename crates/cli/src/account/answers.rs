//! The answers of an account. A key that is missing, or a value of another shape, is an error: a short answer must never
//! be taken for an empty list.

use std::collections::{HashMap, hash_map::Entry};

use customer_settings_server::service::document::quoted;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

/// A company with everything that the account has about it.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) company: Company,
    pub(crate) businesses: Vec<Business>,
    /// The entries of each catalog in their order.
    pub(crate) lists: [Vec<Item>; 4],
}

/// A company of the account.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Company {
    pub(crate) id: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) country: String,
    #[serde(default)]
    pub(crate) timezone: Option<Zone>,
    /// The reason why its values cannot be believed, if they cannot. The other companies are read nevertheless.
    #[serde(skip)]
    pub(crate) problem: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(crate) struct Zone {
    pub(crate) id: String,
}

/// An entry of one of the four lists. Each list has some of the fields.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Item {
    pub(crate) id: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) color: String,
    #[serde(default)]
    pub(crate) is_default: bool,
    #[serde(default)]
    pub(crate) last_updated_by: String,
    #[serde(default)]
    pub(crate) last_updated_time: Option<String>,
}

/// A location.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Business {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) avatar: String,
    pub(crate) phone: String,
    pub(crate) business_phone: String,
    pub(crate) email: String,
    pub(crate) website: String,
    pub(crate) facebook: String,
    pub(crate) instagram: String,
    pub(crate) yelp: String,
    pub(crate) google: String,
    pub(crate) company_id: String,
    pub(crate) address: Option<Address>,
}

/// The address of a location.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Address {
    pub(crate) id: String,
    pub(crate) address1: String,
    pub(crate) address2: String,
    pub(crate) city: String,
    pub(crate) state: String,
    pub(crate) postal_code: String,
    pub(crate) country: String,
    pub(crate) coordinate: Option<Coordinate>,
    pub(crate) r#type: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Coordinate {
    pub(crate) latitude: f64,
    pub(crate) longitude: f64,
}

type Parsed<T> = Result<T, String>;

/// The token of the next page that an answer names, if it names one.
pub(super) fn next_page(answer: &Value) -> Parsed<Option<String>> {
    let named = ["nextPageToken", "next_page_token"].into_iter().filter_map(|key| answer.get(key));
    match named.into_iter().find(|token| !token.is_null() && *token != "") {
        None => Ok(None),
        Some(Value::String(token)) => Ok(Some(token.clone())),
        Some(_) => Err("the token of the next page is no text".to_owned()),
    }
}

/// The list under a key of an answer, if the list has no pages. An answer that names a next one is short.
pub(super) fn whole(answer: Value, key: &str) -> Parsed<Value> {
    match next_page(&answer)? {
        None => list(answer, key),
        Some(_) => {
            Err("the answer names a next page, and this list has none: it may be short".to_owned())
        }
    }
}

/// The list under a key of an answer.
pub(super) fn list(mut answer: Value, key: &str) -> Parsed<Value> {
    match answer.get_mut(key).map(Value::take) {
        Some(list @ Value::Array(_)) => Ok(list),
        Some(_) => Err(format!("{key} is no list")),
        None => Err(format!("{key} is missing")),
    }
}

/// A thing of a list in a message: its id, if it has one, and its place.
fn place(index: usize, thing: &Value) -> String {
    let number = format!("number {}", index + 1);
    match thing["id"].as_str().filter(|id| !id.is_empty()) {
        Some(id) => format!("{}, {number}", quoted(id)),
        None => number,
    }
}

/// The things of a list, each with an id.
fn all<T: DeserializeOwned>(list: Value, id: fn(&T) -> &String) -> Parsed<Vec<T>> {
    let read = |(index, thing): (usize, Value)| {
        let at = place(index, &thing);
        match serde_json::from_value(thing) {
            Ok(thing) if id(&thing).is_empty() => Err(format!("{at}: an id is missing")),
            read => read.map_err(|error| format!("{at}: {error}")),
        }
    };
    things(list)?.into_iter().enumerate().map(read).collect()
}

fn things(list: Value) -> Parsed<Vec<Value>> {
    serde_json::from_value(list).map_err(|error| error.to_string())
}

pub(super) fn companies(list: Value) -> Parsed<Vec<Company>> {
    things(list)?.into_iter().enumerate().map(company).collect()
}

/// A company. One that has no more than an id is marked, as only this one cannot be read.
fn company((index, given): (usize, Value)) -> Parsed<Company> {
    let id = given["id"].as_str().filter(|id| !id.is_empty());
    let nameless = || format!("{}: an id is missing", place(index, &given));
    let id = id.ok_or_else(nameless)?.to_owned();
    Ok(Company::deserialize(given).unwrap_or_else(|error| {
        let problem = Some(format!("the company is not of the expected form: {error}"));
        Company { id, problem, ..Company::default() }
    }))
}

pub(super) fn items(list: Value) -> Parsed<Vec<Item>> {
    unique(all(list, |item: &Item| &item.id)?, |item| &item.id)
}

/// The locations of a page, which must be those of the company.
pub(super) fn businesses(list: Value, company: &str) -> Parsed<Vec<Business>> {
    let businesses = all(list, |business: &Business| &business.id)?;
    match businesses.iter().find(|one| !one.company_id.is_empty() && one.company_id != company) {
        Some(other) => {
            Err(format!("{} belongs to {}", quoted(&other.id), quoted(&other.company_id)))
        }
        None => Ok(businesses),
    }
}

/// Each thing once: pages repeat one if their list changes meanwhile. `differs` hears of a thing of whose id there is
/// another one, with different values.
fn once<T: PartialEq>(
    things: Vec<T>,
    id: fn(&T) -> &String,
    mut differs: impl FnMut(&mut T),
) -> Vec<T> {
    let (mut places, mut kept) = (HashMap::new(), Vec::with_capacity(things.len()));
    for thing in things {
        match places.entry(id(&thing).clone()) {
            Entry::Vacant(place) => {
                place.insert(kept.len());
                kept.push(thing);
            }
            Entry::Occupied(place) if kept[*place.get()] == thing => {}
            Entry::Occupied(place) => differs(&mut kept[*place.get()]),
        }
    }
    kept
}

/// Each thing once. Two different things of one id are no answer.
pub(super) fn unique<T: PartialEq>(things: Vec<T>, id: fn(&T) -> &String) -> Parsed<Vec<T>> {
    let mut twofold = None;
    let kept = once(things, id, |thing| _ = twofold.get_or_insert_with(|| quoted(id(thing))));
    match twofold {
        None => Ok(kept),
        Some(id) => Err(format!("the id {id} is there twice, with different values")),
    }
}

/// Each company once. One that is there twice with different values is marked, as only this one cannot be read.
pub(super) fn told_apart(companies: Vec<Company>) -> Vec<Company> {
    once(
        companies,
        |company| &company.id,
        |company| {
            let problem = "the account has the company twice, with different values";
            company.problem = Some(problem.to_owned());
        },
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_that_is_missing_or_of_another_shape_is_no_empty_list() {
        let read = |answer: Value| list(answer, "tags").and_then(items);
        assert!(read(json!({"tags": []})).unwrap().is_empty());
        assert_eq!(read(json!({"tags": [{"id": "a", "name": "A"}], "more": 1})).unwrap().len(), 1);
        for bad in [
            json!({}),
            json!([]),
            json!(null),
            json!("tags"),
            json!({"tags": null}),
            json!({"tags": {}}),
            json!({"Tags": []}),
            json!({"tags": [null]}),
            json!({"tags": [{"id": "a"}]}),
            json!({"tags": [{"name": "A"}]}),
            json!({"tags": [{"id": "", "name": "A"}]}),
            json!({"tags": [{"id": 1, "name": "A"}]}),
            json!({"tags": [{"id": "a", "name": "A"}, {"id": "b", "name": "B"}, {"id": "a", "name": "C"}]}),
        ] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_thing_of_another_form_is_named_with_its_id_and_its_place() {
        let said = |thing: Value| {
            let list = json!([{"id": "a", "name": "A"}, thing]);
            [
                items(list.clone()).unwrap_err(),
                companies(list).map(|_| ()).err().unwrap_or_default(),
            ]
        };
        let [item, _] = said(json!({"id": "tag_7"}));
        assert_eq!(item, r#""tag_7", number 2: missing field `name`"#);
        let [item, _] = said(json!({"id": "tag_7", "name": 7}));
        assert!(item.starts_with(r#""tag_7", number 2: invalid type"#), "{item}");
        for nameless in [json!({"id": "", "name": "B"}), json!({"name": "B"}), json!(null)] {
            let [item, company] = said(nameless.clone());
            assert!(item.starts_with("number 2: "), "{nameless}: {item}");
            assert_eq!(company, "number 2: an id is missing", "{nameless}");
        }
    }

    #[test]
    fn a_list_that_names_a_next_page_without_having_pages_is_short() {
        let read = |answer: Value| whole(answer, "tags").map(|_| ());
        for good in [json!({"tags": []}), json!({"tags": [], "nextPageToken": ""})] {
            assert_eq!(read(good.clone()), Ok(()), "{good}");
            assert_eq!(next_page(&good), Ok(None), "{good}");
        }
        for token in ["nextPageToken", "next_page_token"] {
            let problem = read(json!({"tags": [], token: "more"})).unwrap_err();
            assert!(problem.contains("names a next page"), "{problem}");
            assert_eq!(next_page(&json!({token: "2"})), Ok(Some("2".to_owned())));
            // A number is no end of the list.
            assert!(next_page(&json!({token: 2})).is_err());
            assert_eq!(next_page(&json!({token: null})), Ok(None));
        }
        assert_eq!(
            next_page(&json!({"nextPageToken": "", "next_page_token": "2"})),
            Ok(Some("2".to_owned()))
        );
    }

    #[test]
    fn a_thing_that_is_repeated_counts_once_and_two_of_one_id_not_at_all() {
        let tag = |name: &str| json!({"id": "a", "name": name});
        assert_eq!(items(json!([tag("A"), tag("A")])).unwrap().len(), 1);
        assert!(items(json!([tag("A"), tag("B")])).unwrap_err().contains(r#"the id "a" is there"#));
        let read = |list: Value| told_apart(companies(list).unwrap());
        let is_twofold = |list: Value| -> Vec<bool> {
            read(list).iter().map(|company| company.problem.is_some()).collect()
        };
        let other = json!({"id": "b", "name": "B"});
        assert_eq!(is_twofold(json!([tag("A"), other, tag("A")])), [false, false]);
        assert_eq!(is_twofold(json!([tag("A"), other, tag("B"), tag("A")])), [true, false]);
    }

    #[test]
    fn a_company_of_another_form_is_marked_and_the_others_are_read() {
        for bad in [
            json!({"id": "a"}),
            json!({"id": "a", "name": null}),
            json!({"id": "a", "name": "A", "country": null}),
            json!({"id": "a", "name": "A", "timezone": {}}),
            json!({"id": "a", "name": "A", "timezone": "UTC"}),
        ] {
            let read = companies(json!([bad, {"id": "b", "name": "B"}])).unwrap();
            let problem = read[0].problem.as_deref().unwrap();
            assert!(problem.contains("not of the expected form"), "{bad}: {problem}");
            assert_eq!((read[0].id.as_str(), read[1].problem.as_deref()), ("a", None), "{bad}");
        }
        for nameless in [json!({"name": "A"}), json!({"id": "", "name": "A"}), json!("a")] {
            assert!(companies(json!([nameless])).is_err());
        }
    }

    #[test]
    fn locations_of_another_company_are_refused() {
        let of = |company: &str| json!([{"id": "b", "name": "B", "companyId": company}]);
        assert_eq!(businesses(of("c"), "c").unwrap().len(), 1);
        assert_eq!(businesses(of(""), "c").unwrap().len(), 1);
        assert!(businesses(of("d"), "c").is_err());
        assert!(businesses(json!([{"name": "B"}]), "c").is_err());
    }
}
