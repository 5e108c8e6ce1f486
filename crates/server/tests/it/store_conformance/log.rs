//! Logs: their lines, in either direction, moments, checkpoints, and streams of a new kind.

use super::*;

pub(super) async fn the_log_is_read_in_pages(engine: &dyn Engine) {
    let store = engine.open().await;
    make_company(&*store, "cmp_a", "A").await;
    for _ in 0..4 {
        touch(&*store, "cmp_a").await;
    }
    for (after, limit, expected) in [
        (0, 2, &[1, 2][..]),
        (2, 2, &[3, 4]),
        (4, 2, &[5]),
        (5, 2, &[]),
        (0, 0, &[]),
        (u64::MAX, u32::MAX, &[]),
    ] {
        let after = (Revision(after), u32::MAX);
        let lines = store.log(&stream("cmp_a"), after, limit).await.unwrap();
        assert_eq!(lines.iter().map(|(_, line)| line.revision.0).collect::<Vec<_>>(), expected);
    }
}

pub(super) async fn the_log_keeps_who_and_when(engine: &dyn Engine) {
    let store = engine.open().await;
    let made = plan(None, vec![made_company(company("cmp_a", "A"))]);
    append(&*store, &stream("cmp_a"), &made.line).await.unwrap();
    // A time before 1970 and an actor without a key.
    let plan = with(touching(&made.after), |line| {
        (line.time, line.actor) = (time(-1), grant("cmp_a").actor().clone());
    });
    append(&*store, &stream("cmp_a"), &plan.line).await.unwrap();

    let lines = log(&*store, "cmp_a").await;
    assert_eq!(
        (lines[0].time, &lines[0].actor, &lines[0].deltas),
        (made.line.time, &made.line.actor, &made.line.deltas)
    );
    assert_eq!((lines[1].time, &lines[1].actor), (time(-1), &plan.line.actor));
    assert_eq!(store.settings(&grant("cmp_a")).await.unwrap().unwrap().changed_time, time(-1));
}

pub(super) async fn the_log_keeps_where_from_and_what_was_asked(engine: &dyn Engine) {
    let store = engine.open().await;
    let mut current = make_company(&*store, "cmp_a", "A").await;
    assert_eq!(log(&*store, "cmp_a").await[0].request, None);
    let tag = |id| Subject::Entry(Catalog::CustomerTags, EntryId::parse("id", id).unwrap());
    let all = vec![
        Subject::Company,
        Subject::Business(BusinessId::parse("id", "biz_cmp_a").unwrap()),
        tag("first"),
        tag("first"),
        Subject::Catalog(Catalog::LifeCycles),
    ];
    for (address, subjects) in
        [(Some("192.0.2.7"), all), (Some("2001:db8::7"), vec![tag("second")]), (None, Vec::new())]
    {
        let mut plan = with_request(touching(&current), &format!("{address:?}"));
        plan.line.actor.address = address.map(|address| address.parse().unwrap());
        plan.line.subjects = Some(subjects);
        append(&*store, &stream("cmp_a"), &plan.line).await.unwrap();
        let line = log(&*store, "cmp_a").await.pop().unwrap();
        assert_eq!(line, plan.line);
        current = plan.after;
    }
}

pub(super) async fn the_log_is_read_newest_first(engine: &dyn Engine) {
    let store = engine.open().await;
    make_company(&*store, "cmp_a", "A").await;
    for _ in 0..4 {
        touch(&*store, "cmp_a").await;
    }
    let nothing = plan(store.settings(&grant("cmp_a")).await.unwrap().as_ref(), Vec::new());
    append(&*store, &stream("cmp_a"), &with_request(nothing, "1").line).await.unwrap();
    for (before, limit, expected) in [
        (None, 2, &[5, 4][..]),
        (Some(4), 2, &[3, 2]),
        (Some(2), 2, &[1]),
        (Some(1), 2, &[]),
        (Some(0), 2, &[]),
        (Some(u64::MAX), u32::MAX, &[5, 4, 3, 2, 1]),
        (None, 0, &[]),
    ] {
        let before = before.map(|before| LinePlace::at(Revision(before)));
        let of = lines_of("cmp_a");
        let lines = store.log_before(&of, before.as_ref(), None, limit).await.unwrap();
        assert_eq!(lines.iter().map(|line| line.revision.0).collect::<Vec<_>>(), expected);
    }
    let mut newest = store.log_before(&lines_of("cmp_a"), None, None, 9).await.unwrap();
    newest.reverse();
    assert_eq!(newest, log(&*store, "cmp_a").await);
    assert!(store.log_before(&lines_of("cmp_b"), None, None, 9).await.unwrap().is_empty());
}

