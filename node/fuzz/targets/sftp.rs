#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| filegrid_fuzz::sftp(data));
