#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| customer_settings_server::fuzz::page_token(bytes));