pub(super) async fn the_newest_lines_about_a_subject_are_found(engine: &dyn Engine) {
    const TAGS: Catalog = Catalog::CustomerTags;
    let store = engine.open().await;
    make_company(&*store, "cmp_a", "A").await;
    let (tag, other) = (entry("tag_1", "Tag", 1), entry("tag_12", "Other", 2));
    for deltas in [
        vec![made_entry(TAGS, tag.clone())],
        vec![made_entry(TAGS, other)],
        vec![moved(TAGS, "tag_12", 2, 3), moved(TAGS, "tag_1", 1, 2)],
        vec![moved(TAGS, "tag_12", 3, 4)],
        vec![deleted(TAGS, &Entry { rank: 2, ..tag.clone() })],
        vec![revived(TAGS, &tag)],
    ] {
        commit(&*store, "cmp_a", deltas).await.unwrap();
    }
    let revisions = async |before: Option<u64>, place: &str, limit| {
        let before = before.map(|before| LinePlace::at(Revision(before)));
        let of = lines_of("cmp_a");
        let wanted = Some(LineFilter { subject: Subject::at(place), ..LineFilter::default() });
        let lines = store.log_before(&of, before.as_ref(), wanted.as_ref(), limit).await.unwrap();
        lines.iter().map(|line| line.revision.0).collect::<Vec<_>>()
    };
    for (place, expected) in [
        ("customer_tags/tag_1", &[7, 6, 4, 2][..]),
        ("customer_tags/tag_12", &[5, 4, 3]),
        ("customer_tags", &[7, 6, 5, 4, 3, 2, 1]),
        ("life_cycles", &[1]),
        ("life_cycles/tag_1", &[]),
        ("businesses/biz_cmp_a", &[1]),
        ("company", &[1]),
    ] {
        assert_eq!(revisions(None, place, 99).await, expected, "{place}");
    }
    assert_eq!(revisions(None, "customer_tags/tag_1", 1).await, [7]);
    assert_eq!(revisions(Some(7), "customer_tags/tag_1", 99).await, [6, 4, 2]);
}

pub(super) async fn only_the_wanted_lines_of_a_log_are_read(engine: &dyn Engine) {
    let store = engine.open().await;
    let mut current = make_company(&*store, "cmp_a", "A").await;
    for (key, staff) in [("key_1", "staff_2"), ("key_2", "staff_1"), ("key_2", "staff_2")] {
        let (number, staff) = (current.revision.0 as u8, StaffId::parse("id", staff).unwrap());
        let actor = Actor { staff_id: staff, ..actor(key) };
        let plan = with(touching(&current), |line| line.actor = actor.clone());
        append(&*store, &stream("cmp_a"), &plan.line).await.unwrap();
        current = plan.after;
        let id = format!("key_{}", 9 - number);
        let line = with_line(key_line(&self::key(&id, number)), |line| {
            (line.actor, line.time) = (actor, time(i64::from(number)));
        });
        commit_key_line(&*store, &line).await.unwrap();
    }
    // The numbers of the company's revisions; the keys' lines have the same as their times.
    let found = async |of: &Streams, from, before: Option<LinePlace>, key: &str, staff: &str| {
        let wanted = LineFilter {
            from,
            subject: None,
            key: KeyId::parse("id", key).ok(),
            staff: StaffId::parse("id", staff).ok(),
        };
        store.log_before(of, before.as_ref(), Some(&wanted), 9).await.unwrap()
    };
    let at = |number: u64| Some(LinePlace::at(Revision(number)));
    let of = lines_of("cmp_a");
    for (from, before, key, staff, expected) in [
        (None, None, "key_1", "", &[2, 1][..]),
        (None, None, "key_2", "", &[4, 3]),
        (None, None, "", "staff_2", &[4, 2]),
        (None, None, "key_2", "staff_2", &[4]),
        (at(3), None, "", "", &[4, 3]),
        (at(2), at(4), "", "", &[3, 2]),
        (at(2), at(4), "key_2", "", &[3]),
        (at(3), at(3), "", "", &[]),
        (at(9), None, "", "", &[]),
    ] {
        let lines = found(&of, from, before, key, staff).await;
        assert_eq!(lines.iter().map(|line| line.revision.0).collect::<Vec<_>>(), expected);
    }
    let at = |number: i64| {
        Some(LinePlace { time: time(number), of: String::new(), revision: Revision(0) })
    };
    for (from, before, key, staff, expected) in [
        (None, None, "key_1", "", &[1][..]),
        (None, None, "key_2", "staff_1", &[2]),
        (at(2), None, "", "", &[3, 2]),
        (at(1), at(3), "", "", &[2, 1]),
        (at(2), at(2), "", "", &[]),
    ] {
        let lines = found(&Streams::keys(), from, before, key, staff).await;
        let times: Vec<i64> = lines.iter().map(|line| line.time.as_micros()).collect();
        assert_eq!(times, expected);
    }
}

