//! Written bodies can be read again, also old ones, and damaged ones are refused.

use proptest::prelude::*;

use super::{
    lines::{LineForm, decode_subjects},
    *,
};
use crate::catalog::{
    access::Scope,
    id::KeyId,
    key::{Key, PreviousSecret, SecretDigest},
    log::RequestId,
    source::{SourceKind, SourceMode},
};

fn audit() -> impl Strategy<Value = Audit> {
    ("[A-Za-z0-9_-]{1,64}", any::<i64>(), "[a-z]{1,9}", any::<i64>(), any::<u64>()).prop_map(
        |(created_by, created, updated_by, updated, revision)| Audit {
            created_by: StaffId::parse("", &created_by).unwrap(),
            created_time: Timestamp::from_micros(created),
            last_updated_by: StaffId::parse("", &updated_by).unwrap(),
            last_updated_time: Timestamp::from_micros(updated),
            revision: Revision(revision),
        },
    )
}

fn name() -> impl Strategy<Value = Name> {
    any::<String>().prop_filter_map("not a name", |text| Name::parse("", &text).ok())
}

fn short_text() -> impl Strategy<Value = ShortText> {
    any::<String>().prop_filter_map("not a short text", |text| ShortText::parse("", &text).ok())
}

/// Any country that was accepted before. Today's list does not matter to stored countries.
fn country() -> impl Strategy<Value = Country> {
    "([A-Z]{2})?".prop_map(Country::stored)
}

fn zone() -> impl Strategy<Value = TimeZone> {
    any::<String>().prop_map(TimeZone::stored)
}

fn state() -> impl Strategy<Value = State> {
    prop_oneof![Just(State::Active), Just(State::Archived)]
}

fn source() -> impl Strategy<Value = Option<Source>> {
    let mode = prop_oneof![Just(SourceMode::Mirror), Just(SourceMode::Cutover)];
    proptest::option::of(mode.prop_map(|mode| Source { kind: SourceKind::MoeGo, mode }))
}

fn company() -> impl Strategy<Value = Company> {
    ("[A-Za-z0-9_-]{1,64}", name(), country(), zone(), state(), source(), audit()).prop_map(
        |(id, name, country, timezone, state, source, audit)| Company {
            id: CompanyId::parse("", &id).unwrap(),
            name,
            country,
            timezone,
            state,
            source,
            audit,
        },
    )
}

fn address() -> impl Strategy<Value = Address> {
    let texts = proptest::array::uniform6(short_text());
    let coordinate = proptest::option::of((-90.0..=90.0, -180.0..=180.0));
    let kind = prop_oneof![
        Just(AddressKind::Unspecified),
        Just(AddressKind::Primary),
        Just(AddressKind::Secondary)
    ];
    (texts, "([A-Z]{2})?", coordinate, kind).prop_map(|(texts, country, coordinate, kind)| {
        let [id, address1, address2, city, state, postal_code] = texts;
        let country = Country::stored(country);
        let coordinate = coordinate.map(|(north, east)| Coordinate::new(north, east).unwrap());
        Address { id, address1, address2, city, state, postal_code, country, coordinate, kind }
    })
}

fn business() -> impl Strategy<Value = Business> {
    let texts = proptest::array::uniform9(short_text());
    let address = proptest::option::of(address());
    ("[a-z]{1,9}", name(), texts, address, state(), audit()).prop_map(
        |(id, name, texts, address, state, audit)| {
            let [avatar, phone, business_phone, email, website, facebook, instagram, yelp, google] =
                texts;
            let contact = Contact {
                avatar,
                phone,
                business_phone,
                email,
                website,
                facebook,
                instagram,
                yelp,
                google,
            };
            Business {
                id: BusinessId::parse("", &id).unwrap(),
                name,
                contact,
                address,
                state,
                audit,
            }
        },
    )
}

fn entry() -> impl Strategy<Value = Entry> {
    let description = any::<String>()
        .prop_filter_map("not a description", |text| Description::parse("", &text).ok());
    let color = proptest::option::of("#[0-9A-F]{6}");
    ("[a-z]{1,9}", name(), description, color, any::<bool>(), any::<u32>(), state(), audit())
        .prop_map(|(id, name, description, color, is_default, rank, state, audit)| Entry {
            id: EntryId::parse("", &id).unwrap(),
            name,
            description,
            color: color.map(|color| Color::parse("", &color).unwrap()),
            is_default,
            rank,
            state,
            audit,
        })
}

