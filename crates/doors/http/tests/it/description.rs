//! The description of the API, as the console is made of it (CONSOLE-1).
//! `UPDATE_EXPECT=1 cargo test -p cairn-http description` writes it anew.

use expect_test::expect_file;
use serde_json::Value;

use crate::support::Server;

#[tokio::test]
async fn the_console_is_made_of_the_description_that_a_node_gives() {
    let server = Server::start().await;
    let document: Value = server.get("/api/openapi.json", &[]).await.json().await.unwrap();
    let text = serde_json::to_string_pretty(&document).unwrap() + "\n";
    expect_file!["../../../../../console/openapi.json"].assert_eq(&text);
}
