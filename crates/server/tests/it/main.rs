//! All tests of the server as a library, in one program, which links once.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod access;
mod admin;
mod admin_keys;
mod any_request;
mod at_once;
mod bounds;
mod changes;
mod compat;
mod config;
mod constraints;
mod copy;
mod damage;
mod disk;
mod document;
mod freshness;
mod fuzzing;
mod harness;
mod keys;
mod known_keys;
mod long_work;
mod names;
mod net;
mod nodes;
mod old_states;
mod openapi;
mod paging;
mod places;
mod plan;
mod postgres;
mod postgres_server;
mod room;
mod sqlite;
mod sqlite_speed;
mod status;
mod stolen_keys;
mod store_conformance;
mod store_samples;
mod tidy;
mod transcoding;
mod values;
mod verify;
mod ways;
mod work;
mod writing;