pub(super) async fn the_revision_at_a_moment_is_that_of_the_last_change(engine: &dyn Engine) {
    let store = engine.open().await;
    let made = make_company(&*store, "cmp_a", "A").await;
    // The second change is 10 microseconds after the first, and the third 10 after that.
    let mut current = made;
    for revision in [2, 3] {
        let time = time(time_of(1).as_micros() + 10 * (revision - 1));
        let plan = with(touching(&current), |line| line.time = time);
        append(&*store, &stream("cmp_a"), &plan.line).await.unwrap();
        current = plan.after;
    }
    // A later request that changes nothing makes no revision.
    let nothing = with(plan(Some(&current), Vec::new()), |line| line.time = time_of(1_000));
    append(&*store, &stream("cmp_a"), &with_request(nothing, "1").line).await.unwrap();

    let at = async |after_first: i64| {
        let time = time(time_of(1).as_micros() + after_first);
        store.revision_at(&stream("cmp_a"), time).await.unwrap().map(|revision| revision.0)
    };
    for (after_first, expected) in [
        (-1, None),
        (0, Some(1)),
        (9, Some(1)),
        (10, Some(2)),
        (19, Some(2)),
        (20, Some(3)),
        (5_000, Some(3)),
    ] {
        assert_eq!(at(after_first).await, expected, "{after_first}");
    }
    assert_eq!(store.revision_at(&stream("cmp_b"), time_of(1)).await.unwrap(), None);
}

pub(super) async fn the_revision_at_a_moment_is_found_in_a_log_of_any_length(engine: &dyn Engine) {
    let store = engine.open().await;
    let mut current = make_company(&*store, "cmp_a", "A").await;
    // A change each ten microseconds.
    let at = |revision: u64| time_of(10 * revision);
    for length in 2..=20 {
        let plan = with(touching(&current), |line| line.time = at(length));
        append(&*store, &stream("cmp_a"), &plan.line).await.unwrap();
        current = plan.after;
        for revision in 2..=length {
            for (later, expected) in [(-1, revision - 1), (0, revision), (9, revision)] {
                let then = time(at(revision).as_micros() + later);
                let found = store.revision_at(&stream("cmp_a"), then).await.unwrap();
                assert_eq!(found, Some(Revision(expected)), "{revision} of {length}, {later}");
            }
        }
    }
}

pub(super) async fn a_checkpoint_is_read_as_it_was_left(engine: &dyn Engine) {
    let store = engine.open().await;
    let made = make_company(&*store, "cmp_a", "A").await;
    let of = |revision: u64| Checkpoint { revision: Revision(revision), ..Checkpoint::of(&made) };
    let read = async |company: &str, from: u64, below: u64| {
        let among = Revision(from)..Revision(below);
        let found = store.checkpoint(&stream(company), among).await.unwrap();
        found.map(|found| found.map_err(|unreadable| unreadable.place).unwrap())
    };
    assert_eq!(read("cmp_a", 0, u64::MAX).await, None);
    for revision in [3, 7, 5] {
        store.leave_checkpoint(&stream("cmp_a"), &of(revision)).await.unwrap();
    }
    let cases =
        [((0, 9), Some(3)), ((3, 4), Some(3)), ((4, 9), Some(5)), ((4, 5), None), ((8, 9), None)];
    for ((from, below), expected) in cases {
        assert_eq!(read("cmp_a", from, below).await, expected.map(of), "{from} to {below}");
    }
    assert_eq!(read("cmp_b", 0, 9).await, None);
    // The last one stays, of several programs too.
    let other = engine.open().await;
    let later = Checkpoint { time: time(5), ..of(5) };
    for _ in 0..2 {
        other.leave_checkpoint(&stream("cmp_a"), &later).await.unwrap();
    }
    assert_eq!(read("cmp_a", 4, 9).await, Some(later));
    // A checkpoint alone is no company.
    store.leave_checkpoint(&stream("cmp_c"), &of(1)).await.unwrap();
    assert_eq!(store.company_ids(&covering_all(), None, 9).await.unwrap(), [company_id("cmp_a")]);
}

