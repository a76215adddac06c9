//! Word count: a plan on the parts of a dataset beside one thread of the same program, compiled for this
//! machine and as it is, on the file itself.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use crate::cli::Plans;
use crate::functions::peer;
use crate::node::Node;
use crate::report::{MB, Report, table};
use crate::sample::Samples;
use crate::workbench::{Workbench, repository};
use crate::{disk, machine, process};

const PARTS: u64 = 64;
/// Words in the text, of which the first ones are there most often.
const WORDS: u64 = 50_000;
const WORDS_OF_A_LINE: u64 = 12;

pub(crate) fn main(args: &Plans, command_line: &str) -> Result<()> {
    let bench = Workbench::new(&args.common)?;
    let machine = machine::describe(&bench.work)?;
    let text = text(&bench.work, args.megabytes * 1_000_000)?;
    let native = native(&bench.work)?;
    let mut samples = Samples::default();
    let data = bench.work.join("data");
    disk::fresh(&data)?;
    let node = up(&bench, &data)?;
    let token = node.token.clone().context("a fresh bucket gives a root token")?;
    let tell = |line: &str| tell(&bench, &node, &token, line);
    let begun = Instant::now();
    tell(&format!("push {} text", text.parent().context("it has a folder")?.display()))?;
    samples.add("push", begun.elapsed().as_secs_f64());
    let guest = cairn_testkit::guests::rust("wordcount").map_err(anyhow::Error::msg)?;
    tell(&format!(
        "fn deploy {} --name wordcount --cpu-ms 600000 --wall-ms 600000",
        guest.display()
    ))?;
    let plan = bench.work.join("words.toml");
    std::fs::write(&plan, spec(text.metadata()?.len()))?;
    for run in 0..args.common.runs {
        eprintln!("run {}", run + 1);
        one_run(args, run, (&plan, &guest, &native, &text), &tell, &mut samples)?;
    }
    samples.add("rss", node.rss());
    Report {
        name: "plans",
        title: "Plans",
        machine,
        command_line: command_line.to_owned(),
        body: body(&samples, args),
        data: serde_json::json!({ "cairn": samples.json() }),
    }
    .publish(&args.common)
}

fn spec(bytes: u64) -> String {
    let split = bytes.div_ceil(PARTS);
    format!(
        "[steps.count]\nfunction = \"wordcount\"\narguments = [\"count\"]\nfiles = \"text\"\n\
         split_bytes = {split}\n\n[steps.total]\nfunction = \"wordcount\"\narguments = [\"total\"]\n\
         inputs = [\"count\"]\ntogether = 64\n"
    )
}

fn one_run(
    args: &Plans,
    run: u32,
    (plan, guest, native, text): (&Path, &Path, &Path, &Path),
    tell: &impl Fn(&str) -> Result<String>,
    samples: &mut Samples,
) -> Result<()> {
    let plan = plan.display();
    let mut sides = ["plan", "native", "engine"];
    // Each goes first every third time.
    sides.rotate_left(run as usize % 3);
    let mut said = Vec::new();
    for side in sides {
        let begun = Instant::now();
        said.push(match side {
            "plan" => tell(&format!("plan run {plan} --fresh --output"))?,
            "native" => counted(&mut Command::new(native), text)?,
            _ => counted(peer::program().args(["run", "-W", "timeout=600s"]).arg(guest), text)?,
        });
        samples.add(side, begun.elapsed().as_secs_f64());
    }
    ensure!(said.iter().all(|one| *one == said[0]), "the counts differ");
    let last = |name: &str| samples.0.get(name).and_then(|all| all.last().copied());
    let (plan_s, native_s) = (last("plan").unwrap_or(0.0), last("native").unwrap_or(0.0));
    samples.add("ratio", native_s / plan_s);
    samples.add("rate", args.megabytes as f64 / plan_s);
    if run == 0 {
        tell(&format!("plan run {plan} --output"))?;
    }
    let begun = Instant::now();
    tell(&format!("plan run {plan} --output"))?;
    samples.add("again", begun.elapsed().as_secs_f64());
    Ok(())
}

