//! Counts words: `wordcount count` those of its standard input, `wordcount total` adds the counts of all inputs,
//! `/api/input/0` and so on, in which the words are in order. A word is what has no white space in it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::process::ExitCode;

type Line = Option<(Vec<u8>, u64)>;

fn count(mut text: impl Read, mut counts: impl Write) -> io::Result<()> {
    let mut words = HashMap::<Vec<u8>, u64>::new();
    let (mut buffer, mut kept) = (vec![0; 1 << 18], 0);
    loop {
        let read = text.read(&mut buffer[kept..])?;
        let filled = kept + read;
        // A word that goes on behind what was read is counted with that.
        let last = buffer[..filled].iter().rposition(u8::is_ascii_whitespace);
        let whole = if read == 0 { filled } else { last.map_or(0, |at| at + 1) };
        for word in buffer[..whole].split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
            match words.get_mut(word) {
                Some(count) => *count += 1,
                None => drop(words.insert(word.to_vec(), 1)),
            }
        }
        if read == 0 {
            break;
        }
        buffer.copy_within(whole..filled, 0);
        kept = filled - whole;
        if kept == buffer.len() {
            buffer.resize(2 * kept, 0);
        }
    }
    let mut words: Vec<_> = words.into_iter().collect();
    words.sort_unstable();
    for (word, count) in words {
        counts.write_all(&word)?;
        writeln!(counts, "\t{count}")?;
    }
    counts.flush()
}

fn next(counts: &mut impl BufRead) -> io::Result<Line> {
    let mut line = Vec::new();
    if counts.read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    let wrong = || io::Error::other("an input has a line without a count");
    let tab = line.iter().rposition(|byte| *byte == b'\t').ok_or_else(wrong)?;
    let count = std::str::from_utf8(&line[tab + 1..]).ok().and_then(|text| text.trim().parse().ok());
    line.truncate(tab);
    Ok(Some((line, count.ok_or_else(wrong)?)))
}

fn total(mut inputs: Vec<impl BufRead>, mut counts: impl Write) -> io::Result<()> {
    let mut lines = inputs.iter_mut().map(next).collect::<io::Result<Vec<Line>>>()?;
    while let Some(word) = lines.iter().flatten().map(|(word, _)| word).min().cloned() {
        let mut sum = 0;
        for (line, input) in lines.iter_mut().zip(&mut inputs) {
            if let Some((_, count)) = line.take_if(|(one, _)| *one == word) {
                sum += count;
                *line = next(input)?;
            }
        }
        counts.write_all(&word)?;
        writeln!(counts, "\t{sum}")?;
    }
    counts.flush()
}

fn main() -> ExitCode {
    let output = BufWriter::with_capacity(1 << 18, io::stdout().lock());
    let done = match std::env::args().nth(1).as_deref() {
        Some("count") => count(io::stdin().lock(), output),
        Some("total") => {
            let open = |number: usize| File::open(format!("/api/input/{number}")).ok();
            total((0..).map_while(open).map(BufReader::new).collect(), output)
        }
        _ => Err(io::Error::other("wordcount count, or wordcount total")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wordcount: {error}");
            ExitCode::FAILURE
        }
    }
}
