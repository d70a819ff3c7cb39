//! The fuzzer hands its bytes to [`helenus_fuzz::internode`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| helenus_fuzz::internode::run(data));
