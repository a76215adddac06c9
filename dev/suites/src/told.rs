//! What a program says of its tests.

use anyhow::{Context as _, Result, ensure};

/// What came of a suite's tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Tests that passed, with the parts of tests that have a name.
    pub passed: u64,
    /// Tests that said themselves that they cannot be run.
    pub skipped: u64,
    /// What is said of those that failed.
    pub failed: Vec<String>,
}

impl Told {
    /// What a program of `go test -c` writes to its output with `-test.v`.
    ///
    /// # Errors
    /// When it has not come to its end, or ends otherwise than it says.
    pub(crate) fn of_go(output: &str, exit: i32) -> Result<Self> {
        let mut told = Self::default();
        for line in output.lines() {
            let Some(result) = line.trim_start().strip_prefix("--- ") else { continue };
            match result.split_once(": ") {
                Some(("PASS", _)) => told.passed += 1,
                Some(("SKIP", _)) => told.skipped += 1,
                Some(("FAIL", test)) => told.failed.push(test.to_owned()),
                _ => {}
            }
        }
        let last = output.lines().last().unwrap_or_default();
        told.checked(last == "PASS", exit, last)
    }

    /// What Zig's test runner writes to its standard error.
    ///
    /// # Errors
    /// As of [`Told::of_go`].
    pub(crate) fn of_zig(log: &str, exit: i32) -> Result<Self> {
        let mut told = Self::default();
        for line in log.lines() {
            let Some((test, result)) = line.rsplit_once("...") else { continue };
            match result {
                "OK" => told.passed += 1,
                "SKIP" => told.skipped += 1,
                why => told.failed.push(format!("{test}: {why}")),
            }
        }
        // After it there may be how many tests are for fuzzing.
        let sums = |line: &&str| line.ends_with(" tests passed.") || line.ends_with(" failed.");
        let last = log.lines().rfind(sums).unwrap_or_default();
        let count = |what: &str| -> Result<u64> {
            let Some(number) = last.split("; ").find_map(|part| part.strip_suffix(what)) else {
                return Ok(0);
            };
            number.parse().with_context(|| format!("it says {last:?}"))
        };
        let all = format!("All {} tests passed.", told.passed);
        let whole = last == all
            || (count(" passed")? == told.passed
                && count(" skipped")? == told.skipped
                && last.ends_with(" 0 failed."));
        told.checked(whole, exit, last)
    }

    /// It came to its end, and that is what it says itself.
    fn checked(self, passes: bool, exit: i32, last: &str) -> Result<Self> {
        let good = passes && exit == 0;
        ensure!(
            good == self.failed.is_empty() && (good || exit != 0),
            "it ends with {exit} after {last:?}, with {} tests that failed",
            self.failed.len()
        );
        ensure!(self.passed > 0, "none of its tests was run");
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_is_read_as_people_read_it() {
        let good =
            "=== RUN   TestA\n--- PASS: TestA (0.00s)\n    --- SKIP: TestA/x (0.00s)\nPASS\n";
        let told = Told::of_go(good, 0).unwrap();
        assert_eq!((told.passed, told.skipped, told.failed.len()), (1, 1, 0));
        let bad = "--- PASS: TestA (0.00s)\n--- FAIL: TestB (0.00s)\nFAIL\n";
        assert_eq!(Told::of_go(bad, 1).unwrap().failed, ["TestB (0.00s)"]);
        let cut = "--- PASS: TestA (0.00s)\n";
        for (output, exit) in [(cut, 0), (cut, 1), (good, 1), (bad, 0), ("PASS\n", 0)] {
            assert!(Told::of_go(output, exit).is_err(), "{output} {exit}");
        }
    }

    #[test]
    fn zig_is_read_as_people_read_it() {
        let good = "1/1 a.test.b...OK\nAll 1 tests passed.\n";
        let told = Told::of_zig(good, 0).unwrap();
        assert_eq!((told.passed, told.skipped, told.failed.len()), (1, 0, 0));
        let some =
            "1/2 a...OK\n2/2 b...SKIP\n1 passed; 1 skipped; 0 failed.\n4 fuzz tests found.\n";
        assert_eq!(Told::of_zig(some, 0).unwrap().skipped, 1);
        let bad = "1/2 a...OK\n2/2 b...FAIL (TestExpectedEqual)\n1 passed; 0 skipped; 1 failed.\n";
        let told = Told::of_zig(bad, 1).unwrap();
        assert_eq!(told.failed, ["2/2 b: FAIL (TestExpectedEqual)"]);
        let fewer = "1/2 a...OK\n2 passed; 0 skipped; 0 failed.\n";
        for (log, exit) in [("1/2 a...OK\n", 0), (good, 1), (fewer, 0), ("", 0)] {
            assert!(Told::of_zig(log, exit).is_err(), "{log} {exit}");
        }
    }
}
