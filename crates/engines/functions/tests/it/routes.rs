//! Routes.

use cairn_base::ErrorKind;
use cairn_functions::{Auth, Error, NoMatch, Pattern};

use crate::lab::{COMMAND, Lab, function, hello};

fn pattern(text: &str) -> Pattern {
    text.parse().unwrap()
}

#[tokio::test]
async fn routes_come_go_and_outlive_the_node() {
    let mut lab = Lab::new().await;
    let of = function("f");
    let early =
        lab.functions.add_route(&of, (&pattern("/a"), None), Auth::None, "root").await.unwrap_err();
    assert_eq!(early.kind(), ErrorKind::NotFound);
    lab.deployed("f", &hello()).await;
    let made = lab
        .functions
        .add_route(&of, (&pattern("GET x.org/a/{b}"), None), Auth::Cairn, "root")
        .await
        .unwrap();
    assert_eq!((made.pattern.as_str(), made.function.as_str()), ("GET x.org/a/{b}", "f"));
    let again =
        lab.functions.add_route(&of, (&pattern("GET x.org/a/{c}"), None), Auth::None, "root").await;
    assert!(matches!(again, Err(Error::RouteExists { .. })), "{again:?}");
    lab.restart();
    lab.functions.read().await.unwrap();
    lab.functions.kind(&of).await.unwrap();
    let found = lab.find("GET", "x.org/a/1").await.unwrap();
    assert_eq!((found.target.function.clone(), found.target.auth), (of.clone(), Auth::Cairn));
    assert_eq!(found.named, [("b".to_owned(), "1".to_owned())]);
    let wrong = lab.functions.find("PUT", "x.org", "/a/1").await.err().unwrap();
    assert_eq!(wrong, NoMatch::Method(vec!["GET".to_owned()]));
    assert_eq!(lab.get("x.org/a/1").await, "hello /a/1\n");
    lab.functions.remove_route(&of, &pattern("GET x.org/a/{b}")).await.unwrap();
    assert_eq!(lab.get("x.org/a/1").await, "no route");
    let gone = lab.functions.remove_route(&of, &pattern("GET x.org/a/{b}")).await;
    assert!(matches!(gone, Err(Error::NoRoute { .. })), "{gone:?}");
}

/// FUNCTIONS-1: of two that are made at the same time for the same requests, one is.
#[tokio::test]
async fn functions_1_two_routes_at_once_for_the_same_requests_are_one() {
    let lab = Lab::new().await;
    let of = function("f");
    lab.deployed("f", COMMAND).await;
    for round in 0..20 {
        let patterns = [pattern(&format!("/{round}/{{a}}")), pattern(&format!("/{round}/{{b}}"))];
        let add = |pattern| lab.functions.add_route(&of, (pattern, None), Auth::None, "root");
        let made = futures::future::join(add(&patterns[0]), add(&patterns[1])).await;
        assert_eq!(usize::from(made.0.is_ok()) + usize::from(made.1.is_ok()), 1, "{made:?}");
    }
    assert_eq!(lab.functions.routes(&of.project).await.unwrap().len(), 20);
}

#[tokio::test]
async fn a_function_with_routes_is_removed_with_them_or_not_at_all() {
    let lab = Lab::new().await;
    let of = function("f");
    lab.deployed("f", COMMAND).await;
    lab.functions.add_route(&of, (&pattern("/a"), None), Auth::None, "root").await.unwrap();
    let refused = lab.functions.remove(&of, false).await.unwrap_err();
    assert!(matches!(refused, Error::InUse { .. }), "{refused}");
    assert!(lab.find("GET", "x.org/a").await.is_some());
    assert_eq!(lab.functions.remove(&of, true).await.unwrap(), ["* /a"]);
    assert!(lab.find("GET", "x.org/a").await.is_none());
    assert_eq!(lab.functions.routes(&of.project).await.unwrap(), []);
}
