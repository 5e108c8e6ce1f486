//! The targets of `fuzz/`, with proptest's mutations of the seeds there. cargo-fuzz continues for longer.

use std::{fs, path::Path};

use customer_settings_server::fuzz::{TARGETS, Target};
use proptest::{collection::vec, prelude::*, sample::select, test_runner::TestRunner};

/// The seeds: some useful inputs, each a file of its own.
fn seeds(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(name);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    files.map(|file| fs::read(file.unwrap().path()).unwrap()).collect()
}

/// A change of a seed.
#[derive(Clone, Debug)]
enum Mutation {
    Put(u8),
    Insert(Vec<u8>),
    Remove(usize),
    Repeat(usize, usize),
    Cut,
    /// From here on, the bytes of another seed.
    Cross(Vec<u8>),
}

fn mutation(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Mutation> {
    let telling =
        select(b"\0\x01\x7f\x80\xff \n\r\t\"'\\{}[]()<>:;,.%&=#-_/*+~!|0129azAZ".to_vec());
    let byte = prop_oneof![telling, any::<u8>()];
    prop_oneof![
        byte.clone().prop_map(Mutation::Put),
        vec(byte, 1..8).prop_map(Mutation::Insert),
        (1_usize..40).prop_map(Mutation::Remove),
        ((1_usize..40), (1_usize..60)).prop_map(|(length, times)| Mutation::Repeat(length, times)),
        Just(Mutation::Cut),
        select(seeds).prop_map(Mutation::Cross),
    ]
}

fn mutate(mut bytes: Vec<u8>, at: prop::sample::Index, mutation: &Mutation) -> Vec<u8> {
    let at = at.index(bytes.len() + 1);
    let end = |length: usize| (at + length).min(bytes.len());
    match mutation {
        Mutation::Put(byte) if at < bytes.len() => bytes[at] = *byte,
        Mutation::Put(byte) => bytes.push(*byte),
        Mutation::Insert(more) => _ = bytes.splice(at..at, more.iter().copied()),
        Mutation::Remove(length) => _ = bytes.drain(at..end(*length)),
        Mutation::Repeat(length, times) => {
            let repeated = bytes[at..end(*length)].repeat(*times);
            bytes.splice(at..at, repeated);
        }
        Mutation::Cut => bytes.truncate(at),
        Mutation::Cross(other) => {
            bytes.truncate(at);
            bytes.extend(other.iter().skip(at));
        }
    }
    bytes
}

fn holds(name: &str) {
    let (_, target): (_, Target) = TARGETS.into_iter().find(|(known, _)| *known == name).unwrap();
    let seeds = seeds(name);
    seeds.iter().for_each(|seed| target(seed));
    let of_seeds = select(seeds.clone());
    let mutations = vec((any::<prop::sample::Index>(), mutation(seeds)), 1..6);
    let mutated = (of_seeds, mutations).prop_map(|(seed, mutations)| {
        mutations.iter().fold(seed, |bytes, (at, mutation)| mutate(bytes, *at, mutation))
    });
    let anything = prop_oneof![8 => mutated, 1 => vec(any::<u8>(), 0..200)];
    let config = ProptestConfig { cases: 1_000, failure_persistence: None, ..Default::default() };
    let checked = TestRunner::new(config).run(&anything, |bytes| {
        target(&bytes);
        Ok(())
    });
    if let Err(error) = checked {
        panic!("{error}");
    }
}

#[test]
fn every_target_has_seeds_and_a_program_for_cargo_fuzz() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    for (name, _) in TARGETS {
        assert!(!seeds(name).is_empty(), "{name}");
        assert!(manifest.contains(&format!("path = \"targets/{name}.rs\"")), "{name}");
        let target = fs::read_to_string(fuzz.join(format!("targets/{name}.rs"))).unwrap();
        assert!(target.contains(&format!("fuzz::{name}(")), "{name}");
    }
}

#[test]
fn any_credential() {
    holds("credential");
}

#[test]
fn any_path_template() {
    holds("path_template");
}

#[test]
fn any_json_body() {
    holds("json_body");
}

#[test]
fn any_yaml_document() {
    holds("yaml_document");
}

#[test]
fn any_filter() {
    holds("filter");
}

#[test]
fn any_page_token() {
    holds("page_token");
}

#[test]
fn any_revision_token() {
    holds("revision_token");
}

#[test]
fn any_grpc_frame() {
    holds("grpc_frame");
}

#[test]
fn any_http2_preface() {
    holds("http2_preface");
}