/// A long run of mixed changes against the model, which is `replay::apply`.
pub(super) async fn the_log_alone_rebuilds_every_revision(engine: &dyn Engine) {
    const TAGS: Catalog = Catalog::CustomerTags;
    let store = engine.open().await;
    let mut model = make_company(&*store, "cmp_a", "A").await;
    let mut states = vec![model.clone()];
    // A fixed sequence that looks random (Numerical Recipes' generator).
    let mut seed = 12_345_u32;
    let mut pick = |below: u32| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) % below
    };
    for step in 0..60 {
        let entries = model.entries(TAGS);
        let count = u32::try_from(entries.len()).unwrap();
        let chosen = &entries[pick(count) as usize];
        let other = &entries[pick(count) as usize];
        let free = entries.iter().map(|tag| tag.rank).max().unwrap() + 1;
        let deltas = match pick(5) {
            0 | 1 => {
                vec![made_entry(TAGS, entry(&format!("tag_{step}"), &format!("Tag {step}"), free))]
            }
            2 => vec![changed_entry(TAGS, chosen, |tag| tag.state = State::Archived)],
            3 if chosen.id != other.id => vec![
                moved(TAGS, chosen.id.as_str(), chosen.rank, other.rank),
                changed_entry(TAGS, other, |tag| (tag.rank, tag.color) = (chosen.rank, None)),
            ],
            _ => vec![moved(TAGS, chosen.id.as_str(), chosen.rank, free)],
        };
        model = commit(&*store, "cmp_a", deltas).await.unwrap();
        states.push(model.clone());
    }
    assert_eq!(replay(&*store, "cmp_a").await, Some(model));

    let mut replayed = None;
    for (line, state) in log(&*store, "cmp_a").await.iter().zip(states) {
        let next = replay::apply(replayed, line.revision, line.time, &line.deltas).unwrap();
        assert_eq!(next, state);
        replayed = Some(next);
    }
}

