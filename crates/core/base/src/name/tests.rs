use alloc::format;
use alloc::string::ToString;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

fn parse(text: &str, expected: Expect) {
    let shown = match text.parse::<Reference>() {
        Ok(r) => format!(
            "host={:?} project={} name={} tag={:?} path={:?}",
            r.host,
            r.project,
            r.name,
            r.tag.as_ref().map(TagName::as_str),
            r.path
        ),
        Err(error) => error.to_string(),
    };
    expected.assert_eq(&shown);
}

#[test]
fn references_with_every_part() {
    parse("data", expect![[r#"host=None project=main name=data tag=None path=[]"#]]);
    parse("data:v1", expect![[r#"host=None project=main name=data tag=Some("v1") path=[]"#]]);
    parse(
        "localhost:7400/@lab/data:v1/a/b.txt",
        expect![[
            r#"host=Some("localhost:7400") project=lab name=data tag=Some("v1") path=["a", "b.txt"]"#
        ]],
    );
    parse(
        "data:v1/a//b/",
        expect![[r#"host=None project=main name=data tag=Some("v1") path=["a", "b"]"#]],
    );
    parse("data:7/x", expect![[r#"host=None project=main name=data tag=Some("7") path=["x"]"#]]);
    parse(
        "@main/next.js:14/x",
        expect![[r#"host=None project=main name=next.js tag=Some("14") path=["x"]"#]],
    );
}

#[test]
fn wrong_references_say_what_and_where() {
    parse("", expect!["the name is empty"]);
    parse("a:", expect!["the tag is empty"]);
    parse(
        "a:b:c",
        expect![[r#""a:b:c" has more than one tag; a host with a port is written HOST:PORT/NAME"#]],
    );
    parse(
        "../etc",
        expect![[
            r#"the name ".." has '.' at byte 0; it may hold A-Z a-z 0-9 . _ - and begins with a letter or a digit"#
        ]],
    );
    parse(
        "a/../../b",
        expect![[r#"the path "../../b" has the component ".."; write it without `.` and `..`"#]],
    );
    parse(
        "ä",
        expect![[
            r#"the name "ä" has 'ä' at byte 0; it may hold A-Z a-z 0-9 . _ - and begins with a letter or a digit"#
        ]],
    );
}

proptest! {
    #[test]
    fn any_text_parses_or_is_refused(text in ".{0,200}") {
        if let Ok(reference) = text.parse::<Reference>() {
            let again: Reference = reference.to_string().parse().unwrap();
            prop_assert_eq!(reference, again);
        }
    }
}
