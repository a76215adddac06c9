//! A few options and words: all the command line that chores need.

use std::collections::VecDeque;

use anyhow::{Context, Result, bail};

/// The arguments that no one has taken yet, in order.
#[derive(Debug)]
pub(crate) struct Args {
    items: VecDeque<String>,
}

impl Args {
    /// The arguments of this process, without its name.
    pub(crate) fn from_process() -> Self {
        Self { items: std::env::args().skip(1).collect() }
    }

    /// Arguments from a list.
    #[cfg(test)]
    pub(crate) fn of(items: &[&str]) -> Self {
        Self { items: items.iter().map(ToString::to_string).collect() }
    }

    /// The first argument, whatever it is.
    pub(crate) fn word(&mut self) -> Option<String> {
        self.items.pop_front()
    }

    /// Whether `name` was given.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        let before = self.items.len();
        self.items.retain(|item| item != name);
        self.items.len() < before
    }

    /// The values of every `name VALUE` and `name=VALUE`.
    pub(crate) fn values(&mut self, name: &str) -> Result<Vec<String>> {
        let mut values = Vec::new();
        let mut kept = VecDeque::new();
        while let Some(item) = self.items.pop_front() {
            if item == name {
                let value = self.items.pop_front();
                values.push(value.with_context(|| format!("{name} needs a value"))?);
            } else if let Some(value) = item.strip_prefix(name).and_then(|v| v.strip_prefix('=')) {
                values.push(value.to_string());
            } else {
                kept.push_back(item);
            }
        }
        self.items = kept;
        Ok(values)
    }

    /// The value of `name`, at most once.
    pub(crate) fn value(&mut self, name: &str) -> Result<Option<String>> {
        let mut values = self.values(name)?;
        if values.len() > 1 {
            bail!("{name} was given {} times", values.len());
        }
        Ok(values.pop())
    }

    /// The value of `name` as a number.
    pub(crate) fn number(&mut self, name: &str) -> Result<Option<u64>> {
        let Some(text) = self.value(name)? else { return Ok(None) };
        let number = text.parse().with_context(|| format!("{name} {text:?} is not a number"))?;
        Ok(Some(number))
    }

    /// Everything left, untouched.
    pub(crate) fn rest(self) -> Vec<String> {
        self.items.into()
    }

    /// The words left; an option no one took is an error.
    pub(crate) fn words(self) -> Result<Vec<String>> {
        if let Some(option) = self.items.iter().find(|item| item.starts_with('-')) {
            bail!("unknown option {option}; `cargo xtask help` lists them");
        }
        Ok(self.items.into())
    }

    /// Nothing may be left.
    pub(crate) fn end(self) -> Result<()> {
        match self.items.front() {
            None => Ok(()),
            Some(item) => bail!("unknown argument {item:?}; `cargo xtask help` lists them"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_taken_wherever_they_stand() {
        let mut args = Args::of(&["a", "--n", "7", "--list", "--n=8", "b"]);
        assert!(args.flag("--list"));
        assert!(!args.flag("--list"));
        assert_eq!(args.values("--n").unwrap(), ["7", "8"]);
        assert_eq!(args.words().unwrap(), ["a", "b"]);
    }

    #[test]
    fn mistakes_are_named() {
        let cases: [(&[&str], &str); 3] = [
            (&["--n"], "--n needs a value"),
            (&["--n", "x"], "--n \"x\" is not a number"),
            (&["--n", "1", "--n", "2"], "--n was given 2 times"),
        ];
        for (items, expected) in cases {
            assert_eq!(Args::of(items).number("--n").unwrap_err().to_string(), expected);
        }
        assert!(Args::of(&["--wat"]).words().is_err());
        assert!(Args::of(&["word"]).end().is_err());
    }
}
