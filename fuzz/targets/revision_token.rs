#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| customer_settings_server::fuzz::revision_token(bytes));