pub(super) async fn concurrent_writers_leave_no_gap(engine: &dyn Engine) {
    const WRITERS: u32 = 16;
    const COMMITS: u32 = 8;
    let stores = [engine.open().await, engine.open().await];
    for id in ["shared", "own_0", "own_1", "own_2", "own_3"] {
        commit(&*stores[0], id, vec![made_company(company(id, id))]).await.unwrap();
    }
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let store = Arc::clone(&stores[writer as usize % 2]);
        // Half of the writers compete for one company, and the others share the other companies.
        let id = if writer < 8 { "shared".to_owned() } else { format!("own_{}", writer % 4) };
        writers.push(tokio::spawn(async move {
            for i in 0..COMMITS {
                let number = writer * COMMITS + i;
                let tag = entry(&format!("tag_{number}"), &format!("Tag {number}"), number);
                loop {
                    match commit(&*store, &id, vec![made_entry(Catalog::CustomerTags, tag.clone())])
                        .await
                    {
                        Ok(_) => break,
                        Err(StoreError::Conflict) => {}
                        Err(error) => panic!("{error:?}"),
                    }
                }
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let mut acknowledged = Vec::new();
    for id in ["shared", "own_0", "own_1", "own_2", "own_3"] {
        let lines = log(&*stores[0], id).await;
        let revisions: Vec<u64> = lines.iter().map(|line| line.revision.0).collect();
        assert_eq!(revisions, (1..=revisions.len() as u64).collect::<Vec<_>>(), "{id}");
        acknowledged.extend(lines[1..].iter().map(|line| match &line.deltas[..] {
            [Delta { after: Some(Row::Entry(after)), .. }] => after.rank,
            other => panic!("{other:?}"),
        }));
        assert_eq!(replay(&*stores[0], id).await, stores[1].settings(&grant(id)).await.unwrap());
    }
    acknowledged.sort_unstable();
    assert_eq!(acknowledged, (0..WRITERS * COMMITS).collect::<Vec<_>>());
}

pub(super) async fn the_whole_log_has_the_empty_lines_too(engine: &dyn Engine) {
    let store = engine.open().await;
    let made = make_company(&*store, "cmp_a", "A").await;
    make_company(&*store, "cmp_b", "B").await;
    for id in ["1", "2"] {
        let nothing = with_request(plan(Some(&made), vec![]), id);
        append(&*store, &stream("cmp_a"), &nothing.line).await.unwrap();
    }
    touch(&*store, "cmp_a").await;
    let whole = store.log(&stream("cmp_a"), (Revision(0), 0), 9).await.unwrap();
    let places: Vec<_> = whole.iter().map(|(part, line)| (line.revision.0, *part)).collect();
    assert_eq!(places, [(1, 0), (1, 1), (1, 2), (2, 0)]);
    assert!(whole[1].1.deltas.is_empty());
    assert_eq!(whole[2].1.request.as_ref().map(|one| &one.id), Some(&request_id("2")));
    for (after, limit, expected) in [
        ((1, 0), 9, &whole[1..]),
        ((1, 1), 1, &whole[2..3]),
        ((1, 9), 9, &whole[3..]),
        ((2, 0), 9, &[]),
    ] {
        let after = (Revision(after.0), after.1);
        assert_eq!(store.log(&stream("cmp_a"), after, limit).await.unwrap(), expected);
    }
}

/// A kind that no program has: its log works before anything else of it is there.
pub(super) async fn a_new_kind_of_stream_has_a_log(engine: &dyn Engine) {
    const KIND: StreamKind = StreamKind::new("webhook", true);
    let store = engine.open().await;
    make_company(&*store, "a", "A").await;
    let (a, b) = (Stream::new(KIND, "a").unwrap(), Stream::new(KIND, "b").unwrap());
    assert_eq!(Stream::new(StreamKind::COMPANY, "a"), None, "a company's comes of a grant");
    let line = |revision, id: &str| {
        let (_, line) = key_line(&key("any", 1));
        Line { revision: Revision(revision), request: Some(request(id, 7)), ..line }
    };
    append(&*store, &a, &line(1, "r")).await.unwrap();
    append(&*store, &a, &line(2, "s")).await.unwrap();
    for late in [line(2, "t"), line(4, "t")] {
        let outcome = append(&*store, &a, &late).await;
        assert!(matches!(outcome, Err(StoreError::Conflict)), "{outcome:?}");
    }
    // Its request ids are unique per stream, as the kind says.
    assert!(matches!(append(&*store, &a, &line(3, "r")).await, Err(StoreError::Conflict)));
    append(&*store, &b, &line(1, "r")).await.unwrap();
    // Together with other streams, or not at all.
    let (key_stream, key_line) = key_line(&key("key_1", 1));
    let late = line(7, "u");
    let both = [(&key_stream, &key_line), (&b, &late)];
    assert!(matches!(store.commit(&both, None).await, Err(StoreError::Conflict)));
    assert!(store.keys(None, None, 9).await.unwrap().is_empty());
    let next = line(2, "u");
    store.commit(&[(&key_stream, &key_line), (&b, &next)], None).await.unwrap();

    let nothing = Line { deltas: vec![], ..line(2, "n") };
    append(&*store, &a, &nothing).await.unwrap();
    let whole = store.log(&a, (Revision(0), 0), 9).await.unwrap();
    assert_eq!(whole, [(0, line(1, "r")), (0, line(2, "s")), (1, nothing)]);
    let newest = store.log_before(&Streams::one(&a), None, None, 9).await.unwrap();
    assert_eq!(newest, [line(2, "s"), line(1, "r")]);
    assert_eq!(store.revision_at(&a, time(1)).await.unwrap(), Some(Revision(2)));
    let by = actor("key_1").key_id.unwrap();
    let found = store.request(&Streams::one(&b), &by, &request_id("r")).await.unwrap().unwrap();
    assert_eq!((found.of.as_str(), found.revision), ("b", Revision(1)));
    // Nobody else sees it.
    assert_eq!(log(&*store, "a").await.len(), 1);
    assert_eq!(store.company_ids(&covering_all(), None, 9).await.unwrap(), [company_id("a")]);
    assert_eq!(store.log_before(&Streams::keys(), None, None, 9).await.unwrap(), [key_line]);
}

pub(super) async fn a_store_says_its_schema_and_its_size(engine: &dyn Engine) {
    let store = engine.open().await;
    let facts = store.facts().await.unwrap();
    assert_eq!(facts.schema, 1);
    assert!((10_000..100_000_000).contains(&facts.bytes), "{facts:?}");
}
