//! How many files and sockets the process may have open at once.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the limit of open files as far as the system lets this process, which is the hard limit,
/// and says what it is then; none: there is no limit. Shells and service managers often start a
/// process with 1024, which is not many sockets.
pub fn raise_open_files_max() -> Option<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    let before = limit.current;
    limit.current = limit.maximum;
    // Refused where the kernel's own bound is lower still: then what was, stays.
    match setrlimit(Resource::Nofile, limit) {
        Ok(()) => limit.current,
        Err(_) => before,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_to_the_hard_one() {
        let mut lower = getrlimit(Resource::Nofile);
        let hard = lower.maximum;
        lower.current = Some(200);
        setrlimit(Resource::Nofile, lower).unwrap();
        assert_eq!(raise_open_files_max(), hard);
        assert_eq!(getrlimit(Resource::Nofile).current, hard);
    }
}
