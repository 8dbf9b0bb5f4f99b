//! Waiting for what comes about by itself.

#[allow(clippy::disallowed_methods, reason = "a test's thread may sleep")]
pub(crate) fn poll(mut is_so: impl FnMut() -> bool) {
    for _ in 0..600 {
        if is_so() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("it never was so");
}