/// Lines of words in a folder of its own, the same ones each time.
fn text(work: &Path, bytes: u64) -> Result<PathBuf> {
    let folder = work.join("text");
    std::fs::create_dir_all(&folder)?;
    let path = folder.join("words.txt");
    if path.metadata().is_ok_and(|known| known.len() >= bytes) {
        return Ok(path);
    }
    let mut out = BufWriter::with_capacity(1 << 20, File::create(&path)?);
    let (mut state, mut written, mut line) = (1_u64, 0, String::new());
    while written < bytes {
        line.clear();
        for _ in 0..WORDS_OF_A_LINE {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            // Two draws, so that small numbers come more often.
            let (a, b) = ((state >> 33) % WORDS, (state >> 17) % WORDS);
            let word = a * b / WORDS;
            line.push_str(&format!("w{:x} ", word.wrapping_mul(2_654_435_761) % (1 << 32)));
        }
        line.push('\n');
        out.write_all(line.as_bytes())?;
        written += line.len() as u64;
    }
    out.into_inner()?.sync_all()?;
    Ok(path)
}

/// The sample for this machine.
fn native(work: &Path) -> Result<PathBuf> {
    let target = work.join("native");
    let mut build = Command::new("cargo");
    build.current_dir(repository().join("guests/rust"));
    build.args(["build", "--quiet", "--release", "--locked", "-p", "wordcount", "--target-dir"]);
    process::output(build.arg(&target))?;
    Ok(target.join("release/wordcount"))
}

/// What a program counts that reads the whole text.
fn counted(program: &mut Command, text: &Path) -> Result<String> {
    program.arg("count").stdin(File::open(text)?).stderr(Stdio::inherit());
    let told = program.output()?;
    ensure!(told.status.success(), "{program:?} failed");
    Ok(String::from_utf8(told.stdout)?)
}

fn up(bench: &Workbench, data: &Path) -> Result<Node> {
    let mut command = Command::new(&bench.cairn);
    command.args(["up", "--no-gc"]).arg("--data-dir").arg(data);
    Node::started(command.env_remove("CAIRN_BUCKET"))
}

fn tell(bench: &Workbench, node: &Node, token: &str, line: &str) -> Result<String> {
    let mut command = Command::new(&bench.cairn);
    command.env("CAIRN_URL", format!("http://{}", node.address)).env("CAIRN_TOKEN", token);
    process::output(command.args(line.split(' ')))
}

fn body(samples: &Samples, args: &Plans) -> String {
    let say = |name: &str, scale: f64, digits: usize| {
        samples.summary(name).map_or("–".to_owned(), |summary| summary.show(scale, digits))
    };
    let rows = [
        ["".to_owned(), "cairn".to_owned(), "one native thread".to_owned(), "ratio".to_owned()],
        ["seconds".to_owned(), say("plan", 1.0, 2), say("native", 1.0, 2), say("ratio", 1.0, 2)],
        ["MB/s".to_owned(), say("rate", 1.0, 0), "–".to_owned(), "–".to_owned()],
        ["seconds, asked again".to_owned(), say("again", 1.0, 2), "–".to_owned(), "–".to_owned()],
    ];
    let rows: Vec<Vec<String>> = rows.into_iter().map(|row| row.to_vec()).collect();
    format!(
        "{}\nWords of {} MB of text are counted, of which {WORDS} are different. The plan (`guests/rust/wordcount`) \
         reads {PARTS} parts of a dataset in a local bucket and adds their counts in one run more; the command's \
         start, the request and the result's way back are in its time. The same program, compiled for this machine, reads \
         the file with one thread; as it is, by `wasmtime run`, it takes {} s for it. The push took {} s; the node had {} MB after all runs. Medians \
         (lowest–highest).\n",
        table(&rows),
        args.megabytes,
        say("engine", 1.0, 2),
        say("push", 1.0, 1),
        say("rss", MB, 0),
    )
}
