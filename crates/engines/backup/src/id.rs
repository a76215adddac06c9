use std::fmt;
use std::str::FromStr;

use cairn_env::Env;

use crate::error::Error;

/// Which backup: when it was begun, to the second (UTC), and four random digits, such as
/// `20261122t093015z-4f1c`. In the order of time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BackupId(String);

impl BackupId {
    /// A new one.
    pub(crate) fn new(env: &Env) -> Self {
        let seconds = env.clock.wall_ns().div_euclid(1_000_000_000);
        let time = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let mut random = [0; 2];
        env.rng.fill(&mut random);
        Self(format!("{}-{}", time.strftime("%Y%m%dt%H%M%Sz"), hex::encode(random)))
    }
}

impl FromStr for BackupId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let shape = "dddddddd\u{74}dddddd\u{7a}-xxxx";
        let fits = |(byte, kind): (u8, u8)| match kind {
            b'd' => byte.is_ascii_digit(),
            b'x' => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
            other => byte == other,
        };
        if text.len() == shape.len() && text.bytes().zip(shape.bytes()).all(fits) {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::NoId { text: text.to_owned() })
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
