//! The text of `--help`: scripts and people rely on it, so a change of it is seen in review.
//! `UPDATE_EXPECT=1 cargo test -p cairn help` writes it anew.

use expect_test::expect_file;

use crate::lab::Lab;

/// The commands that a help text lists.
fn commands(help: &str) -> Vec<String> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| !line.is_empty());
    let name = |line: &str| line.strip_prefix("  ")?.split(' ').next().map(str::to_owned);
    listed.filter_map(name).filter(|name| !name.is_empty() && name != "help").collect()
}

fn describe(lab: &Lab, words: &str, all: &mut String) {
    // Where a default comes from the environment, the help would show this test's.
    let mut command = lab.cairn(&format!("{words} --help"));
    command.env_remove("CAIRN_BUCKET");
    let ended = crate::process::Running::start(command).end();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{words}");
    let help = ended.stdout();
    assert!(help.lines().all(|line| line.chars().count() <= 100), "{words}: {help}");
    all.push_str(&format!("$ cairn{words} --help\n{help}\n"));
    for command in commands(&help) {
        describe(lab, &format!("{words} {command}"), all);
    }
}

#[test]
fn the_help_of_every_command_is_as_it_was() {
    let (lab, mut all) = (Lab::new(), String::new());
    describe(&lab, "", &mut all);
    expect_file!["help.txt"].assert_eq(&all);
}

#[test]
fn completions_parse() {
    let lab = Lab::new();
    lab.write("cairn.bash", lab.ok("completions bash"));
    let script = lab.path("cairn.bash");
    crate::mount::run("bash", &["-n", script.to_str().unwrap()]);
    let words = "source cairn.bash; COMP_WORDS=(cairn pu); COMP_CWORD=1; _cairn cairn pu cairn; \
                 echo ${COMPREPLY[*]}";
    let mut bash = std::process::Command::new("bash");
    bash.args(["-c", words]).current_dir(lab.path(""));
    assert_eq!(crate::process::Running::start(bash).end().stdout(), "push pull\n");
    assert!(lab.ok("completions zsh").starts_with("#compdef cairn\n"));
    assert!(lab.ok("completions fish").contains("complete -c cairn"));
    lab.cairn_refuses("completions tcsh");
}
