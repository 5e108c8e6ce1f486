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

/// The list under a key of an answer.
pub(super) fn list(mut answer: Value, key: &str) -> Parsed<Value> {
    match answer.get_mut(key).map(Value::take) {
        Some(list @ Value::Array(_)) => Ok(list),
        Some(_) => Err(format!("{key} is no list")),
        None => Err(format!("{key} is missing")),
    }
}

fn all<T: DeserializeOwned>(list: Value) -> Parsed<Vec<T>> {
    serde_json::from_value(list).map_err(|error| error.to_string())
}

pub(super) fn companies(list: Value) -> Parsed<Vec<Company>> {
    all::<Value>(list)?.into_iter().map(company).collect()
}

/// A company. One that has no more than an id is marked, as only this one cannot be read.
fn company(given: Value) -> Parsed<Company> {
    let id = given["id"].as_str().filter(|id| !id.is_empty()).ok_or("an id is missing")?.to_owned();
    Ok(Company::deserialize(given).unwrap_or_else(|error| {
        let problem = Some(format!("the company is not of the expected form: {error}"));
        Company { id, problem, ..Company::default() }
    }))
}

pub(super) fn items(list: Value) -> Parsed<Vec<Item>> {
    let items = with_ids(all(list)?, |item: &Item| &item.id)?;
    unique(items, |item| &item.id)
}

/// The locations of a page, which must be those of the company.
pub(super) fn businesses(list: Value, company: &str) -> Parsed<Vec<Business>> {
    let businesses = with_ids(all(list)?, |business: &Business| &business.id)?;
    match businesses.iter().find(|one| !one.company_id.is_empty() && one.company_id != company) {
        Some(other) => Err(format!("{} belongs to {}", other.id, other.company_id)),
        None => Ok(businesses),
    }
}

fn with_ids<T>(things: Vec<T>, id: impl Fn(&T) -> &String) -> Parsed<Vec<T>> {
    match things.iter().any(|thing| id(thing).is_empty()) {
        true => Err("an id is missing".to_owned()),
        false => Ok(things),
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
