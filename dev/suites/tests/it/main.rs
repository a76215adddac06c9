//! The quick ones, each built by its own compiler.

#![allow(clippy::unwrap_used, reason = "this whole crate is tests")]

use cairn_env::Env;
use cairn_suites::Table;

fn all_pass(name: &str) {
    let table = Table::read().unwrap();
    let suite = table.suite(name).unwrap();
    assert!(suite.is_quick(), "{name} is not among the quick ones");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let told = runtime.block_on(async { suite.run(&Env::real()).await }).unwrap();
    assert!(told.failed.is_empty(), "{name}: {:?}", told.failed);
}

macro_rules! suites {
    ($($test:ident $name:literal)*) => {
        $(#[test]
        fn $test() {
            all_pass($name);
        })*

        #[test]
        fn every_quick_suite_is_run() {
            let table = Table::read().unwrap();
            let quick = table.suites().filter(|suite| suite.is_quick());
            let quick: Vec<_> = quick.map(|suite| suite.name()).collect();
            assert_eq!(quick, [$($name),*]);
        }
    };
}

suites! {
    goroutines_of_go_wait_for_each_other "go/context"
    files_of_go_are_read "go/os"
    clocks_and_timers_of_go_run "go/time"
    the_library_of_zig_does_what_it_should "zig/sort"
}
