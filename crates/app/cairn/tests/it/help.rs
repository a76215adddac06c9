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
    assert_eq!(crate::process::Running::start(bash).end().stdout(), "push pull put\n");
    lab.write("_cairn", lab.ok("completions zsh"));
    let words = "fpath=($PWD $fpath); autoload -U compinit; compinit -u -d dump; print ${_comps[cairn]}; \
                 autoload +X _cairn && whence -w _cairn";
    let mut zsh = std::process::Command::new("zsh");
    zsh.args(["-fc", words]).current_dir(lab.path(""));
    assert_eq!(crate::process::Running::start(zsh).end().stdout(), "_cairn\n_cairn: function\n");
    lab.write("cairn.fish", lab.ok("completions fish"));
    let words = "source cairn.fish; complete -C 'cairn pu'";
    let mut fish = std::process::Command::new("fish");
    fish.args(["--no-config", "-c", words]).current_dir(lab.path("")).env("HOME", lab.path("home"));
    let offered = crate::process::Running::start(fish).end().stdout();
    let names: Vec<_> = offered.lines().filter_map(|line| line.split('\t').next()).collect();
    assert_eq!(names[..2], ["pull", "push"], "{offered}");
    lab.cairn_refuses("completions tcsh");
}