fn delta() -> impl Strategy<Value = Delta> {
    let catalog = proptest::sample::select(Catalog::ALL.to_vec());
    prop_oneof![
        (proptest::option::of(company()), company())
            .prop_map(|(before, after)| Delta::company(before, after)),
        (any::<bool>(), business(), business()).prop_map(|(is_made, before, after)| {
            let before = Business { id: after.id.clone(), ..before };
            Delta::business((!is_made).then_some(before), after)
        }),
        (catalog.clone(), any::<bool>(), entry(), entry()).prop_map(
            |(catalog, is_made, before, after)| {
                let before = Entry { id: after.id.clone(), ..before };
                Delta::entry(catalog, (!is_made).then_some(before), after)
            }
        ),
        (catalog.clone(), entry()).prop_map(|(catalog, before)| Delta::deleted(catalog, before)),
        (catalog.clone(), entry()).prop_map(|(catalog, after)| Delta::revived(catalog, after)),
        (catalog, "[a-z]{1,9}", any::<u32>(), any::<u32>()).prop_map(|(catalog, id, from, to)| {
            Delta::moved(catalog, EntryId::parse("", &id).unwrap(), from, to)
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changes_come_back_as_they_were(deltas in proptest::collection::vec(delta(), 0..4)) {
        prop_assert_eq!(decode_changes(&encode_changes(&deltas)).unwrap(), deltas);
    }
}

fn an_audit(revision: u64) -> Audit {
    Audit {
        created_by: StaffId::parse("", "load").unwrap(),
        created_time: Timestamp::from_micros(1_672_567_200_000_000),
        last_updated_by: StaffId::parse("", "staff_001").unwrap(),
        last_updated_time: Timestamp::from_micros(-1),
        revision: Revision(revision),
    }
}

fn text(value: &str) -> ShortText {
    ShortText::parse("", value).unwrap()
}

fn one_of_each() -> Vec<Delta> {
    let company = Company {
        id: CompanyId::parse("", "cmp_001").unwrap(),
        name: Name::parse("", "Caf\u{e9} \"Chien\"").unwrap(),
        country: Country::parse("", "US").unwrap(),
        timezone: TimeZone::stored("America/New_York".to_owned()),
        state: State::Active,
        source: Some(Source { kind: SourceKind::MoeGo, mode: SourceMode::Mirror }),
        audit: an_audit(1),
    };
    let business = Business {
        id: BusinessId::parse("", "bizT2HX").unwrap(),
        name: Name::parse("", "Main Street").unwrap(),
        contact: Contact { phone: text("+1 555 0100"), ..Contact::default() },
        address: Some(Address {
            city: text("Springfield"),
            coordinate: Some(Coordinate::new(0.1, -179.999_999_999_999_97).unwrap()),
            kind: AddressKind::Primary,
            ..Address::default()
        }),
        state: State::Archived,
        audit: an_audit(2),
    };
    let entry = Entry {
        id: EntryId::parse("", "lc_001").unwrap(),
        name: Name::parse("", "Qualified").unwrap(),
        description: Description::parse("", "two\nlines").unwrap(),
        color: Some(Color::parse("", "#00FF00").unwrap()),
        is_default: true,
        rank: 1024,
        state: State::Active,
        audit: an_audit(3),
    };
    let plain = Entry {
        description: Description::default(),
        color: None,
        is_default: false,
        ..entry.clone()
    };
    vec![
        Delta::company(None, company),
        Delta::business(None, business),
        Delta::entry(Catalog::LifeCycles, Some(plain.clone()), entry),
        Delta::deleted(Catalog::LifeCycles, plain.clone()),
        Delta::revived(Catalog::ActionStatuses, plain),
        Delta::moved(Catalog::CustomerTags, EntryId::parse("", "tag_001").unwrap(), 1, 9),
    ]
}

/// Logs with this format exist for ever. If this test fails, the format needs a new number and a reader for both
/// formats, not another literal.
const GOLDEN: &str = concat!(
    r#"{"v":1,"deltas":["#,
    r#"{"at":"company","after":{"company":{"id":"cmp_001","name":"Café \"Chien\"","country":"US","timezone":"America/New_York","#,
    r#""state":"active","source":"moego mirror","audit":{"created_by":"load","created_time":1672567200000000,"#,
    r#""last_updated_by":"staff_001","last_updated_time":-1,"revision":1}}}},"#,
    r#"{"at":"businesses/bizT2HX","after":{"business":{"id":"bizT2HX","name":"Main Street","contact":{"phone":"+1 555 0100"},"#,
    r#""address":{"city":"Springfield","coordinate":[0.1,-179.99999999999997],"kind":"primary"},"#,
    r#""state":"archived","audit":{"created_by":"load","created_time":1672567200000000,"#,
    r#""last_updated_by":"staff_001","last_updated_time":-1,"revision":2}}}},"#,
    r#"{"at":"life_cycles/lc_001","before":{"entry":{"id":"lc_001","name":"Qualified","rank":1024,"#,
    r#""state":"active","audit":{"created_by":"load","created_time":1672567200000000,"#,
    r#""last_updated_by":"staff_001","last_updated_time":-1,"revision":3}}},"#,
    r##""after":{"entry":{"id":"lc_001","name":"Qualified","description":"two\nlines","color":"#00FF00","is_default":true,"##,
    r#""rank":1024,"state":"active","audit":{"created_by":"load","created_time":1672567200000000,"#,
    r#""last_updated_by":"staff_001","last_updated_time":-1,"revision":3}}}},"#,
    r#"{"at":"life_cycles/lc_001","before":{"entry":{"id":"lc_001","name":"Qualified","rank":1024,"#,
    r#""state":"active","audit":{"created_by":"load","created_time":1672567200000000,"#,
    r#""last_updated_by":"staff_001","last_updated_time":-1,"revision":3}}},"after":"tombstone"},"#,
    r#"{"at":"action_statuses/lc_001","before":"tombstone","after":{"entry":{"id":"lc_001","name":"Qualified","rank":1024,"#,
    r#""state":"active","audit":{"created_by":"load","created_time":1672567200000000,"#,
    r#""last_updated_by":"staff_001","last_updated_time":-1,"revision":3}}}},"#,
    r#"{"at":"customer_tags/tag_001","before":{"rank":1},"after":{"rank":9}}]}"#,
);

#[test]
fn the_log_format_is_the_one_that_was_always_written() {
    assert_eq!(encode_changes(&one_of_each()), GOLDEN);
    assert_eq!(decode_changes(GOLDEN).unwrap(), one_of_each());
}

#[test]
fn the_subjects_are_written_as_they_always_were() {
    let entry = |id| Subject::Entry(Catalog::CustomerTags, EntryId::parse("", id).unwrap());
    let subjects = [
        Subject::Company,
        Subject::Business(BusinessId::parse("", "bizT2HX").unwrap()),
        entry("tag_001"),
        entry("tag_001"),
        Subject::Catalog(Catalog::LifeCycles),
    ];
    let golden = concat!(
        r#"{"check":"24yVh61OMzLD","subjects":["company","businesses/bizT2HX","customer_tags/tag_001","#,
        r#""customer_tags/tag_001","life_cycles"]}"#,
    );
    let key = KeyId::parse("", "key_1").unwrap();
    let line = LineId::new(("company", "cmp_001"), Revision(3), Some(&key), None);
    assert_eq!(encode_subjects(line, &subjects), golden);
    assert_eq!(decode_subjects(line, golden).unwrap(), subjects);
    assert_eq!(decode_subjects(line, &encode_subjects(line, &[])).unwrap(), []);
    let request = RequestId::parse("", "r").unwrap();
    for other in [
        LineId::new(("key", "cmp_001"), Revision(3), Some(&key), None),
        LineId::new(("company", "cmp_002"), Revision(3), Some(&key), None),
        LineId::new(("company", "cmp_001"), Revision(4), Some(&key), None),
        LineId::new(("company", "cmp_001"), Revision(3), None, None),
        LineId::new(("company", "cmp_001"), Revision(3), Some(&key), Some(&request)),
    ] {
        assert_eq!(decode_subjects(other, golden), None);
    }
    for text in ["", "{}", "[]", r#"["company"]"#, r#"{"subjects":[]}"#] {
        assert_eq!(decode_subjects(line, text), None, "{text}");
    }
    for (what, other) in [("tag_001", "tag_002"), ("\"life_cycles", "\"hats"), ("bizT2HX", "a b")] {
        let text = golden.replacen(what, other, 1);
        assert_eq!(decode_subjects(line, &text), None, "{text}");
    }
}

#[test]
fn a_line_of_a_key_is_read_as_it_was_written() {
    let key = Key {
        id: KeyId::parse("", "key_1").unwrap(),
        name: Name::parse("", "Till").unwrap(),
        secret: SecretDigest([7; 32]),
        scopes: Scopes::Only([Scope::SettingsRead].into()),
        coverage: Coverage::Only([CompanyId::parse("", "cmp_001").unwrap()].into()),
        addresses: vec!["10.0.0.0/8".parse().unwrap()],
        expires_time: Some(Timestamp::from_micros(5)),
        staff_id: None,
        revoked_time: None,
        link_time: None,
        previous: None,
        created_by_key_id: None,
        audit: an_audit(1),
    };
    let golden = concat!(
        r#"{"v":1,"deltas":[{"at":"keys/key_1","after":{"key":{"id":"key_1","name":"Till","#,
        r#""secret":"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc","#,
        r#""scopes":["settings:read"],"companies":["cmp_001"],"#,
        r#""addresses":["10.0.0.0/8"],"expires_time":5,"audit":{"created_by":"load","#,
        r#""created_time":1672567200000000,"last_updated_by":"staff_001","last_updated_time":-1,"revision":1}}}}]}"#,
    );
    let made = vec![Delta::key(None, key.clone())];
    assert_eq!(encode_changes(&made), golden);
    assert_eq!(decode_changes(golden).unwrap(), made);
    let previous =
        PreviousSecret { digest: SecretDigest([8; 32]), expires_time: Timestamp::from_micros(9) };
    let rotated = Key {
        previous: Some(previous),
        coverage: Coverage::All,
        staff_id: Some(StaffId::parse("", "staff_1").unwrap()),
        revoked_time: Some(Timestamp::from_micros(8)),
        link_time: Some(Timestamp::from_micros(9)),
        created_by_key_id: Some(KeyId::parse("", "key_0").unwrap()),
        ..key.clone()
    };
    let both = vec![Delta::key(Some(key), rotated)];
    assert_eq!(decode_changes(&encode_changes(&both)).unwrap(), both);
    for body in [
        golden.replace("BwcH", "Bw"),
        golden.replace(r#""id":"key_1""#, r#""id":"key_2""#),
        golden.replace("key_1", ""),
    ] {
        assert!(matches!(decode_changes(&body), Err(StoreError::Damaged(_))), "{body}");
    }
    // As the line of that revision of that key alone.
    let line = |kind, of, revision| {
        let form = LineForm {
            kind,
            of,
            revision: Revision(revision),
            time: Timestamp::from_micros(1),
            acting: None,
            name: None,
            staff: "staff_1",
            address: None,
            request: None,
            digest: None,
            subjects: "",
            body: golden,
        };
        form.into_line().is_ok()
    };
    assert!(line("key", "key_1", 1));
    assert!(!line("key", "key_2", 1) && !line("key", "key_1", 2));
}

#[test]
fn what_cannot_be_understood_is_damaged() {
    for body in [
        "",
        "{",
        r#"{"deltas":[]}"#,
        r#"{"v":2,"deltas":[]}"#,
        r#"{"v":1,"deltas":[],"more":1}"#,
        r#"{"v":1,"deltas":[{"at":"customer_tags/a","after":{"renamed":{}}}]}"#,
        r#"{"v":1,"deltas":[{"at":"hats/a","before":{"rank":1},"after":{"rank":2}}]}"#,
        r#"{"v":1,"deltas":[{"at":"customer_tags/a b","before":{"rank":1},"after":{"rank":2}}]}"#,
        r#"{"v":1,"deltas":[{"at":"customer_tags/a","before":{"rank":-1},"after":{"rank":2}}]}"#,
        r#"{"v":1,"deltas":[{"at":"customer_tags/a","before":{"rank":1}}]}"#,
        r#"{"v":1,"deltas":[{"at":"businesses/a","before":{"rank":1},"after":{"rank":2}}]}"#,
        &GOLDEN.replace("life_cycles/lc_001", "life_cycles/lc_002"),
    ] {
        assert!(matches!(decode_changes(body), Err(StoreError::Damaged(_))), "{body}");
    }
    let StoreError::Damaged(cause) = decode_changes(r#"{"v":2}"#).unwrap_err() else { panic!() };
    assert_eq!(cause.for_log(), "a log line has format 2; this program reads format 1");
}
