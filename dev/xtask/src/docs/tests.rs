use super::*;

fn check(markdown: &str) -> Result<()> {
    let programs = tempfile::tempdir().unwrap();
    let walks = split(parse(markdown).unwrap());
    walks.iter().try_for_each(|blocks| walk("A.md", blocks, programs.path(), None))
}

fn complaint(markdown: &str) -> String {
    check(markdown).unwrap_err().to_string()
}

#[test]
fn only_marked_blocks_are_taken() {
    let text = "```sh\nno\n```\n~~~~ sh test\nyes\n```\nyes too\n~~~~\n```sh test fresh\n```\n\
        ```inline``` text\n```rust\n```\n";
    let blocks = parse(text).unwrap();
    assert_eq!(blocks.len(), 2);
    assert_eq!((blocks[0].line, blocks[0].text.as_str()), (4, "yes\n```\nyes too\n"));
    assert!(!blocks[0].fresh && blocks[1].fresh);
}

#[test]
fn mistakes_in_the_document_are_named() {
    let error = |text: &str| parse(text).unwrap_err().to_string();
    assert_eq!(error("x\n```sh test\n"), "line 2: the fence does not end");
    assert_eq!(
        error("```sh test afresh\n```\n"),
        "line 1: \"afresh\" means nothing after `sh test`"
    );
}

#[test]
fn blocks_of_a_walk_through_share_one_shell() {
    check("```sh test\nx=7; mkdir d; cd d\n```\n\n```sh test\necho $x > f; ls ../d\n# => f\n```\n")
        .unwrap();
    let fresh = "```sh test\ntouch f\n```\n```sh test fresh\n[ ! -e f ]\n```\n";
    check(fresh).unwrap();
    assert!(complaint(&fresh.replace(" fresh", "")).contains("A.md:4"));
}

#[test]
fn the_home_is_empty_and_the_environment_is_clean() {
    check(
        "```sh test\n[ -z \"$(ls -A $HOME)\" ]; [ -z \"${CARGO:-}\" ]\n\
        case $XDG_CONFIG_HOME in $HOME/*) ;; *) exit 1;; esac\n```\n",
    )
    .unwrap();
}

#[test]
fn a_failing_command_fails_its_block() {
    let text = "# T\n```sh test\necho one\n```\n```sh test\necho two\nfalse\necho three\n```\n";
    assert_eq!(complaint(text), "A.md:5: the block failed with exit 1:\ntwo\n");
    let text = "```sh test\nno-such-program --x | cat\n```\n";
    assert!(complaint(text).starts_with("A.md:1: the block failed with exit 127:\n"));
}

#[test]
fn expectations_are_met_in_order() {
    check("```sh test\nprintf 'a 1\\nb 2\\n'\n# => a\n# => b 2\n```\n").unwrap();
    check("```sh test\necho a   # => a\necho b   # => b\n```\n").unwrap();
    assert!(check("```sh test\necho a   # => b\n```\n").is_err());
    let text = "```sh test\nprintf 'a\\nb\\n'\n# => b\n# => a\n```\n";
    assert_eq!(complaint(text), "A.md:4: \"a\" was not printed:\na\nb\n");
}

#[test]
fn servers_are_stopped_at_the_end() {
    let text = "```sh test\nmkfifo f\n(trap 'exit 0' TERM; read -r line < f) &\n\
        echo pid=$!\n# => pid=\n```\n";
    check(text).unwrap();
    check("```sh test\ntail -f /dev/null &\n```\n").unwrap();
}
